"""What kind of file the bytes are, whatever its name says: text, or something to refuse in plain words."""

import re
from typing import Any

from ...errors import Problem, UserError
from .archives import Content

WANTED = Problem(
    "advice.give_file",
    "Give a JSON, JSONL, CSV, TSV, Parquet or text file; docs/data.md lists the formats that are read.",
)
_HEAD = 65_536  # bytes that decide what kind of file it is
_UNPACK = Problem("advice.unpack", "Unpack it, then upload the file inside.")
_AS_JSONL = Problem("advice.save_as_jsonl", "Save it as JSONL and upload that.")
_AS_CSV = Problem("advice.save_as_csv", "Save it as CSV (UTF-8) and upload that.")
_MAGIC = [
    (b"ARROW1", "an Arrow table, which cannot be read yet", _AS_JSONL),
    (b"\x1f\x8b", "an archive inside another one", _UNPACK),
    (b"PK\x03\x04", "an archive inside another one", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word document", _AS_CSV),
    (b"SQLite format 3", "a SQLite database", _AS_CSV),
    (b"%PDF", "a PDF document", WANTED),
    (b"\x89PNG", "a picture", WANTED),
    (b"\xff\xd8\xff", "a picture", WANTED),
    (b"\x89HDF", "an HDF5 file", _AS_JSONL),
    (b"\x93NUMPY", "a NumPy array", _AS_JSONL),
    (b"GGUF", "a model, not data", WANTED),
]
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95\]}c(KXq]|cos\n|c__builtin__\n|\([dl]p0\n")
_MARKUP = re.compile(rb"<!doctype|<html|<head|<body|<\?xml")


class NotTrainable(UserError):
    """A file that was read, and nothing in it can be learned from as it is: its
    format, if it has one, and how many rows.
    """

    def __init__(self, code: str, template: str, format: str | None, rows: int, /, **values: Any) -> None:
        super().__init__(code, template, rows=rows, **values)
        self.format, self.rows = format, rows


def refuse_other_kinds(content: Content) -> bytes:
    """The first bytes of a file of text or of a Parquet table.

    Raises UserError for an empty file and every other kind.
    """
    name = content.name
    with content.open() as file:
        head = file.read(_HEAD)
    if not head.strip(b" \t\r\n\xef\xbb\xbf") and len(head) < _HEAD:
        raise NotTrainable(
            "dataset.empty_file",
            "{name} is empty: it has no rows ({bytes} bytes). {wanted}",
            None,
            0,
            name=name,
            bytes=len(head),
            wanted=WANTED,
        )
    for magic, kind, advice in _MAGIC:
        if head.startswith(magic):
            raise UserError("dataset.other_kind", "{name} is {kind}. {advice}", name=name, kind=kind, advice=advice)
    if _PICKLE.match(head):
        raise UserError(
            "dataset.pickle",
            "{name} is a Python pickle, which could run a program when it is opened, so it never is. {advice}",
            name=name,
            advice=_AS_JSONL,
        )
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if start.startswith(b"version https://git-lfs"):
        size = re.search(rb"size (\d{1,15})\b", head)
        real = Problem("dataset.lfs_size", " to {bytes:,} bytes", bytes=int(size[1])) if size else ""
        raise UserError(
            "dataset.lfs_pointer",
            "{name} is a Git LFS pointer{size}, not the data itself. Run `git lfs pull`, or download the real file.",
            name=name,
            size=real,
        )
    if _MARKUP.match(start):
        raise UserError(
            "dataset.web_page",
            "{name} is a web page (HTML or XML), not a dataset. Download it again; it probably needs a login.",
            name=name,
        )
    return head
