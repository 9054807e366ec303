"""The bytes of one data file, unpacked while they are read: never onto the disk, and never beyond the limits."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import UserError
from ...settings import Settings
from ...storage.reading import open_regular

_SMALL = 16_000_000  # bytes: a tiny archive may unpack to so much whatever the ratio, because short files shrink a lot
_IN_MEMORY = 1_000_000  # bytes of a member that is unpacked once, and not once for each look at it
_UNPACKER = 256 << 20  # bytes an .xz may ask for to unpack itself
DAMAGED = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    RuntimeError,
    NotImplementedError,
    ValueError,
)
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zX": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
HEAD = 65_536  # bytes that decide what kind of file it is


class Archive:
    """A .zip that is opened once for all of its members. `most`: how far each may unpack."""

    def __init__(self, path: Path, name: str, limits: Settings | None) -> None:
        self.path, self.name = path, name
        self.most = most_bytes(path.stat().st_size, limits)
        self._zip: zipfile.ZipFile | None = None

    def opened(self) -> zipfile.ZipFile:
        """Raises UserError for a damaged one."""
        if self._zip is None:
            try:
                self._zip = zipfile.ZipFile(self.path)
            except DAMAGED as error:
                raise damaged(self.name) from error
        return self._zip

    def open(self, member: zipfile.ZipInfo) -> BinaryIO:
        """The bytes of a member. Raises UserError."""
        try:
            return self.opened().open(member)  # type: ignore[return-value]
        except DAMAGED as error:
            raise damaged(self.name) from error


class Content:
    """What one file holds, unpacked if need be.

    Raises UserError; `limits` are those of a file nobody has checked yet. `part`: its path among several files.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        limits: Settings | None = None,
        archive: Archive | None = None,
        member: zipfile.ZipInfo | None = None,
        part: str = "",
    ) -> None:
        self.path, self.name, self.part = path, name, part
        self.limits, self._archive, self._member = limits, archive, member
        self._opened: BinaryIO | None = None
        self._most = archive.most if archive else most_bytes(path.stat().st_size, limits)
        self._kept: bytes | None = None  # a small member
        self.weight = member.compress_size if member else path.stat().st_size  # its part of what is to be read

    def open(self) -> BinaryIO:
        """All bytes from the first on."""
        stream = self._stored()
        if not self.packed_as:
            return stream
        try:
            unpacked = _unpacker(stream, self.packed_as)
        except DAMAGED as error:
            raise damaged(self.name) from error
        return io.BufferedReader(_Unpacked(unpacked, self.name, self._most), 1 << 20)

    def whole(self) -> BinaryIO | Path:
        """A place that can be read in any order: the file itself, or its bytes in memory."""
        if self._member is None and not self.packed_as:
            return self.path
        with self.open() as stream:
            return io.BytesIO(stream.read())

    def head(self) -> bytes:
        with self.open() as stream:
            return stream.read(HEAD)

    def share_read(self) -> float:
        """Which part of the file was read since it was opened last, about; 0.0 where that is not known."""
        if self._opened is None or self._opened.closed:
            return 0.0
        return min(1.0, self._opened.tell() / max(1, self.path.stat().st_size))

    def forget(self) -> None:
        """What was kept of a small member is not needed any more."""
        self._kept = None

    @cached_property
    def packed_as(self) -> str:
        """What it has to be unpacked with; empty for nothing."""
        with self._stored() as stream:
            start = stream.read(4)
        return next((name for magic, name in _PACKED.items() if start.startswith(magic)), "")

    def _stored(self) -> BinaryIO:
        """The bytes as they are stored: of a file, or of a member of a .zip."""
        if self._archive is None or self._member is None:
            self._opened = open_regular(self.path)
            return self._opened
        if self._kept is not None:
            return io.BytesIO(self._kept)
        stream = self._archive.open(self._member)
        limited = io.BufferedReader(_Unpacked(stream, self._archive.name, self._most), 1 << 20)
        if self._member.file_size > _IN_MEMORY:
            return limited
        with limited:
            self._kept = limited.read()
        return io.BytesIO(self._kept)


class _Unpacked(io.RawIOBase):
    """An archive's stream that ends in a sentence where it is damaged or grows beyond `most` bytes."""

    def __init__(self, stream: BinaryIO, name: str, most: float) -> None:
        self._stream, self._name, self._most = stream, name, most
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = self._stream.seek(offset, whence)
        return self._at

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except DAMAGED as error:
            raise damaged(self._name) from error
        self._at += len(data)
        if self._at > self._most:
            raise too_large(self._name, self._most)
        buffer[: len(data)] = data
        return len(data)


class _Again(io.RawIOBase):
    """A stream that can only be read on, which begins again where it is sent to its beginning."""

    def __init__(self, stored: BinaryIO) -> None:
        self._stored = stored
        self._earlier: list[BinaryIO] = []  # one that nobody holds closes the file
        self._stream = self._begin()

    def _begin(self) -> BinaryIO:
        import pyarrow

        self._stored.seek(0)
        return pyarrow.CompressedInputStream(pyarrow.PythonFile(self._stored, "r"), "zstd")

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if offset or whence:
            raise io.UnsupportedOperation(str(offset))
        self._earlier.append(self._stream)
        self._stream = self._begin()
        return 0


def _unpacker(stream: BinaryIO, packed_as: str) -> BinaryIO:
    if packed_as == "gzip":
        return gzip.open(stream)  # type: ignore[return-value]
    if packed_as == "bz2":
        return bz2.open(stream)  # type: ignore[return-value]
    if packed_as == "xz":
        return lzma.LZMAFile(_Frugal(stream))  # type: ignore[return-value, arg-type]
    return _Again(stream)  # type: ignore[return-value]


class _Frugal(io.RawIOBase):
    """An .xz file whose header was read: one that would take all memory to unpack is refused."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        lzma.LZMADecompressor(memlimit=_UNPACKER).decompress(stream.read(HEAD), max_length=1)
        stream.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def most_bytes(size: int, limits: Settings | None) -> float:
    """How far an archive may unpack: so many megabytes, and so many times its own size, because a bomb is tiny."""
    if limits is None:
        return float("inf")
    return min(limits.max_unpacked_mb * 1e6, max(_SMALL, size * limits.max_unpacked_ratio))


def too_large(name: str, most: float) -> UserError:
    return UserError(
        "archive.too_large",
        "{name} is too large: it unpacks to more than {most:,.0f} MB, the limit for an archive of its size. "
        "Upload a part of it, or set QLORA_APP_MAX_UNPACKED_MB and QLORA_APP_MAX_UNPACKED_RATIO higher.",
        name=name,
        most=most / 1000000.0,
    )


def damaged(name: str) -> UserError:
    return UserError(
        "archive.damaged", "{name} is a damaged archive. Pack it again, or upload the file inside.", name=name
    )
