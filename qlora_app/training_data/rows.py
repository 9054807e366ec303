"""From a text file to its rows, one after another. What the text looks like decides, not what the file is called."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ..errors import UserError
from .formats import RepeatedKey
from .text_files import WANTED, find_encoding, refuse_other_kinds

_AGAIN = "Nothing was imported; download or save it again, then upload the whole file."
_SAMPLE = 262_144  # characters that decide how a table is laid out
_WRAPPERS = ("data", "rows", "train", "examples", "records", "items", "dataset")  # {"data": [rows]}
_END = "\x1eend of file\x1e"  # a line after the last one: if a quote is still open, it becomes part of a cell
# One cell may be as long as a book; the csv module's own limit, 131,072 characters, would stop at the first long answer.
csv.field_size_limit(64 * 1024 * 1024)


class Row(NamedTuple):
    """One row: its number from 1, the line it starts on if known, and its value, or `problem`: why it cannot be read."""

    number: int
    line: int | None
    value: Any
    problem: str | None = None


class RowSource:
    """The rows of one file. Raises UserError naming the file, and OSError if it cannot be opened."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        refuse_other_kinds(path, name)
        self.encoding, self.warnings = find_encoding(path, name)

    def __iter__(self) -> Iterator[Row]:
        with self._open() as file:
            read = self._structure(file)
        # csv finds the line ends itself; in JSON only \n ends a line, because U+2028, U+0085 and \x0b are legal inside strings
        with self._open("" if read == self._table else "\n") as file:
            yield from read(file)

    def _open(self, newline: str = "\n") -> TextIO:
        return self.path.open(encoding=self.encoding, newline=newline)

    def _refusal(self, found: str, advice: str) -> UserError:
        return UserError(f"{self.name} {found}. {advice}")

    def _structure(self, file: TextIO) -> Callable[[TextIO], Iterator[Row]]:
        """By the first two lines with something on them."""
        lines = (line.strip() for line in file)
        first, second = (next((line for line in lines if line), "") for _ in range(2))
        if not first:
            raise self._refusal("is empty: it has no rows", WANTED)
        if first[0] == "[":
            return self._lines if second and first[-1] == "]" and _decode(first)[1] is None else self._array
        if first[0] not in '{"':
            return self._table
        whole = _decode(first)[1] is None
        if first[0] == '"':
            return self._lines if whole else self._table
        if whole:
            return self._lines if second else self._one_object
        file.seek(0)  # a broken first line of many, or an object written over several lines
        return self._lines if second.startswith("{") and _decode(file.read())[1] else self._one_object

    def _lines(self, file: TextIO) -> Iterator[Row]:
        number, text, problem = 0, "", None
        for line, text in enumerate(file, start=1):
            if text.strip():
                number += 1
                value, problem = _decode(text)
                yield Row(number, line, value, problem)
        if problem and not text.endswith("\n"):
            raise self._refusal(f"ends in the middle of row {number} (line {line}): it was cut off", _AGAIN)

    def _one_object(self, file: TextIO) -> Iterator[Row]:
        value, problem = _decode(file.read())
        if problem:
            raise self._refusal(f"cannot be read: {problem}", "Correct it, or write one JSON object per line.")
        lists = [key for key in value if key in _WRAPPERS and isinstance(value[key], list)]
        lists = [key for key in lists if all(isinstance(row, (dict, list)) for row in value[key][:1])]
        if len(lists) > 1:
            raise self._refusal(f"holds several lists of rows ({', '.join(lists)})", "Save the one to train on as its own file.")
        if len(value) > 1 and all(isinstance(cells, list) and cells and isinstance(cells[0], str) for cells in value.values()):
            raise self._refusal("is written column by column", 'Write one object per row: {"question": "…", "answer": "…"}.')
        rows = value[lists[0]] if lists else [value] if value else []
        yield from (Row(number, None, row) for number, row in enumerate(rows, start=1))

    def _array(self, file: TextIO) -> Iterator[Row]:
        """One element after another, so that a broken one is named by its row and line."""
        text = file.read()
        position = _BLANK.match(text, text.index("[") + 1).end()
        number, line, counted = 0, 1, 0
        while not text.startswith("]", position):  # after a last comma too, which people write and JSON forbids
            number += 1
            line, counted = line + text.count("\n", counted, position), position
            try:
                value, end = _DECODER.raw_decode(text, position)
            except json.JSONDecodeError as error:
                raise self._broken_array(error, number, line) from error
            except RecursionError as error:
                raise self._refusal(f"is nested too deeply in row {number} (line {line})", "Rows are flat.") from error
            yield Row(number, line, value)
            between = _BETWEEN.match(text, end)
            position = between.end()
            if between[1] != ",":
                break
        if not text.startswith("]", position):
            raise self._broken_end(text[position:position + 20], number, line)
        if text[position + 1:].strip():
            raise self._refusal(f"goes on after the bracket ] that ends its {number:,} rows", "Write one list, or one row per line.")

    def _broken_array(self, error: json.JSONDecodeError, number: int, line: int) -> UserError:
        if not error.doc[error.pos:].strip() or error.msg.startswith("Unterminated string"):
            return self._refusal(f"ends in the middle of row {number} (line {line}): it was cut off", _AGAIN)
        return self._refusal(f"cannot be read in row {number}, line {error.lineno}: {_json_problem(error)}", "Correct that line.")

    def _broken_end(self, found: str, number: int, line: int) -> UserError:
        if found:
            return self._refusal(f"has {found!r} instead of a comma or ] after row {number} (line {line})", "Correct that line.")
        return self._refusal(f"ends after row {number} (line {line}) without the closing bracket ]: it was cut off", _AGAIN)

    def _table(self, file: TextIO) -> Iterator[Row]:
        sample = file.read(_SAMPLE)
        file.seek(0)
        layout = _layout(sample)
        if layout is None:
            is_json = self.name.lower().endswith((".json", ".jsonl"))
            raise self._refusal(f"is not JSON: it starts with {sample.strip()[:20]!r}" if is_json else
                                "looks like plain text or has only one column, which cannot be trained on yet", WANTED)
        skipped, delimiter, quoting = layout
        records = csv.reader(chain(islice(file, skipped, None), [_END]), delimiter=delimiter, quoting=quoting)
        header: list[str] = []
        number, line = 0, 1 + skipped
        try:
            for cells in records:
                if cells and cells[-1].endswith(_END):
                    if len(cells) > 1 or cells[0] != _END:
                        raise self._refusal(f"has a quote that opens on line {line} and never closes", "Close it, then upload again.")
                elif not header:
                    header = self._header(cells)
                elif any(not cell.isspace() and cell for cell in cells):
                    number += 1
                    yield _record(number, line, header, cells)
                line = records.line_num + 1 + skipped
        except csv.Error as error:
            raise self._refusal(f"cannot be read from line {line} on ({error})", "Put texts with line ends in quotes.") from error

    def _header(self, cells: list[str]) -> list[str]:
        header = [cell.strip() for cell in cells]
        names = Counter(cell.lower() for cell in header if cell)
        for name, times in names.most_common(1):
            if times > 1:
                raise self._refusal(f"has two columns named {name[:30]!r}", "Rename one of them; the first line holds the names.")
        return header if names else []


def _record(number: int, line: int, header: list[str], cells: list[str]) -> Row:
    while len(cells) > len(header) and not cells[-1].strip():  # spreadsheets add empty cells at the end
        cells.pop()
    if len(cells) != len(header):
        return Row(number, line, None, f"it has {len(cells)} fields, the header has {len(header)}; "
                                       "a text with a separator in it must stand in quotes")
    return Row(number, line, {name: cell for name, cell in zip(header, cells, strict=True) if name})


def _layout(sample: str) -> tuple[int, str, int] | None:
    """(lines to skip, delimiter, quoting) by which most records have as many fields as the header; None if none has two."""
    named = re.match(r"\s*sep=(.)\r?\n", sample)  # Excel's way of naming the delimiter
    if named:
        return named[0].count("\n"), named[1], csv.QUOTE_MINIMAL
    best, found = (0.0, 0), None
    for delimiter, quoting in (*((each, csv.QUOTE_MINIMAL) for each in ",;\t|"), ("\t", csv.QUOTE_NONE)):
        counts = _field_counts(sample, delimiter, quoting)
        if counts and counts[0] > 1:
            # A lone quote in a TSV swallows the lines up to the next one: as good a fit with more rows means it is just text.
            score = (counts.count(counts[0]) / len(counts), len(counts) if delimiter == "\t" else 0)
            if score > best:
                best, found = score, (0, delimiter, quoting)
    return found


def _field_counts(sample: str, delimiter: str, quoting: int) -> list[int]:
    """Number of fields of the first 200 records."""
    lines = sample.splitlines(keepends=True) if "\n" not in sample else re.findall(r"[^\n]*\n|[^\n]+$", sample)
    if len(sample) >= _SAMPLE and len(lines) > 1:
        lines.pop()  # cut in the middle
    try:
        return [len(cells) for cells in islice(csv.reader(lines, delimiter=delimiter, quoting=quoting), 200) if cells]
    except csv.Error:
        return []


_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n]*(,?)[ \t\r\n]*")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else RepeatedKey(value)


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) < 4000 else float("inf")  # int() refuses longer ones with an error nobody understands


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole_number, strict=False)


def _decode(text: str) -> tuple[Any, str | None]:
    """(value, None) or (None, what is wrong)."""
    try:
        return _DECODER.decode(text), None
    except json.JSONDecodeError as error:
        return None, _json_problem(error)
    except RecursionError:
        return None, "it is nested too deeply"


def _json_problem(error: json.JSONDecodeError) -> str:
    found = error.doc[error.pos:error.pos + 20].partition("\n")[0].strip()
    return f"it is not valid JSON: {error.msg[0].lower()}{error.msg[1:]} {f'before {found!r}' if found else 'at the end'}"
