"""The file that says what a job is to do. It may name thousands of files, so a long one is not read at every look."""

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
    if found.st_size <= LARGEST_YAML:
        return read_mapping(path)
    return _read_once(path, (found.st_ino, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=16)
def _read_once(path: Path, version: tuple[int, int, int]) -> dict[str, Any]:
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
