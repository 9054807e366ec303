"""The commands about runs that are there: listed, followed to their end, stopped."""

import argparse
import json
from typing import Any

from rich.table import Table
from rich.text import Text

from ..errors import UserError
from ..formatting import duration
from ..jobs.wishes import Wish
from ..overrides import PROGRAM
from ..runs import Run, RunStatus, RunStore
from ..runs.proof_words import proof_words
from ..settings import Settings
from .command import DONE, INTERRUPTED, NOT_DONE, add_command, add_run, find_run, stdout
from .watching import watch


def add_watch(commands: Any) -> None:
    add_run(add_command(commands, "watch", watch_command))


def add_runs(commands: Any) -> None:
    add_command(commands, "runs", runs_command)


def add_stop(commands: Any) -> None:
    stop = add_command(commands, "stop", stop_command)
    add_run(stop)
    stop.add_argument("--now", action="store_true", help="end at once and save nothing")


def watch_command(given: argparse.Namespace, settings: Settings) -> int:
    """Follow a run until it ends."""
    return watch_until_end(given, find_run(given.run, settings))


def watch_until_end(given: argparse.Namespace, run: Run) -> int:
    """Follow a run to its end and report it. Ctrl-C ends the watching, not the run."""
    try:
        status = watch(run, given.screen)
    except KeyboardInterrupt:
        given.screen.print(
            Text(
                f"\n{run.id} goes on without this window. Watch it again: {PROGRAM} watch {run.id}\n"
                f"Stop it: {PROGRAM} stop {run.id}"
            ),
            soft_wrap=True,
        )
        return INTERRUPTED
    return report(given, run, status)


def report(given: argparse.Namespace, run: Run, status: RunStatus) -> int:
    """Say how the run stands, and the proof if there is one. Exit code 0 unless it ended without an adapter."""
    if given.json:
        print(
            json.dumps(
                {
                    "run": run.id,
                    "folder": str(run.folder),
                    "state": status.state,
                    "step": status.step,
                    "sentence": status.sentence,
                    "proof": run.proof(),
                }
            )
        )
    elif status.has_ended:
        lines = [f"{run.id}: {status.state}. {status.sentence}", *status.warnings, *proof_words(run.proof() or {})]
        if status.state == "done":
            lines += [f"The adapter is in {run.adapter}", f"Chat with it: {PROGRAM} chat {run.id}"]
        print("\n".join(lines))
    if status.has_ended and status.state != "done":
        return NOT_DONE
    return DONE


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
    }


def _loss(loss: float | None) -> str:
    if loss is None:
        return ""
    return f"{loss:.3f}"


def stop_command(given: argparse.Namespace, settings: Settings) -> int:
    """Finish the step, save and end; `resume` goes on from there."""
    run = find_run(given.run, settings)
    status = run.status()
    if status.state == "queued" and run.take("start"):
        how = "no longer waits for its turn."
    elif not status.is_active:
        raise UserError(
            "run.not_stoppable", "{id} is {state}: there is nothing to stop.", id=run.id, state=status.state
        )
    else:
        wish: Wish = "stop-now" if given.now else "stop"
        run.request(wish)
        if given.now:
            how = "ends at once."
        else:
            how = f"finishes its step, saves and ends. Go on later: {PROGRAM} resume {run.id}"
    if given.json:
        print(json.dumps(as_row(run, run.status())))
    else:
        print(f"{run.id} {how}")
    return DONE
