"""What can be made again at any time is kept in a folder of bounded size: what
nobody has used for longest goes first.
"""

import os
import shutil
from pathlib import Path


def used(entry: Path) -> None:
    """Say that somebody needs it, so that others go first."""
    if entry.exists():
        os.utime(entry)


def make_room(folder: Path, most_mb: int, keep: Path) -> None:
    """Remove the entries of a folder that were used longest ago, never `keep`, until they are small enough together.

    Whoever has one of them mapped into memory goes on reading: on Linux and macOS the bytes stay until nobody has them
    open.
    """
    if not folder.is_dir():
        return
    sizes = {entry: bytes_of(entry) for entry in folder.iterdir() if entry != keep}
    room = most_mb * 1_000_000 - bytes_of(keep)
    for entry in sorted(sizes, key=_last_used):
        if sum(sizes.values()) <= room:
            return
        del sizes[entry]
        remove(entry)


def remove(entry: Path) -> None:
    """A file or a folder, also one that another process is just removing."""
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _last_used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def bytes_of(entry: Path) -> int:
    """Of a file, or of all below a folder; 0 where it is gone."""
    files = [file for file in entry.rglob("*") if file.is_file()] if entry.is_dir() else [entry]
    total = 0
    for file in files:
        try:
            total += file.stat().st_size
        except OSError:  # gone in this moment
            continue
    return total
