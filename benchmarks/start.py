"""How long from Start to the first logged loss, warm and cold, and from `python app.py` to the page?  make bench

Prints seconds and ratios and appends them, with date and machine, to RESULTS.md.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("RESULTS.md")
sys.path.insert(0, str(ROOT))

from qlora_app.launch.local import Supervisor, launch  # noqa: E402
from qlora_app.presets import Presets  # noqa: E402
from qlora_app.recipe import Recipe  # noqa: E402
from qlora_app.runs import Run, RunStore  # noqa: E402

PORT = 7879


def short_run() -> Recipe:
    """The starter as it is trained by default, ended after two steps and not measured."""
    recipe = Presets().load("starter")
    few = {"max_steps": 2, "evaluations": 0, "samples": 0, "checkpoints": 0, "scored_questions": 0}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=few)})


def seconds_until(happened: Callable[[], bool], most: float = 300) -> float:
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > most:
            raise TimeoutError(f"nothing happened for {most} seconds")
        time.sleep(0.005)
    return time.monotonic() - began


def wait_for_end(run: Run) -> None:
    seconds_until(lambda: run.status().has_ended)
    if run.status().state != "done":
        raise RuntimeError(f"{run.id} {run.status().state}: {run.status().sentence}\n{run.log_tail()}")


def cold(store: RunStore) -> float:
    """Seconds from launching a worker that has imported nothing to the first loss in the run folder."""
    run = store.create(short_run())
    worker = launch(run)
    seconds = seconds_until(lambda: bool(run.metrics()[0]))
    worker.wait()
    wait_for_end(run)
    return seconds


def warm(store: RunStore) -> float:
    """Seconds from a press on Start to the first loss, by a supervisor whose standby is ready, as in the app."""
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        supervisor.wait_until_ready()
        run = store.create(short_run())
        run.ask("start")
        supervisor.wake()
        seconds = seconds_until(lambda: bool(run.metrics()[0]))
        wait_for_end(run)
        return seconds
    finally:
        supervisor.close()


def page(home: Path) -> float:
    """Seconds from `python app.py` to the page's first answer."""
    environment = {**os.environ, "QLORA_APP_HOME": str(home), "QLORA_APP_PORT": str(PORT)}
    app = subprocess.Popen([sys.executable, str(ROOT / "app.py")], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return seconds_until(lambda: _answers(app))
    finally:
        app.terminate()
        app.wait(timeout=30)


def _answers(app: subprocess.Popen) -> bool:
    if app.poll() is not None:
        raise RuntimeError("app.py ended by itself; `python app.py` says why")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def machine() -> str:
    """Kind of machine, not its name: cores, processor, GPU."""
    processor = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        processor = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")), processor)
    gpu = ""
    if shutil.which("nvidia-smi"):
        asked = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
        gpu = ", " + asked.stdout.splitlines()[0] if asked.returncode == 0 and asked.stdout else ""
    return f"{os.cpu_count()} cores, {processor}{gpu}, Python {platform.python_version()}"


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--times", type=int, default=3, help="how often each is measured; the middle one counts")
    times = ask.parse_args().times
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["QLORA_APP_HOME"] = folder
        store = RunStore(home / "runs")
        cold(store)  # not counted: fills the disk cache
        measured = {name: sorted(measure() for _ in range(times)) for name, measure in (
            ("cold", lambda: cold(store)), ("warm", lambda: warm(store)), ("page", lambda: page(home)))}
    middle = {name: statistics.median(seconds) for name, seconds in measured.items()}
    lines = [f"Start to first loss: {middle['warm']:.2f} s warm, {middle['cold']:.2f} s cold, ratio {middle['cold'] / middle['warm']:.1f}",
             f"`python app.py` to the page: {middle['page']:.2f} s"]
    if load > (os.cpu_count() or 1):
        lines.append(f"The machine was busy (load {load:.1f}): seconds say little, the ratio a bit more.")
    print("\n".join(lines))
    row = " | ".join(f"{middle[name]:.2f} ({measured[name][0]:.2f} to {measured[name][-1]:.2f})" for name in ("warm", "cold", "page"))
    with open(RESULTS, "a", encoding="utf-8") as results:
        results.write(f"| {date.today()} | {machine()} | {load:.1f} | {row} | {middle['cold'] / middle['warm']:.1f} |\n")


if __name__ == "__main__":
    main()
