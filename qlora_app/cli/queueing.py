"""What waits, from a terminal: listed, moved, started, taken out, or worked off without a page."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..formatting import about
from ..jobs import Job
from ..launch.line import WAYS, move
from ..launch.queue import unled, working
from ..launch.turns import Turns, Waiting
from ..overrides import PROGRAM
from ..runs import RunStore, address_of
from ..settings import Settings
from .command import DONE, INTERRUPTED, add_command, stdout
from .jobs import every_job, find_job, start

LOOK_EVERY = 0.5  # seconds


def add_queue(commands: Any) -> None:
    parser = add_command(commands, "queue", queue_command)
    parser.add_argument("job", metavar="JOB", nargs="?", help="the one to move: its name, or the beginning of it")
    parser.add_argument("way", metavar="WAY", nargs="?", choices=WAYS, help=", ".join(WAYS))
    parser.add_argument("--work", action="store_true", help="work off what waits from here, without a page")


def queue_command(given: argparse.Namespace, settings: Settings) -> int:
    """List what waits, in its order; or move one: up, down, first, last, now (beside what is trained) or cancel."""
    settings.make_home()
    store = RunStore(settings.runs)
    if given.job:
        _move(find_job(given.job, settings), given.way or "first", settings, given.screen)
    if given.work and not _worked_off(settings, store, given.screen):
        return INTERRUPTED
    waiting = Turns(lambda: _moving(settings), store, settings.data).waiting(0)
    rows = [_as_row(place, one) for place, one in enumerate(waiting, start=1)]
    if given.json:
        print(json.dumps(rows))
    elif not rows:
        print("Nothing waits.")
    else:
        table = Table("", "job", "kind", "starts in about", box=None, pad_edge=False)
        for row in rows:
            seconds = row["starts_in"]
            when = about(seconds) if isinstance(seconds, float) else ""
            table.add_row(str(row["place"]), str(row["job"]), str(row["kind"]), when)
        stdout().print(table)
    return DONE


def _moving(settings: Settings) -> list[Job]:
    return [job for job in every_job(settings) if job.is_asked("start") or job.is_alive()]


def _move(job: Job, way: str, settings: Settings, screen: Console) -> None:
    move(job, way, _moving(settings))  # type: ignore[arg-type]  # argparse lets nothing else through
    if way != "now":
        return
    with unled(settings.runs) as is_unled:  # an open page starts it itself
        if is_unled and job.is_asked("start"):
            job.take("now")
            start(job, screen)


def _worked_off(settings: Settings, store: RunStore, screen: Console) -> bool:
    """Lead the queue until nothing waits or trains; False where Ctrl-C ended that."""
    seen: set[Path] = set()
    try:
        with working(settings, store) as supervisor:
            while moving := supervisor.moving():
                for job in moving:
                    if job.folder not in seen and job.is_alive():
                        seen.add(job.folder)
                        screen.print(Text(f"{address_of(job)} is worked on, {len(moving) - 1} more"), soft_wrap=True)
                time.sleep(LOOK_EVERY)
        return True
    except KeyboardInterrupt:
        words = f"\nWhat is worked on goes on. The rest waits: {PROGRAM} queue --work, or open the page."
        screen.print(Text(words), soft_wrap=True)
        return False


def _as_row(place: int, waiting: Waiting) -> dict[str, str | int | float | None]:
    job = waiting.job
    return {"place": place, "job": address_of(job), "kind": job.kind, "starts_in": waiting.starts_in}
