"""What workers at an engine take of the one process that looks after them, from 1 to 4,096.  make scale

No GPU and no cluster: run folders as workers write them, and a `squeue` that answers at once for all. So it is the cost
of what is ours, in processor milliseconds: a look of the queue, a question to Slurm with what is written of its
answers, the list of runs from an index that is there, and what one poll of a page reads of every card that is open.
Beyond what was measured (`--measured`) a figure is drawn on as the line through the last two.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measuring import record, used_by_others

from qlora_app.jobs import JobStore
from qlora_app.launch.queue import Supervisor
from qlora_app.launch.slurm import SlurmLauncher
from qlora_app.place import Place
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus, RunStore
from qlora_app.storage.process import Engine

WORKERS = (1, 16, 256, 1024, 4096)
LOOKS = 5
SQUEUE = """#!/bin/sh
for given in "$@"; do case $given in --jobs=*) ids=${given#--jobs=} ;; esac; done
echo "$ids" | tr , '\\n' | sed 's/$/|RUNNING|None/'
"""
MEASURES = ("queue", "squeue", "list", "cards")


def milliseconds(what: Callable[[], object], times: int = 1) -> float:
    """Of this process's processor time, a call."""
    began = time.process_time()
    for _ in range(times):
        what()
    return 1000 * (time.process_time() - began) / times


def workers_at(root: Path, count: int) -> RunStore:
    """So many runs that train at Slurm, by copying one."""
    store = RunStore(root)
    first = store.create(Recipe(name="one"))
    first.move_to(Place(where="slurm"))
    with first.hold() as out:
        out.status = RunStatus("running", step=10, total=100, loss=0.5, sentence="Training.")
        out.write_status()
        for step in range(1, 11):
            out.append_metric({"step": step, "loss": 1 / step})
    folders = [first.folder, *(root / f"2026-01-01-{number // 60:04d}-{number}" for number in range(count - 1))]
    for number, folder in enumerate(folders, start=1):
        if folder != first.folder:
            shutil.copytree(first.folder, folder)
        run = store.get(folder.name)
        run.launch_file.write_engine(Engine("slurm", str(number), "alive", attempt=1, asked_at=time.time()))
    return store


def measured(home: Path, count: int) -> dict[str, float]:
    """{what: processor milliseconds} with so many workers."""
    store = workers_at(home / "runs", count)
    supervisor = Supervisor(store, JobStore(home / "jobs"))
    supervisor.launcher.keep_warm = lambda: None  # type: ignore[method-assign]
    supervisor._engines.look_at = lambda moving: None  # type: ignore[method-assign]  # measured by itself
    supervisor._look()
    runs = store.list()
    assert len(supervisor.moving()) == len(runs) == count
    figures = {
        "queue": milliseconds(supervisor._look, LOOKS),
        "squeue": milliseconds(lambda: SlurmLauncher().look_at(runs)),
        "list": milliseconds(store.list, LOOKS),
        "cards": milliseconds(lambda: [(run.status(), run.metrics()) for run in runs]),
    }
    supervisor.close()
    return figures


def drawn_on(known: dict[int, dict[str, float]], count: int) -> dict[str, float]:
    """By the line through the two largest that were measured."""
    low, high = sorted(known)[-2:]
    share = (count - low) / (high - low)
    return {name: known[low][name] + share * (known[high][name] - known[low][name]) for name in MEASURES}


def breaks_at(known: dict[int, dict[str, float]], what: str, limit: float) -> int:
    """With how many workers it takes `limit` milliseconds, by the line through the two largest."""
    low, high = sorted(known)[-2:]
    each = (known[high][what] - known[low][what]) / (high - low)
    return round(high + (limit - known[high][what]) / each) if each > 0 else 0


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--measured", type=int, default=max(WORKERS), help="no more workers than so many are made up")
    most = given.parse_args().measured
    others = used_by_others()
    known: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        tools = Path(folder) / "bin"
        tools.mkdir()
        (tools / "squeue").write_text(SQUEUE)
        (tools / "squeue").chmod(0o700)
        os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
        for count in WORKERS:
            if count <= most:
                known[count] = measured(Path(folder) / str(count), count)
                shutil.rmtree(Path(folder) / str(count))
    for count in WORKERS:
        print(f"{count:>6,}", "measured" if count in known else "drawn on", known.get(count) or drawn_on(known, count))
    largest = known.get(max(WORKERS)) or drawn_on(known, max(WORKERS))
    figures = {
        "workers": f"{max(WORKERS):,}",
        "of them measured": f"{max(known):,}",
        **{f"{what}, ms": f"{largest[what]:.0f}" for what in MEASURES},
        "a look takes a second with": f"{breaks_at(known, 'queue', 1000):,}",
        "a question takes five seconds with": f"{breaks_at(known, 'squeue', 5000):,}",
    }
    print(figures)
    record("scale", figures, others, keep=most >= max(WORKERS))


if __name__ == "__main__":
    main()
