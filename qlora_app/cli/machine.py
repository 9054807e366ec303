"""The commands about this machine and this installation."""

import argparse
import json
import re
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from .. import doctor
from ..settings import PREFIX, Settings
from .command import DONE, NOT_DONE, add_command, stdout

MARKS = {doctor.GOOD: "green", doctor.LIMITED: "yellow", doctor.BROKEN: "bold red"}


def add_doctor(commands: Any) -> None:
    add_command(commands, "doctor", doctor_command)


def add_settings(commands: Any) -> None:
    add_command(commands, "settings", settings_command)


def doctor_command(given: argparse.Namespace, settings: Settings) -> int:
    """Look at what this machine can do, and try a 4-bit layer. Exit code 1 when nothing can be trained."""
    out, findings = stdout(), []
    with given.screen.status("Trying what this machine can do"):
        for finding in doctor.examine(settings):
            findings.append(finding)
            if not given.json:
                advice = f"\n{'':9}{finding.advice}" if finding.advice else ""
                words = Text.assemble(
                    (f"{finding.level:9}", MARKS[finding.level]), f"{finding.name}: {finding.value}{advice}"
                )
                out.print(words, soft_wrap=True)
    works = doctor.can_train(findings)
    if given.json:
        print(json.dumps({"can_train": works, "findings": [asdict(finding) for finding in findings]}))
    else:
        verdict = "Training works here." if works else "Nothing can be trained here until what is broken is mended."
        out.print(verdict)
    return DONE if works else NOT_DONE


def _shown(value: Any) -> str:
    """Stars for whom an address is opened as, and the password; pydantic prints its own secrets so."""
    return "" if value is None else re.sub(r"//[^/]*@", "//**********@", str(value))


def settings_command(given: argparse.Namespace, settings: Settings) -> int:
    """List the environment variables of this installation and their values."""
    table = Table("variable", "value", "what it is", box=None, pad_edge=False)
    shown = {}
    for name, field in Settings.model_fields.items():
        shown[PREFIX + name.upper()] = _shown(getattr(settings, name))
        table.add_row(PREFIX + name.upper(), shown[PREFIX + name.upper()], field.description)
    if given.json:
        print(json.dumps(shown))
    else:
        stdout().print(table)
    return DONE
