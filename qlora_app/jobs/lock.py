"""The lock of a job: held by its worker as long as it lives, and the only proof that it does.

Process ids are used again and status files stay behind; the kernel frees a lock whatever way its holder ends.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..storage.files import open_for_writing
from ..storage.reading import NotAFile, open_regular

ALREADY_RUNNING = 73  # exit code of a worker that finds another one holding the lock
CALLED_BACK = 75  # of one whose engine, and nobody else, had it stop before it was done: it is to be sent again
_ATTEMPTS = 40
_PAUSE = 0.05  # seconds between two attempts


class HeldLock:
    """Given out by `hold_lock` only, and worth nothing once that has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_held = True


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[HeldLock]:
    """Hold the lock until the end of the `with`. Raises BlockingIOError when another process has it for two seconds,
    NotAFile where what is there is none, and OSError.

    Readers take it for an instant to see whether it is free, hence the attempts.
    """
    file = open_for_writing(path, os.O_RDWR)
    try:
        _lock(file)
    except BlockingIOError:
        os.close(file)
        raise
    held = HeldLock(path)
    try:
        yield held
    finally:
        held.is_held = False
        # Closing is not enough while a process that was forked elsewhere has not yet become another program.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


def _lock(file: int) -> None:
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_PAUSE)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(path: Path) -> bool:
    """Does anybody hold it? A lock file that is not there is held by nobody.

    Raises OSError where that cannot be told, as when this program has no room for one more open file: what is taken for
    free is deleted, or begun a second time.
    """
    try:
        with open_regular(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotAFile) as error:  # nothing there, or nothing that a worker of this user could hold
        if error.errno == errno.EIO:
            raise
        return False
    return False
