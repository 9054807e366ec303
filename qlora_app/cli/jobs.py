"""Jobs from a terminal: found by name, started, watched, stopped, listed; and a file of questions answered by one."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import UserError
from ..jobs import Job, Status
from ..kinds.answer import answer_job, answers_in, spec_for
from ..launch import places
from ..launch.engines import asked_about
from ..launch.places import end_now
from ..launch.queue import unled
from ..overrides import PROGRAM
from ..runs import AllJobs, Run, address_of
from ..runs.proof_words import proof_words
from ..runs.reported import reported
from ..settings import Settings
from ..usage import usage_in
from .command import DONE, INTERRUPTED, NOT_DONE, add_command, find_run, stdout
from .watching import watch


def start(job: Job, screen: Console) -> None:
    """Have a worker of its own take the job."""
    job.forget_stop()  # a shutdown leaves one behind when the worker had no time to follow it
    places.start(job)
    screen.print(Text(f"{job.id} has started in {job.folder}"), soft_wrap=True)


def stop(job: Job, now: bool, kill: bool = False) -> str:
    """Ask a job to end, at once or when what it is at is saved, or end its process; returns what becomes of it.

    Raises UserError.
    """
    status = job.status()
    if status.state == "queued" and job.take("start"):
        return "no longer waits for its turn."
    if not status.is_active:
        raise UserError(
            "run.not_stoppable", "{id} is {state}: there is nothing to stop.", id=job.id, state=status.state
        )
    if kill:
        end_now(job)
        return f"was ended. Go on later: {PROGRAM} resume {address_of(job)}"
    job.request("stop-now" if now else "stop")
    if now:
        return "ends at once."
    return f"finishes its step, saves and ends. Go on later: {PROGRAM} resume {address_of(job)}"


def watch_until_end(given: argparse.Namespace, job: Job) -> int:
    """Follow a job to its end and report it. Ctrl-C ends the watching, not the job."""
    status = watched(job, given.screen)
    return INTERRUPTED if status is None else report(given, job, status)


def watched(job: Job, screen: Console) -> Status | None:
    """The last status of a job; None where Ctrl-C ended the watching."""
    try:
        with asked_about(job):
            return watch(job, screen)
    except KeyboardInterrupt:
        name = address_of(job)
        words = (
            f"\n{job.id} goes on without this window. Watch it again: {PROGRAM} watch {name}\n"
            f"Stop it: {PROGRAM} stop {name}"
        )
        screen.print(Text(words), soft_wrap=True)
        return None


def _cost(job: Job) -> list[str]:
    """What rented machines cost, over all attempts."""
    spent = job.launch_file.spent()
    return [f"It cost ${spent:.2f} on rented machines."] if spent else []


def report(given: argparse.Namespace, job: Job, status: Status) -> int:
    """Say how the job stands, and what it made. Exit code 0 unless it ended without being done."""
    if given.json:
        print(json.dumps(_run_in_full(job, status) if isinstance(job, Run) else as_row(job)))
    elif status.has_ended:
        lines = [f"{job.id}: {status.state}. {status.sentence}", *status.warnings, *_cost(job)]
        print("\n".join([*lines, *_made(job, status)]))
    return NOT_DONE if status.has_ended and status.state != "done" else DONE


def _made(job: Job, status: Status) -> list[str]:
    """What came of it, in lines."""
    if not isinstance(job, Run):
        return [f"What it made is in {job.folder}"] if status.state == "done" else []
    found = reported(job)
    lines = [*proof_words(job.proof() or {}), *([found.in_a_line()] if found else [])]
    if status.state != "done":
        return lines
    return [*lines, f"The adapter is in {job.adapter}", f"Chat with it: {PROGRAM} chat {job.id}"]


def _run_in_full(run: Run, status: Status) -> dict[str, Any]:
    found = reported(run)
    return {
        "run": run.id,
        "folder": str(run.folder),
        "state": status.state,
        "step": status.step,
        "sentence": status.sentence,
        "usage": usage_of(run, status),
        "dollars": run.launch_file.spent(),
        "proof": run.proof(),
        "reported": found.to_json() if found else None,
    }


def as_row(job: Job) -> dict[str, Any]:
    """A job for a script."""
    status = job.status()
    return {
        "job": address_of(job),
        "kind": job.kind,
        "folder": str(job.folder),
        "state": status.state,
        "step": status.step,
        "total": status.total,
        "sentence": status.sentence,
        "silence": status.silence,
        "dollars": job.launch_file.spent(),
        "result": job.result(),
        "usage": usage_of(job, status),
    }


def usage_of(job: Job, status: Status) -> dict[str, float]:
    """How busy the machine is that works on it, as far as that is known, by the names of Usage."""
    usage = usage_in(job.folder) if status.is_active else None
    return usage.to_json() if usage else {}


def add_jobs(commands: Any) -> None:
    add_command(commands, "jobs", jobs_command)


def jobs_command(given: argparse.Namespace, settings: Settings) -> int:
    """List everything that is worked on, or was: runs, files of answers, imports, downloads."""
    rows = [as_row(job) for job in every_job(settings)]
    if given.json:
        print(json.dumps(rows))
    elif not rows:
        print(f"No jobs yet in {settings.home}. The first one: {PROGRAM} train starter")
    else:
        table = Table("job", "kind", "state", "done", "what it says", box=None, pad_edge=False)
        for row in rows:
            share = f"{row['step']:,}/{row['total']:,}" if row["total"] else ""
            table.add_row(row["job"], row["kind"], row["state"], share, f"{row['sentence']} {row['silence']}".strip())
        stdout().print(table)
    return DONE


def answers_of(run: Run, file: Path, target: Path, choices: dict[str, Any], screen: Console) -> dict[str, Any] | None:
    """Answer every row of a file into `target`, or go on where the same was interrupted; `choices` by the names of
    AnswerSpec. Returns {run, file, answers, rows, answered, problems, kept}; None where Ctrl-C ended the watching.
    """
    if not target.parent.is_dir():
        raise UserError("answers.no_folder", "There is no folder {folder} for the answers.", folder=target.parent)
    _check_free(target)
    job = answer_job(run, file, spec_for(file, **choices))
    if job.status().state != "done":
        start_if_idle(job, run.folder.parent, screen)
        ended = watched(job, screen)
        if ended is None:
            return None
        if ended.state != "done":
            raise UserError("answers.failed", "{why}", why=ended.sentence)
    _check_free(target)
    answers = answers_in(job)
    assert answers is not None, "it is done"
    shutil.copyfile(answers, target)
    result = job.result() or {}
    counts = {name: result.get(name, 0) for name in ("rows", "answered", "problems", "kept", "scored", "right")}
    return {"run": run.id, "file": str(file), "answers": str(target), **counts}


def start_if_idle(job: Job, runs: Path, screen: Console) -> None:
    """Have a worker take a job that nobody works on. One that waits is left to the page, where one is open."""
    status = job.status()
    if status.state == "queued":
        _start_unled(job, runs, screen)
    elif not status.is_active:
        start(job, screen)


def _start_unled(job: Job, runs: Path, screen: Console) -> None:
    """Start what waits for a page that was closed since; an open one does it itself."""
    with unled(runs) as is_unled:
        if is_unled and job.is_asked("start"):
            start(job, screen)


def _check_free(target: Path) -> None:
    if target.exists():
        raise UserError(
            "answers.there_already",
            "{name} is there already. Delete it, or name another file for the answers.",
            name=target.name,
        )


# ---- found by name


def every_job(settings: Settings) -> list[Job]:
    """The runs, newest first, each with what was made of it, and the jobs of no run."""
    return AllJobs.of(settings).list()


def find_job(name: str, settings: Settings) -> Job:
    """The run of that name, else the other job, or the only one whose name begins so; `latest` is the newest run."""
    every = every_job(settings)
    others = [job for job in every if not isinstance(job, Run)]
    exact = [job for job in every if name in (job.id, address_of(job))]
    if exact and (len(exact) == 1 or isinstance(exact[0], Run)):
        return exact[0]
    try:
        return find_run(name, settings)
    except UserError:
        found = [job for job in others if job.id.startswith(name) or address_of(job).startswith(name)]
        if len(found) != 1:
            raise
        return found[0]
