"""What thousands of runs and a million lines of metrics take of whoever looks.  make many

Prints processor milliseconds a second of an idle queue, seconds of the lists, and seconds and megabytes of a long curve
that is read for the first time, again, and by a resumed run.
"""

import argparse
import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measuring import record, used_by_others

from qlora_app.jobs import JobStore
from qlora_app.launch.queue import Supervisor
from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStatus, RunStore

LOOKS = 20


def seconds_of(what: Callable[[], object]) -> float:
    """Of a processor: on a busy machine clocks say little."""
    began = time.process_time()
    what()
    return time.process_time() - began


def make_runs(root: Path, count: int) -> RunStore:
    """As many finished runs, by copying one."""
    store = RunStore(root)
    first = store.create(Recipe(name="one"))
    with first.hold() as out:
        out.status = RunStatus("done", step=10, total=10, loss=0.5)
        out.write_status()
    for number in range(count - 1):
        shutil.copytree(first.folder, root / f"2026-01-01-{number // 60:04d}-{number}")
    return store


def idle(store: RunStore, home: Path) -> float:
    """Processor milliseconds that the queue takes in a second in which nothing happens."""
    supervisor = Supervisor(store, JobStore(home / "jobs"))
    supervisor.launcher.keep_warm = lambda: None  # type: ignore[method-assign]
    for _ in range(3):
        supervisor._look()
    return 1000 * seconds_of(lambda: [supervisor._look() for _ in range(LOOKS)]) / LOOKS


def long_run(root: Path, lines: int) -> Run:
    """A run whose curve.json is gone."""
    run = RunStore(root).create(Recipe(name="long"))
    row = {"learning_rate": 1e-4, "grad_norm": 1.2, "epoch": 0.1, "tokens_per_second": 1000, "memory_mb": 800}
    with open(run.folder / "metrics.jsonl", "w", encoding="utf-8") as file:
        for step in range(1, lines + 1):
            more = {"step": step, "loss": round(2 + 1 / step, 5), "tokens": step * 512, "seconds": step / 10}
            file.write(json.dumps(more | row) + "\n")
    return run


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resume(run: Run, lines: int) -> None:
    with run.hold() as out:
        out.forget_after(lines * 9 // 10)
    run.first_and_last_loss()


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--runs", type=int, default=10_000)
    given.add_argument("--lines", type=int, default=1_000_000)
    asked = given.parse_args()
    others = used_by_others()
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        home = Path(folder)
        run = long_run(home / "long", asked.lines)
        before = memory_mb()
        first, again = seconds_of(run.curve), seconds_of(run.curve)
        resumed = seconds_of(lambda: resume(run, asked.lines))
        grown = memory_mb() - before
        store = make_runs(home / "runs", asked.runs)
        looked, listed = idle(store, home), seconds_of(store.list)
    figures = {
        "runs": f"{asked.runs:,}",
        "idle queue, ms a second": f"{looked:.2f}",
        "list, s": f"{listed:.3f}",
        "lines": f"{asked.lines:,}",
        "curve the first time, s": f"{first:.2f}",
        "again, s": f"{again:.3f}",
        "resumed, s": f"{resumed:.2f}",
        "memory for all that, MB": f"{grown:.0f}",
    }
    print(figures)
    whole = asked.runs >= 10_000 and asked.lines >= 1_000_000
    record("many", figures, others, keep=whole)


if __name__ == "__main__":
    main()
