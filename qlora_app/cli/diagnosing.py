"""The command that says what is wrong with a training."""

import argparse
import json
from typing import Any

from rich.text import Text

from ..overrides import PROGRAM
from ..runs import Run
from ..runs.diagnose import Finding, diagnose
from ..settings import Settings
from .command import DONE, NOT_DONE, add_command, add_run, find_run, stdout


def add_diagnose(commands: Any) -> None:
    add_run(add_command(commands, "diagnose", diagnose_command))


def diagnose_command(given: argparse.Namespace, settings: Settings) -> int:
    """Say what is wrong with a training, why, and what to change; exit code 1 where going on is of no use."""
    run = find_run(given.run, settings)
    found = diagnose(run)
    if given.json:
        print(json.dumps({"run": run.id, "findings": [one.to_json() for one in found]}))
    elif not found:
        stdout().print(Text(f"{run.id}: nothing is wrong with it, as far as its figures tell."))
    for one in [] if given.json else found:
        stdout().print(Text(_words(run, one)))
    return NOT_DONE if any(one.is_severe for one in found) else DONE


def _words(run: Run, found: Finding) -> str:
    sign = "severe: " if found.is_severe else ""
    lines = [f"{sign}{found.sentence}", f"  {found.cause}"]
    if found.change:
        changes = " ".join(f"{name}={value}" for name, value in found.change.items())
        lines.append(f"  Try: {PROGRAM} train {run.folder / run.spec_file} {changes}")
    return "\n".join(lines)
