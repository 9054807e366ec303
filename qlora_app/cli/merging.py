"""Several adapters of one base made into one, from a terminal."""

import argparse
import json
from typing import Any, get_args

from rich.text import Text

from ..jobs import Job
from ..kinds.merge import equal_parts, merge_job, merge_made, merge_spec, merged
from ..kinds.merge_checks import checked
from ..methods.combining import By, Combination
from ..overrides import PROGRAM
from ..runs import RunStore
from ..settings import Settings
from .command import DONE, INTERRUPTED, NOT_DONE, add_command, complete_runs, find_run, stdout
from .jobs import report, start, watched

SETTINGS = {"by": str, "rank": int, "density": float, "majority_sign_method": str, "seed": int}


def add_merge(commands: Any) -> None:
    """Each setting of a combination as an option."""
    parser = add_command(commands, "merge", merge_command)
    words = "a run's name, the beginning of one, or `latest`; two or more of one base"
    complete_runs(parser.add_argument("runs", metavar="RUN", nargs="+", help=words))
    words = "one for each run (default: equal ones that make 1 together)"
    parser.add_argument("--weights", metavar="W", type=float, nargs="+", help=words)
    words = f"PEFT's name of the combination (default cat, the exact sum): {' | '.join(get_args(By))}"
    parser.add_argument("--by", metavar="HOW", choices=get_args(By), help=words)
    for name, kind in SETTINGS.items():
        field = Combination.model_fields[name]
        if name != "by":
            words = f"{field.description} (default {field.default})"
            parser.add_argument(
                f"--{name.replace('_', '-')}", metavar="N" if kind is int else "X", type=kind, help=words
            )
    words = "held-out questions of each run that are asked afterwards (default 100)"
    parser.add_argument("--questions", metavar="N", type=int, default=100, help=words)
    parser.add_argument("--name", default="", help="what the run is to be called")


def merge_command(given: argparse.Namespace, settings: Settings) -> int:
    """Make several adapters of one base into one, a run of its own, and measure how far it answers as each does."""
    runs = [find_run(name, settings).id for name in given.runs]
    chosen = {name: value for name in SETTINGS if (value := getattr(given, name)) is not None}
    spec = merge_spec(equal_parts(runs, given.weights), chosen, given.name, given.questions)
    job = merge_job(spec, settings)
    for note in checked(spec.parts, spec.how, RunStore(settings.runs)).notes:
        given.screen.print(Text(note))
    start(job, given.screen)
    status = watched(job, given.screen)
    if status is None:
        return INTERRUPTED
    if status.state != "done":
        report(given, job, status)
        return NOT_DONE
    _show(given, job)
    return DONE


def _show(given: argparse.Namespace, job: Job) -> None:
    run, made = merged(job), merge_made(job)
    if given.json:
        print(json.dumps({"job": job.id, "run": run, **made.to_json()}, ensure_ascii=False))
        return
    out = stdout()
    for line in (f"{run}: {made.sum}, rank {made.rank}", *(one.words for one in made.parents)):
        out.print(Text(line), soft_wrap=True)
    out.print(Text(f"Chat with it: {PROGRAM} chat {run} --base"), soft_wrap=True)
