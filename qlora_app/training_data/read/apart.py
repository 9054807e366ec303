"""Workbooks and PDFs are read by a program of their own, within limits of memory and time."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ...errors import UserError
from .content import Content

_PROGRAM = Path(__file__).with_name("program.py")
_MEMORY = 3 << 30  # bytes
_SECONDS, _GLANCE = 1800, 10  # of a processor, for all of a file and for its beginning


def read_apart(kind: str, content: Content, wanted: dict[str, Any], glance: bool) -> Iterator[dict[str, Any]]:
    """What the program says of a file, one value after another. Raises UserError for one it cannot read."""
    seconds = _GLANCE if glance else _SECONDS
    command = [sys.executable, "-I", str(_PROGRAM), kind, json.dumps(wanted), str(_MEMORY), str(seconds)]
    with _as_file(content) as file:
        program = subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if program.stdout is None:
            return
        for line in program.stdout:
            said = json.loads(line)
            if "problem" in said:
                raise _refusal(kind, content.name, said["problem"])
            yield said
        if program.wait():
            raise _refusal(kind, content.name, "memory")
    finally:
        program.kill()
        program.wait()
        if program.stdout:
            program.stdout.close()


def _as_file(content: Content) -> IO[bytes]:
    """The file itself, or what is packed in an archive as a file without a name."""
    place = content.whole()
    if isinstance(place, Path):
        return place.open("rb")
    file = tempfile.TemporaryFile()
    file.write(place.read())
    file.seek(0)
    return file


def _refusal(kind: str, name: str, problem: str) -> UserError:
    what = {"workbook": "a workbook", "pdf": "a PDF document"}[kind]
    instead = {"workbook": "CSV (UTF-8)", "pdf": "text (UTF-8)"}[kind]
    if problem == "password":
        return UserError(
            "dataset.document_password",
            "{name} is {what} with a password. Save it without one, then upload it again.",
            name=name,
            what=what,
        )
    if problem == "memory":
        return UserError(
            "dataset.document_too_large",
            "{name} is {what} that takes too much memory or time to be read. Save it as {instead} and upload that.",
            name=name,
            what=what,
            instead=instead,
        )
    return UserError(
        "dataset.document_damaged",
        "{name} is {what} that is damaged. Save it again, or as {instead}, and upload that.",
        name=name,
        what=what,
        instead=instead,
    )
