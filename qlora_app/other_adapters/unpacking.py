"""A zip of an adapter, unpacked: only plain files, none outside of its folder, and no more than fits."""

import lzma
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..formatting import size

MOST_FILES = 2000
MOST_BYTES = 50 * 10**9
LONGEST_NAME, LONGEST_PATH = 255, 1000  # bytes that a disk holds
BROKEN = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def unpacked(file: Path, target: Path) -> Path:
    """The folder `target` with the files of a zip. Raises UserError for one that is damaged, or that is none."""
    target.mkdir(parents=True)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [one for one in archive.infolist() if not one.filename.endswith("/")]
            _check(members, target)
            for member in members:
                place = target.joinpath(*PurePosixPath(member.filename).parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, place.open("wb") as written:
                    shutil.copyfileobj(packed, written)
    except (*BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk; without a number it is bzip2's
            raise
        raise UserError(
            "import.no_zip", "{file} is no whole zip ({why}).", file=file.name, why=str(error)[:100]
        ) from error
    return target


def _check(members: list[zipfile.ZipInfo], target: Path) -> None:
    outside = [one.filename for one in members if _leads_outside(one)]
    if outside:
        raise UserError(
            "import.zip_outside",
            "A file of this zip leads out of its folder, or is no plain file ({name}). Nothing of it was unpacked.",
            name=outside[0][:100],
        )
    _check_names(members)
    total, free = sum(one.file_size for one in members), shutil.disk_usage(target).free
    if len(members) > MOST_FILES or total > min(MOST_BYTES, free):
        raise UserError(
            "import.zip_too_large",
            "This zip holds {count:,} files of {size} together, which is more than an adapter has or the disk has room "
            "for.",
            count=len(members),
            size=size(total),
        )


def _check_names(members: list[zipfile.ZipInfo]) -> None:
    """Raises ValueError where a file has no name, one that no disk holds, or is the folder of another one."""
    files = {PurePosixPath(one.filename).parts for one in members}
    for parts in files:
        name = "/".join(parts)
        is_long = len(name.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in parts)
        if not parts or is_long or any(parts[:depth] in files for depth in range(1, len(parts))):
            raise ValueError(repr(name[:60]))


def _leads_outside(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
    return is_link or path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename
