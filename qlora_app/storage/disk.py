"""What a disk refuses -> a sentence: which folder, how much is free, what to do."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import Problem, UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
LEAST_FREE = 256 * 1024  # bytes: with less nothing can begin
_WORDS_OF_FULL = (
    "no space left on device",
    "os error 28",
    "disk quota exceeded",
    "os error 122",
    "pytorchstreamwriter failed writing",
    "unexpected pos",
)


def is_full(error: BaseException) -> bool:
    """Does it say that there is no room? Libraries say it in words of their own, torch that less was written."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    text = str(error).lower()
    return not isinstance(error, UserError) and any(words in text for words in _WORDS_OF_FULL)


def disk_trouble(error: BaseException, folder: Path) -> Problem | None:
    """The sentence of an error of the disk that `folder` lies on; None where it is another error."""
    if is_full(error):
        return full(folder)
    if isinstance(error, OSError) and error.errno in FORBIDDEN:
        place = error.filename or folder
        if error.errno == errno.EROFS:
            return read_only(place)
        return Problem(
            "disk.forbidden", "{path} may not be read or written by this program. Change its owner or mode.", path=place
        )
    return None


def full(folder: Path) -> Problem:
    """The sentence of a disk without room."""
    return Problem(
        "disk.full",
        "The disk is full ({free:.1f} MB free in {folder}). Delete old runs or free some space, then press Resume.",
        free=free_bytes(folder) / 1_000_000,
        folder=folder,
    )


def read_only(path: object) -> Problem:
    """The sentence of a disk that is only read."""
    return Problem(
        "disk.read_only", "{path} is on a disk that can only be read. Make it writable, then try again.", path=path
    )


def cannot_begin(folder: Path) -> Problem | None:
    """Why nothing can be begun in `folder` now: no room, or nothing can be written there. None where it can."""
    try:
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return read_only(folder)
        return full(folder) if free_bytes(folder) < LEAST_FREE else None
    except OSError:
        return None


def free_bytes(folder: Path) -> int:
    """How much may be written; 0 where that cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


@contextlib.contextmanager
def said(folder: Path) -> Iterator[None]:
    """What the disk of `folder` refuses meanwhile is a UserError."""
    try:
        yield
    except OSError as error:
        problem = disk_trouble(error, folder)
        if problem is None:
            raise
        raise UserError.of(problem) from error


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder. Links are not followed."""
    total, waiting = 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for one in entries:
                    if one.is_dir(follow_symlinks=False):
                        waiting.append(one.path)
                    else:
                        total += one.stat(follow_symlinks=False).st_size
        except OSError:  # deleted meanwhile
            continue
    return total
