"""Whose start comes first: a number that grows with every start that is asked for below a folder, also where the clock
is set back meanwhile. It is about the time in nanoseconds, so that starts of several folders can be compared.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from ..storage.files import open_for_writing
from ..storage.reading import read_text

ASKED_FILE = ".asked"  # in a folder of jobs that a queue looks after: written whenever one of them is asked to start
_DIGITS = 20  # always as many, so that one number is never read while another is half written over it
_LAST = 10 ** (_DIGITS - 1)  # in the year 2286; more is damage


def next_turn(root: Path) -> int:
    """A turn after all that were given below `root`; also among programs that ask at once. Where the folder cannot be
    written to, it is the time.
    """
    try:
        file = open_for_writing(root / ASKED_FILE, os.O_RDWR)
    except OSError:
        return time.time_ns()
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        turn = max(time.time_ns(), (_number(os.pread(file, _DIGITS, 0)) or 0) + 1)
        with contextlib.suppress(OSError):
            write_turn(file, turn)
        return turn
    finally:
        os.close(file)


def write_turn(file: int, turn: int) -> None:
    """Into an open file, in one piece."""
    os.pwrite(file, f"{turn:0{_DIGITS}}".encode(), 0)


def read_turn(file: Path) -> int:
    """The turn in a file; of one that an earlier version left, or that is damaged, when it was written; 0 where there
    is none.
    """
    try:
        written = file.stat().st_mtime_ns
    except OSError:
        return 0
    with contextlib.suppress(OSError, ValueError):
        return _number(read_text(file, _DIGITS).encode()) or written
    return written


def _number(text: bytes) -> int | None:
    is_whole = len(text) == _DIGITS and text.isdigit()
    return int(text) if is_whole and int(text) < _LAST else None
