"""Files that survive a crash at any moment: replaced whole, or appended one line at a time."""

import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .reading import check_regular

FOLDER_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")  # what a folder of a job, a run or a sweep may be called


def write_json(path: Path, value: Any, lasting: bool = True) -> None:
    replace_file(path, json.dumps(value), lasting)


def replace_file(path: Path, text: str, lasting: bool = True, private: bool = False) -> None:
    """Write beside, rename: a reader sees the old file or the new one, never half of one.

    `lasting` waits for the disk (5 to 40 ms), so that it also survives a power cut. What is written several times a
    second does
    without: it survives the end of any program. `private`: only its owner may read it.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    mode = 0o600 if private else 0o666
    try:
        with open(beside, "w", encoding="utf-8", opener=lambda name, how: os.open(name, how, mode)) as file:
            file.write(text)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:  # also where somebody asked for an end in the middle: nothing is left beside it
        beside.unlink(missing_ok=True)
        raise


def open_for_writing(path: Path, how: int = os.O_WRONLY | os.O_APPEND) -> int:
    """The descriptor of a file, made where there is none. A pipe would wait for ever for somebody to read.

    `how`: flags of os.open. Raises NotAFile for what is no file, and OSError.
    """
    try:
        file = os.open(path, how | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, 0o600)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):
            check_regular(path, os.stat(path))
        raise
    try:
        check_regular(path, os.fstat(file))
    except OSError:
        os.close(file)
        raise
    return file


def append_line(path: Path, row: Mapping[str, Any]) -> int:
    """One os.write for a whole line, its count checked (a full disk writes short); returns the size after it."""
    line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
    file = open_for_writing(path, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line  # a line cut short by a crash must not swallow this one
        if os.write(file, line) != len(line):
            raise OSError(errno.ENOSPC, "The disk is full", str(path))
        return size + len(line)
    finally:
        os.close(file)


def replace_in_place(path: Path, text: str) -> None:
    """The last resort on a full disk: the file keeps its place and its size, and what is not needed of it is blank.

    Raises OSError where it has no room for the text.
    """
    whole = text.encode()
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.write(whole.ljust(size))
        file.truncate(max(size, len(whole)))
