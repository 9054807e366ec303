"""From the bytes of a file to its rows, one after another: what kind of file it is, its encoding, its structure."""

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ..errors import UserError
from .formats import RepeatedKey

WANTED = "Give a JSON, JSONL or CSV file with rows of instruction/output, messages, conversations, or question/answer columns."
AGAIN = "Nothing was imported; download or save it again, then upload the whole file."
_HEAD = 65536  # bytes that decide what kind of file it is
_MAGIC: list[tuple[bytes, str, str]] = [
    (b"PAR1", "a Parquet table", "Save it as JSONL (`to_json(lines=True)` in pandas) and upload that."),
    (b"ARROW1", "an Arrow table", "Save it as JSONL and upload that."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it and upload the file inside."),
    (b"BZh", "a bzip2 archive", "Unpack it and upload the file inside."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it and upload the file inside."),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "Unpack it and upload the file inside."),
    (b"7z\xbc\xaf", "a 7-Zip archive", "Unpack it and upload the file inside."),
    (b"Rar!", "a RAR archive", "Unpack it and upload the file inside."),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word document", "Save it as CSV (UTF-8) and upload that."),
    (b"SQLite format 3", "a SQLite database", "Export the table as CSV and upload that."),
    (b"%PDF", "a PDF document", "Upload the questions and answers as JSONL or CSV."),
    (b"\x89PNG", "a picture", "Upload text: JSON, JSONL or CSV."),
    (b"\xff\xd8\xff", "a picture", "Upload text: JSON, JSONL or CSV."),
    (b"\x89HDF", "an HDF5 file", "Save it as JSONL and upload that."),
    (b"\x93NUMPY", "a NumPy array", "Save it as JSONL and upload that."),
    (b"GGUF", "a model, not data", "Upload the data to train on."),
]
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95\]}c(KX]|cos\n|c__builtin__\n|\([dl]p0\n")
_WRAPPERS = ("data", "rows", "train", "examples", "records", "items", "dataset")
# One cell may be as long as a book; the default of the csv module, 131,072 characters, would stop at the first long answer.
csv.field_size_limit(64 * 1024 * 1024)


class Row(NamedTuple):
    """One row: its number from 1, the line it starts on, and its value, or `problem`: why it cannot be read."""

    number: int
    line: int
    value: Any
    problem: str | None = None


class RowSource:
    """The rows of one file. Iterate once; `warnings` is complete afterwards. Raises UserError naming the file."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name, self.warnings = path, name, list[str]()
        self._refuse_other_kinds()
        self.encoding = self._find_encoding()

    def __iter__(self) -> Iterator[Row]:
        # newline="\n": U+2028, U+0085 and \x0b are legal inside JSON strings, so nothing else may end a line
        with self.path.open(encoding=self.encoding, newline="\n") as file:
            structure = self._structure(file)
            file.seek(0)
            yield from structure(file)

    def refusal(self, found: str, advice: str) -> UserError:
        return UserError(f"{self.name} {found}. {advice}")

    # what kind of file

    def _refuse_other_kinds(self) -> None:
        with self.path.open("rb") as file:
            head = file.read(_HEAD)
        if not head.strip(b" \t\r\n\xef\xbb\xbf"):
            raise self.refusal(f"is empty: it has no rows ({self.path.stat().st_size} bytes)", WANTED)
        for magic, kind, advice in _MAGIC:
            if head.startswith(magic):
                raise self.refusal(f"is {kind}, which cannot be read yet", advice)
        if head.startswith(b"PK\x03\x04"):
            excel = b"xl/" in head or b"[Content_Types].xml" in head
            raise self.refusal("is an Excel workbook" if excel else "is a zip archive",
                               "Save it as CSV (UTF-8) and upload that." if excel else "Unpack it and upload the file inside.")
        if _PICKLE.match(head):
            raise self.refusal("is a Python pickle, which could run a program of its author and is never opened", "Save it as JSONL.")
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:300].lower()
        if start.startswith(b"version https://git-lfs"):
            size = re.search(rb"size (\d+)", head)
            real = f" of {int(size[1]):,} bytes" if size and len(size[1]) < 16 else ""
            raise self.refusal(f"is a Git LFS pointer, not the data{real} itself", "Run `git lfs pull`, or download the file itself.")
        if re.match(rb"<!doctype html|<html|<head|<\?xml|<body", start):
            raise self.refusal("is a web page (HTML or XML), not a dataset", "The download probably needed a login: download the file again.")

    def _find_encoding(self) -> str:
        with self.path.open("rb") as file:
            head = file.read(_HEAD)
            for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
                                   (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
                if head.startswith(mark):
                    return self._checked(encoding)
        if b"\0" in head:
            if not (head[::2].strip(b"\0") and head[1::2].strip(b"\0")) or head.count(b"\0") * 3 > len(head):
                return self._checked("utf-16-be" if head[:1] == b"\0" else "utf-16-le")
            raise self.refusal("is not text: it contains zero bytes", WANTED)
        if self._decodes("utf-8"):
            return "utf-8"
        words = self._checked("cp1252") and self._odd_words()
        self.warnings.append(f"The file is not UTF-8 and was read as Windows-1252. Please check these words: {words}.")
        return "cp1252"

    def _checked(self, encoding: str) -> str:
        if self._decodes(encoding):
            return encoding
        raise self.refusal("is not text in an encoding that is known here (tried UTF-8, UTF-16 and Windows-1252)", "Save it as UTF-8.")

    def _decodes(self, encoding: str) -> bool:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    decoder.decode(chunk)
                decoder.decode(b"", final=True)
        except UnicodeError:
            return False
        return True

    def _odd_words(self) -> str:
        with self.path.open(encoding="cp1252") as file:
            words = (word for line in file for word in re.findall(r"\w*[^\x00-\x7f]\w*", line))
            return ", ".join(word for word, _ in zip(words, range(4)))

    # which structure

    def _structure(self, file: TextIO) -> Callable[[TextIO], Iterator[Row]]:
        """By the first two lines with something on them, never by the name of the file."""
        lines = (line.strip() for line in file)
        first = next((line for line in lines if line), "")
        if not first:
            raise self.refusal("has no rows", WANTED)
        second = next((line for line in lines if line), "")
        if first[0] not in "[{" and not (first[0] == '"' and _is_json(first)):
            return self._table
        if first[0] == "[" and not (first[-1] == "]" and second and _is_json(first)):
            return self._array
        if first[0] == "{" and not _is_json(first) and not second.startswith("{"):
            return self._one_object
        return self._lines if second else self._one_object

    def _lines(self, file: TextIO) -> Iterator[Row]:
        number, broken = 0, None
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            number += 1
            row = Row(number, line, *_decode(text))
            broken = row if row.problem else None
            if row.problem:
                row = Row(number, line, None, f"line {line} {row.problem}")
            yield row
        if broken and not text.endswith("\n"):
            raise self.refusal(f"ends in the middle of row {number} (line {broken.line}): it was cut off", AGAIN)

    def _one_object(self, file: TextIO) -> Iterator[Row]:
        value, problem = _decode(file.read())
        if problem:
            raise self.refusal(f"is not valid JSON: it {problem}", "Correct it, or write one JSON object per line.")
        rows = [value]
        if isinstance(value, dict):
            lists = [key for key in value if key in _WRAPPERS and isinstance(value[key], list)]
            if len(lists) > 1:
                raise self.refusal(f"holds several lists ({', '.join(lists)})", "Save the one to train on as a file of its own.")
            columns = len(value) > 1 and all(isinstance(v, list) and v and isinstance(v[0], str) for v in value.values())
            if lists:
                rows = value[lists[0]]
            elif columns:
                raise self.refusal("is written column by column", "Write one object per row, such as {\"question\": …, \"answer\": …}.")
        for number, row in enumerate(rows if value else [], start=1):
            yield Row(number, 1, row)

    def _array(self, file: TextIO) -> Iterator[Row]:
        """One element after another, so that a broken one is named by its row and line."""
        text = file.read()
        position = _BLANK.match(text, text.index("[") + 1).end()
        number, line, counted = 0, 1, 0
        while number or not text.startswith("]", position):
            number += 1
            line, counted = line + text.count("\n", counted, position), position
            try:
                value, end = _DECODER.raw_decode(text, position)
            except json.JSONDecodeError as error:
                raise self._broken_array(error, number, line) from error
            except RecursionError as error:
                raise self.refusal(f"has a row that is nested too deeply (row {number}, line {line})", "Rows are plain objects.") from error
            yield Row(number, line, value)
            between = _BETWEEN.match(text, end)
            position = between.end()
            if between[1] != ",":
                break
        if not text.startswith("]", position):
            raise self._broken_end(text[position:position + 20], number, line)
        if text[position + 1:].strip():
            raise self.refusal(f"goes on after the closing bracket ] of its {number} rows", "Remove what follows, or write one object per line.")

    def _broken_end(self, found: str, number: int, line: int) -> UserError:
        if found:
            return self.refusal(f"is not valid JSON: after row {number} (line {line}) stands {found!r} instead of a comma or ]", "Correct it.")
        return self.refusal(f"ends after row {number} (line {line}) without the closing bracket ]: it was cut off", AGAIN)

    def _broken_array(self, error: json.JSONDecodeError, number: int, line: int) -> UserError:
        if not error.doc[error.pos + 1:].strip() or error.msg.startswith("Unterminated string"):
            return self.refusal(f"ends in the middle of row {number} (line {line}): it was cut off", AGAIN)
        return self.refusal(f"cannot be read in row {number}: line {error.lineno} {_json_problem(error)}", "Correct that line.")

    # tables

    def _table(self, file: TextIO) -> Iterator[Row]:
        file.seek(0)
        sample = file.read(_HEAD * 4)
        file.seek(0)
        layout = _layout(sample)
        if layout is None:
            json_name = self.name.lower().endswith((".json", ".jsonl"))
            found = f"is not JSON: it starts with {sample.strip()[:20]!r}" if json_name else \
                "looks like plain text or has only one column, which cannot be trained on yet"
            raise self.refusal(found, WANTED)
        skip, delimiter, quoting = layout
        for _ in range(skip):
            file.readline()
        # csv must see the line ends inside quotes as they are, and a file of old may end its lines with \r alone
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting)
        header = [cell.strip() for cell in next(reader)]
        lowered = [cell.lower() for cell in header if cell]
        twice = next((cell for cell in lowered if lowered.count(cell) > 1), None)
        if twice:
            raise self.refusal(f"has two columns named {twice!r}", "Rename one of them.")
        yield from self._records(reader, header, skip)

    def _records(self, reader: Any, header: list[str], skip: int) -> Iterator[Row]:
        number, line = 0, reader.line_num + 1 + skip
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise self.refusal(f"cannot be read as a table from line {line} on ({error})", "Put texts with line ends in quotes.") from error
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                number += 1
                problem = None if len(cells) == len(header) else \
                    f"line {line} has {len(cells)} fields, the header has {len(header)}: a text with a separator in it must stand in quotes"
                yield Row(number, line, {k: c for k, c in zip(header, cells) if k}, problem)
            line = reader.line_num + 1 + skip


def _layout(sample: str) -> tuple[int, str, int] | None:
    """(lines to skip, delimiter, quoting) by which most records have as many fields as the first; None if none has two."""
    first = sample.partition("\n")[0].strip()
    if re.fullmatch(r"sep=.", first):
        return 1, first[-1], csv.QUOTE_MINIMAL
    best, found = 0.0, None
    for delimiter in ",;\t|":
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE) if delimiter == "\t" else (csv.QUOTE_MINIMAL,):
            counts = _field_counts(sample, delimiter, quoting)
            if counts and counts[0] > 1:
                # the header of a table is the record least likely to hold a stray delimiter: its count is the measure
                share = counts.count(counts[0]) / len(counts)
                if share > best:
                    best, found = share, (0, delimiter, quoting)
    return found


def _field_counts(sample: str, delimiter: str, quoting: int) -> list[int]:
    lines = sample.split("\n")
    if len(lines) > 2:
        lines.pop()  # perhaps cut in the middle
    try:
        return [len(record) for record, _ in zip(csv.reader((line + "\n" for line in lines), delimiter=delimiter, quoting=quoting), range(200))
                if record]
    except csv.Error:
        return []


# JSON

_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n]*(,?)[ \t\r\n]*")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else RepeatedKey(value)


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) < 4000 else float("inf")  # Python itself refuses longer ones, with an error nobody understands


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole_number, strict=False)


def _is_json(text: str) -> bool:
    return _decode(text)[1] is None


def _decode(text: str) -> tuple[Any, str | None]:
    """(value, None) or (None, what is wrong)."""
    try:
        return _DECODER.decode(text), None
    except json.JSONDecodeError as error:
        return None, _json_problem(error)
    except RecursionError:
        return None, "is nested too deeply"


def _json_problem(error: json.JSONDecodeError) -> str:
    found = error.doc[error.pos:error.pos + 20].partition("\n")[0]
    place = f"before {found!r}" if found.strip() else "at its end"
    return f"is not valid JSON: {error.msg[0].lower()}{error.msg[1:]} {place}"
