"""What kind of file the bytes are, whatever its name says: one that is read, or something to refuse in plain words."""

import re
import zipfile
from pathlib import Path

from ...errors import Problem, UserError
from .archives import is_document
from .content import DAMAGED, HEAD, ZIP, Content
from .refusals import WANTED, NotTrainable

_UNPACK = Problem("advice.unpack", "Unpack it, then upload the file inside.")
_AS_JSONL = Problem("advice.save_as_jsonl", "Save it as JSONL and upload that.")
_AS_CSV = Problem("advice.save_as_csv", "Save it as CSV (UTF-8) and upload that.")
_AS_TEXT = Problem("advice.save_as_text", "Save it as .docx or as text (UTF-8) and upload that.")
_REFUSED = [
    (b"\x1f\x8b", "an archive inside another one", _UNPACK),
    (b"PK\x03\x04", "an archive inside another one", _UNPACK),
    (b"BZh", "an archive inside another one", _UNPACK),
    (b"\xfd7zXZ", "an archive inside another one", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "an archive inside another one", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x04\x22\x4d\x18", "an lz4 archive", _UNPACK),
    (b"\x1f\x9d", "a compressed file (.Z)", _UNPACK),
    (b"LZIP", "an lzip archive", _UNPACK),
    (b"SQLite format 3", "a SQLite database", _AS_CSV),
    (b"{\\rtf", "a rich text document (RTF)", _AS_TEXT),
    (b"%!PS", "a PostScript document", _AS_TEXT),
    (b"\x89PNG", "a picture", WANTED),
    (b"\xff\xd8\xff", "a picture", WANTED),
    (b"GIF8", "a picture", WANTED),
    (b"II*\0", "a picture", WANTED),
    (b"MM\0*", "a picture", WANTED),
    (b"ID3", "a sound file", WANTED),
    (b"OggS", "a sound file", WANTED),
    (b"fLaC", "a sound file", WANTED),
    (b"\x1aE\xdf\xa3", "a video", WANTED),
    (b"\x89HDF", "an HDF5 file", _AS_JSONL),
    (b"\x93NUMPY", "a NumPy array", _AS_JSONL),
    (b"Obj\x01", "an Avro file", _AS_JSONL),
    (b"ORC", "an ORC file", _AS_JSONL),
    (b"RDX", "data of R", _AS_CSV),
    (b"RDA", "data of R", _AS_CSV),
    (b"$FL2", "data of SPSS", _AS_CSV),
    (b"<stata_dta>", "data of Stata", _AS_CSV),
    (b"GGUF", "a model, not data", WANTED),
    (b"\x7fELF", "a program", WANTED),
    (b"MZ\x90", "a program", WANTED),
]
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95\]}c(KXq]|cos\n|c__builtin__\n|\([dl]p0\n")
_WEB_PAGE = re.compile(rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!doctype html|<html|<head|<body)", re.S)
_XML = re.compile(rb"<\?xml|<!doctype|<(\w[\w:.-]*)(?:\s[^<>]*)?>\s*<\w[\w:.-]*(?:\s[^<>]*)?/?>", re.S)
_OLE = b"\xd0\xcf\x11\xe0"
_STREAM = b"\xff\xff\xff\xff"  # of Arrow, followed by the length of the first message
_OLE_LOOKED = 1 << 26  # bytes in which the names inside of an old document are looked for


def kind_of(content: Content) -> tuple[str, bytes]:
    """(what kind of file it is, its first bytes): parquet, arrow, workbook, document, pdf, html or text.

    Raises UserError for an empty file and every other kind.
    """
    name, head = content.name, content.head()
    if not head.strip(b" \t\r\n\xef\xbb\xbf") and len(head) < HEAD:
        raise NotTrainable(
            "dataset.empty_file",
            "{name} is empty: it has no rows ({bytes} bytes). {wanted}",
            None,
            0,
            name=name,
            bytes=len(head),
            wanted=WANTED,
        )
    binary = _binary_kind(content, head)
    if binary:
        return binary, head
    for magic, kind, advice in _REFUSED:
        if head.startswith(magic):
            raise _other_kind(name, kind, advice)
    if head[257:262] == b"ustar":
        raise _other_kind(name, "a tar archive", _UNPACK)
    if head[:4] == b"RIFF" or head[4:8] == b"ftyp":
        raise _other_kind(name, "a sound file or a video", WANTED)
    _refuse_texts_of_programs(name, head)
    return _marked_up(content, head), head


def _other_kind(name: str, kind: str, advice: Problem) -> UserError:
    return UserError("dataset.other_kind", "{name} is {kind}. {advice}", name=name, kind=kind, advice=advice)


def _binary_kind(content: Content, head: bytes) -> str:
    """Of a file that is no text and is read; empty for every other."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"FEA1")) or _is_arrow_stream(head):
        return "arrow"
    if head.startswith(b"%PDF") or b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(_OLE):
        return _old_document(content)
    if head.startswith(ZIP):
        return _packed_document(content)
    return ""


def _is_arrow_stream(head: bytes) -> bool:
    return head.startswith(_STREAM) and 8 < int.from_bytes(head[4:8], "little") < 1 << 26 and head[8:9] != b"\xff"


def _old_document(content: Content) -> str:
    """A container of older office programs: a workbook is read."""
    with content.open() as file:
        inside = file.read(_OLE_LOOKED)
    if "EncryptedPackage".encode("utf-16-le") in inside:
        raise UserError(
            "dataset.office_password",
            "{name} is an office document with a password. Save it without one, then upload it again.",
            name=content.name,
        )
    if "WordDocument".encode("utf-16-le") in inside:
        raise _other_kind(content.name, "an old Word document (.doc)", _AS_TEXT)
    if "PowerPoint Document".encode("utf-16-le") in inside:
        raise _other_kind(content.name, "a PowerPoint presentation", _AS_TEXT)
    if "Workbook".encode("utf-16-le") in inside or "Book".encode("utf-16-le") in inside:
        return "workbook"
    raise _other_kind(content.name, "an old office document", _AS_CSV)


def _packed_document(content: Content) -> str:
    """A workbook or a document, which are .zip files too; empty for other archives."""
    try:
        with zipfile.ZipFile(content.whole()) as packed:
            names = packed.namelist()
            kind = packed.read("mimetype")[:100] if "mimetype" in names else b""
    except DAMAGED:
        return ""
    if not is_document(names):
        return ""
    if any(name.startswith("xl/") for name in names):
        if not any(name.startswith("xl/workbook.") for name in names):
            raise _other_kind(content.name, "a workbook that is damaged", _AS_CSV)
        return "workbook"
    if b"spreadsheet" in kind:
        return "workbook"
    if "word/document.xml" in names or b"opendocument.text" in kind or "META-INF/container.xml" in names:
        return "document"
    if any(name.startswith("ppt/") for name in names):
        raise _other_kind(content.name, "a PowerPoint presentation", _AS_TEXT)
    raise UserError(
        "dataset.office_document",
        "{name} is an office document without a text or a table that can be read. {advice}",
        name=content.name,
        advice=_AS_TEXT,
    )


def _refuse_texts_of_programs(name: str, head: bytes) -> None:
    """Texts that are no data. Raises UserError."""
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


def _marked_up(content: Content, head: bytes) -> str:
    """`text`, or `html` for a page that is called one. Raises UserError for other pages and for XML."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:4096].lower()
    if _WEB_PAGE.match(start):
        ending = Path(content.part or content.name).suffix.lower()
        if ending in (".html", ".htm", ".xhtml"):
            return "html"
        raise UserError(
            "dataset.web_page",
            "{name} is a web page (HTML), not a dataset. Download it again; it probably needs a login.",
            name=content.name,
        )
    if start.startswith(b"<svg") or (b"<svg" in start[:1000] and start.startswith(b"<?xml")):
        raise _other_kind(content.name, "a picture (SVG)", WANTED)
    if _XML.match(start):
        raise UserError(
            "dataset.xml",
            "{name} is XML, which has no rows that could be told apart. Save what is in it as CSV or JSONL: one row "
            "for each example, one column for each kind of element.",
            name=content.name,
        )
    return "text"
