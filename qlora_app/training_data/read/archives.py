"""The bytes of data files.

A .gz or .zip is unpacked while it is read, never onto the disk, and never beyond the limits.
"""

import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ...errors import UserError
from ...settings import Settings
from ...storage.reading import open_regular
from .spread import of_an_export

_SMALL = 16_000_000  # bytes: a tiny archive may unpack to so much whatever the ratio, because short files shrink a lot
_DAMAGED = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError)
_GZIP, _ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
ENDINGS = [
    ".json",
    ".jsonl",
    ".csv",
    ".tsv",
    ".txt",
    ".parquet",
    ".gz",
    ".zip",
]  # offered by a file dialog; the bytes decide
_BESIDE = ("readme", "license", "licence", "notice")  # what people pack beside their data


class Content:
    """What one file holds, unpacked if need be.

    Raises UserError; `limits` are those of a file nobody has checked yet.
    """

    def __init__(
        self, path: Path, name: str, limits: Settings | None = None, member: zipfile.ZipInfo | None = None
    ) -> None:
        self.path, self.name = path, name
        self.part = ""  # its own name where it is one of several files
        self.is_packed = bool(member) or _head(path).startswith(_GZIP)
        self._member, self._opened = member, None
        self._most = _most_bytes(path, limits) if self.is_packed else 0.0

    def open(self) -> BinaryIO:
        """All bytes from the first on."""
        self._opened = open_regular(self.path)
        if not self.is_packed:
            return self._opened
        try:
            if self._member:
                stream = zipfile.ZipFile(self._opened).open(self._member)
            else:
                stream = gzip.open(self._opened)
        except _DAMAGED as error:
            raise _damaged(self.name) from error
        return io.BufferedReader(_Unpacked(stream, self.name, self._most), 1 << 20)

    def share_read(self) -> float:
        """Which part of the file was read since it was opened last, about; 0.0 where that is not known."""
        if self._opened is None or self._opened.closed:
            return 0.0
        return min(1.0, self._opened.tell() / max(1, self.path.stat().st_size))


def contents_of(place: Path | Sequence[Path], name: str, limits: Settings | None = None) -> list[Content]:
    """All data files of a file, an archive, a folder or a list of files, each under a name for sentences.

    Raises UserError and OSError.
    """
    if isinstance(place, Path) and not place.is_dir():
        found = _in_one_file(place, name, limits)
    else:
        files = _in_folder(place, name) if isinstance(place, Path) else place
        found = [one for file in files for one in _in_one_file(file, file.name, limits)]
    for one in found:
        if len(found) > 1:
            one.part, one.name = one.name, f"{one.name} in {name}"
        else:
            one.part, one.name = "", name
    return found


def _in_one_file(path: Path, name: str, limits: Settings | None) -> list[Content]:
    if not _head(path).startswith(_ZIP):
        return [Content(path, name, limits)]
    members = _data_files(path, name)
    most = _most_bytes(path, limits)
    if sum(one.file_size for one in members) > most:  # none gives more than it says
        raise _too_large(name, most)
    if len(members) == 1:
        return [Content(path, name, limits, members[0])]
    return [Content(path, one.filename, limits, one) for one in members]


def _in_folder(folder: Path, name: str) -> list[Path]:
    """Every data file of a folder and the folders in it, by name.

    Raises UserError for a link, and for a folder without data.
    """
    inside = sorted(one for one in folder.rglob("*") if not _is_hidden(one.relative_to(folder)))
    if links := [one for one in inside if one.is_symlink()]:
        raise UserError(
            "dataset.link_in_folder",
            "{name} holds a link ({link}), and links are not followed. Copy the file it leads to into the folder.",
            name=name,
            link=links[0].name,
        )
    files = [
        one for one in inside if one.is_file() and _may_be_data(one.name) and one.name.lower().endswith(tuple(ENDINGS))
    ]
    wanted = of_an_export([str(one) for one in files])
    files = [one for one in files if str(one) in wanted]
    if not files:
        raise UserError(
            "dataset.no_file_in_folder",
            "{name} holds no data file (one that ends in {endings}). Choose another folder.",
            name=name,
            endings=", ".join(ENDINGS),
        )
    return files


def _head(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(4)


class _Unpacked(io.RawIOBase):
    """An archive's stream that ends in a sentence where it is damaged or grows beyond `most` bytes."""

    def __init__(self, stream: BinaryIO, name: str, most: float) -> None:
        self._stream, self._name, self._most = stream, name, most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:
        try:
            data = self._stream.read(len(buffer))
        except _DAMAGED as error:
            raise _damaged(self._name) from error
        if self._stream.tell() > self._most:
            raise _too_large(self._name, self._most)
        buffer[: len(data)] = data
        return len(data)


def _most_bytes(path: Path, limits: Settings | None) -> float:
    """How far an archive may unpack: so many megabytes, and so many times its own size, because a bomb is tiny."""
    if limits is None:
        return float("inf")
    return min(limits.max_unpacked_mb * 1e6, max(_SMALL, path.stat().st_size * limits.max_unpacked_ratio))


def _too_large(name: str, most: float) -> UserError:
    return UserError(
        "archive.too_large",
        "{name} is too large: it unpacks to more than {most:,.0f} MB, the limit for an archive of its size. "
        "Upload a part of it, or set QLORA_APP_MAX_UNPACKED_MB and QLORA_APP_MAX_UNPACKED_RATIO higher.",
        name=name,
        most=most / 1000000.0,
    )


def _damaged(name: str) -> UserError:
    return UserError(
        "archive.damaged", "{name} is a damaged archive. Pack it again, or upload the file inside.", name=name
    )


def _data_files(path: Path, name: str) -> list[zipfile.ZipInfo]:
    """The files of data in a zip archive, by name; at least one."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
    except _DAMAGED as error:
        raise _damaged(name) from error
    if any(one.filename.startswith(("xl/", "word/", "ppt/", "[Content_Types]")) for one in members):
        raise UserError(
            "dataset.office_document",
            "{name} is an Excel workbook or another office document. Save it as CSV (UTF-8) and upload that.",
            name=name,
        )
    if any(_is_unsafe(one) for one in members):
        raise UserError(
            "archive.leads_outside",
            "{name} is an archive with a path that leads outside of it, or with a link. It was not opened. Pack "
            "it again.",
            name=name,
        )
    if any(one.flag_bits & 1 for one in members):
        raise UserError(
            "archive.password", "{name} is an archive with a password. Pack it again without one.", name=name
        )
    data = [one for one in members if _may_be_data(one.filename)]
    wanted = of_an_export([one.filename for one in data])
    data = [one for one in data if one.filename in wanted]
    if not data:
        raise UserError(
            "archive.empty",
            "{name} is an empty archive: it has no rows. Pack the data file into it, or upload that.",
            name=name,
        )
    return sorted(data, key=lambda one: one.filename)


def _is_unsafe(member: zipfile.ZipInfo) -> bool:
    parts = member.filename.replace("\\", "/").split("/")
    return not parts[0] or ".." in parts or parts[0].endswith(":") or stat.S_ISLNK(member.external_attr >> 16)


def _may_be_data(name: str) -> bool:
    own = name.rpartition("/")[2].lower()
    return not (own.startswith((".", *_BESIDE)) or name.startswith("__MACOSX/"))


def _is_hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)
