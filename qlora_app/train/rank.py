"""`python -m qlora_app.train.rank` is one of the other processes of a training: it reads what is to be done from its
standard input, and ends with the worker that started it.

It works in a copy of the run's small files, so that the worker alone writes the run.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..jobs.failures import is_out_of_memory
from ..recipe import Recipe
from ..runs import Run, RunWriter
from ..start_from import COPY
from .callbacks import MetricsCallback
from .failures import NotANumber
from .meeting import Network
from .preferences.reference import FOLDER
from .preferences.trainer import trainer_for
from .processes import NO_MEMORY
from .setup import prepare
from .trainer import total_steps
from .world import World, joined

COPIED = (COPY, FOLDER)  # folders of a run, beside its small files
SMALL = (".yaml", ".json")


def main() -> int:
    told = json.loads(sys.stdin.readline())
    inside = Path(told["copies"])
    threading.Thread(target=_end_with_worker, args=(inside,), daemon=True).start()
    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    port, network = int(os.environ["MASTER_PORT"]), Network.of_this_process()
    try:
        with joined(world, port, network=network), own_copy(Path(told["folder"]), inside) as out:
            _train(out, world, told)
    except Exception as error:  # the worker says what became of the run
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", flush=True)
        return NO_MEMORY if is_out_of_memory(error) else 1
    return 0


def _train(out: RunWriter, world: World, told: dict[str, Any]) -> None:
    resume_from = Path(told["resume_from"]) if told["resume_from"] else None
    recipe = Recipe.model_validate(told["recipe"])
    step = int(resume_from.name.rpartition("-")[2]) if resume_from else 0
    job = prepare(out, recipe, most_at_once=told["most_at_once"], processes=world.size).shared_by(world)
    reporter = MetricsCallback(out, [], step)
    trainer = trainer_for(job, reporter, [reporter])
    with contextlib.suppress(NotANumber):  # of all processes: the first one says what becomes of the run
        if step < total_steps(job):
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    job.world.meet()  # the proof is made in company where the base is divided


@contextlib.contextmanager
def own_copy(folder: Path, inside: Path | None = None) -> Iterator[RunWriter]:
    """A run of the same name with the small files of this one, to write in; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="rank-", dir=inside) as made:
        mine = Path(made) / folder.name
        mine.mkdir()
        for file in folder.iterdir():
            if file.is_file() and file.suffix in SMALL:
                shutil.copy(file, mine)
            elif file.name in COPIED:
                shutil.copytree(file, mine / file.name)
        _link_beginning(Run(mine), folder.parent)
        with Run(mine).hold() as out:
            yield out


def _link_beginning(run: Run, runs: Path) -> None:
    """The run that it begins with stands beside the copy too: what that learned may be rehearsed."""
    named = run.recipe().training.start_from
    if named and "/" not in named and (runs / named).is_dir():
        (run.folder.parent / named).symlink_to(runs / named)


def _end_with_worker(copies: Path) -> None:
    """Nothing more comes: the worker has ended, whatever way, and may not have removed the copies."""
    sys.stdin.read()
    shutil.rmtree(copies, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
