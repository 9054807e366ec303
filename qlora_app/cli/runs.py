"""The commands about runs that are there: listed, followed to their end, stopped."""

import argparse
import json
from typing import Any

from rich.table import Table

from ..formatting import duration
from ..overrides import PROGRAM
from ..runs import Run, RunStatus, RunStore
from ..settings import Settings
from . import jobs
from .command import DONE, add_command, add_job, stdout
from .jobs import find_job, stop, watch_until_end


def add_watch(commands: Any) -> None:
    add_job(add_command(commands, "watch", watch_command))


def add_runs(commands: Any) -> None:
    add_command(commands, "runs", runs_command)


def add_stop(commands: Any) -> None:
    stop = add_command(commands, "stop", stop_command)
    add_job(stop)
    stop.add_argument("--now", action="store_true", help="end at once and save nothing")
    stop.add_argument("--kill", action="store_true", help="end the process of one that gives no sign of life")


def watch_command(given: argparse.Namespace, settings: Settings) -> int:
    """Follow a run or another job until it ends."""
    return watch_until_end(given, find_job(given.job, settings))


def runs_command(given: argparse.Namespace, settings: Settings) -> int:
    """List all runs, newest first."""
    runs = [(run, run.status()) for run in RunStore(settings.runs).list()]
    if given.json:
        print(json.dumps([as_row(run, status) for run, status in runs]))
    elif not runs:
        print(f"No runs yet in {settings.runs}. The first one: {PROGRAM} train starter")
    else:
        table = Table("run", "state", "step", "loss", "held out", "time", box=None, pad_edge=False)
        for run, status in runs:
            table.add_row(
                run.id,
                status.state,
                f"{status.step}/{status.total}",
                _loss(status.loss),
                _loss(status.held_out_loss),
                duration(status.seconds),
            )
        stdout().print(table)
    return DONE


def as_row(run: Run, status: RunStatus) -> dict[str, Any]:
    return {
        "run": run.id,
        "folder": str(run.folder),
        "state": status.state,
        "step": status.step,
        "total": status.total,
        "loss": status.loss,
        "held_out_loss": status.held_out_loss,
        "seconds": status.seconds,
        "usage": jobs.usage_of(run, status),
    }


def _loss(loss: float | None) -> str:
    if loss is None:
        return ""
    return f"{loss:.3f}"


def stop_command(given: argparse.Namespace, settings: Settings) -> int:
    """Finish the step, save and end; `resume` goes on from there."""
    job = find_job(given.job, settings)
    how = stop(job, given.now, given.kill)
    if not given.json:
        print(f"{job.id} {how}")
    elif isinstance(job, Run):
        print(json.dumps(as_row(job, job.status())))
    else:
        print(json.dumps(jobs.as_row(job)))
    return DONE
