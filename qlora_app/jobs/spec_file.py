"""The file that says what a job is to do. It is written once, and a list of hundreds of jobs looks at every one of them
again and again; a long one names thousands of files.
"""

import functools
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..storage.reading import LARGEST_YAML, read_mapping

LARGEST_SPEC = 4_000_000  # bytes: some fifty thousand names


def read_spec(path: Path) -> dict[str, Any]:
    """Names with values, to be read only. Raises what `read_mapping` does."""
    try:
        found = path.stat()
    except OSError:  # read_mapping says what is wrong
        return read_mapping(path)
    version = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return _short(path, version) if found.st_size <= LARGEST_YAML else _long(path, version)


Version = tuple[int, ...]  # what tells a file from what was written there before


@functools.lru_cache(maxsize=2000)
def _short(path: Path, version: Version) -> dict[str, Any]:
    return read_mapping(path)


@functools.lru_cache(maxsize=16)
def _long(path: Path, version: Version) -> dict[str, Any]:
    return read_mapping(path, LARGEST_SPEC)


def check_size(text: str) -> None:
    """Raises UserError for a file that would be too long to be read again."""
    size = len(text.encode())
    if size > LARGEST_SPEC:
        raise UserError(
            "job.names_too_much",
            "This names too much for one job: {bytes:,} bytes, of at most {most:,}. Do it in several parts.",
            bytes=size,
            most=LARGEST_SPEC,
        )
