"""How long from Start to the first logged loss, warm and cold, and from `python app.py` to the page?  make bench

Prints seconds and ratios and adds them, with date and machine, to RESULTS.md.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from measuring import App, record, seconds_until, spread, used_by_others

from qlora_app.launch.local import launch
from qlora_app.launch.queue import Supervisor
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore


def short_run() -> Recipe:
    """The starter as it is trained by default, ended after two steps and not measured."""
    recipe = Presets().load("starter")
    few = {"max_steps": 2, "evaluations": 0, "samples": 0, "checkpoints": 0, "scored_questions": 0}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=few)})


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
        run.request("start")
        supervisor.wake()
        seconds = seconds_until(lambda: bool(run.metrics()[0]))
        wait_for_end(run)
        return seconds
    finally:
        supervisor.close()


def page(home: Path) -> float:
    """Seconds from `python app.py` to the page's first answer."""
    app = App(home)
    try:
        return seconds_until(app.answers)
    finally:
        app.close()


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--times", type=int, default=3, help="how often each is measured; the middle one counts")
    times, others = ask.parse_args().times, used_by_others()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["QLORA_APP_HOME"] = folder
        store = RunStore(home / "runs")
        cold(store)  # not counted: fills the disk cache
        measured = {
            name: [measure() for _ in range(times)]
            for name, measure in (
                ("warm", lambda: warm(store)),
                ("cold", lambda: cold(store)),
                ("page", lambda: page(home)),
            )
        }
    middle = {name: statistics.median(seconds) for name, seconds in measured.items()}
    print(
        f"Start to first loss: {middle['warm']:.2f} s warm, {middle['cold']:.2f} s cold, ratio "
        f"{middle['cold'] / middle['warm']:.1f}\n"
        f"`python app.py` to the page: {middle['page']:.2f} s"
    )
    figures = {name: spread(seconds) for name, seconds in measured.items()}
    record("start", figures | {"cold / warm": f"{middle['cold'] / middle['warm']:.1f}"}, others)


if __name__ == "__main__":
    main()
