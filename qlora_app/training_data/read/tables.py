"""Rows of tables: CSV and TSV however they are delimited, with or without names in the first line, and Parquet."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, BinaryIO, Literal, NamedTuple, TextIO

from ...errors import UserError
from ..formats.turns import KNOWN_NAMES

Found = tuple[int | None, Any, str | None]  # (line a row starts on, its value, why it cannot be read)

SAMPLE = 262_144  # characters that decide how a table is laid out
_MOST_LINES = 1000
_BATCH = 256  # rows of a Parquet table in memory at once
_END = "\x1eend of file\x1e"  # a line after the last one: if a quote is still open, it becomes part of a cell
# One cell may be as long as a book; the csv module's own limit, 131,072 characters, would stop at the first long
# answer.
csv.field_size_limit(64 * 1024 * 1024)


Quoting = Literal[0, 3]  # csv.QUOTE_MINIMAL, csv.QUOTE_NONE
_LAYOUTS: tuple[tuple[str, Quoting], ...] = (
    (",", csv.QUOTE_MINIMAL),
    (";", csv.QUOTE_MINIMAL),
    ("\t", csv.QUOTE_MINIMAL),
    ("|", csv.QUOTE_MINIMAL),
    ("\t", csv.QUOTE_NONE),
)


class Layout(NamedTuple):
    """How a table is written."""

    skipped: int  # lines before the first record
    delimiter: str
    quoting: Quoting
    has_names: bool  # in the first record


NO_NAMES = (
    "The first line does not look like the names of columns, so it is read as a row and the columns are called "
    "col1, col2 and so on."
)


def layout_of(sample: str) -> Layout | None:
    """The layout by which most records have as many fields as the first; None for text that is no table."""
    named = re.match(r"\s*sep=(.)\r?\n", sample)  # Excel's way of naming the delimiter
    if named:
        return Layout(named[0].count("\n"), named[1], csv.QUOTE_MINIMAL, True)
    first_line = sample.strip().partition("\n")[0].strip().strip('"').lower()
    best, found = (0.0, 0), None
    if first_line in KNOWN_NAMES:  # a single column
        found = Layout(0, ",", csv.QUOTE_MINIMAL, True)
    for delimiter, quoting in _LAYOUTS:
        records = _records(sample, delimiter, quoting)
        if not records or len(records[0]) < 2:
            continue
        agreeing = sum(len(cells) == len(records[0]) for cells in records) / len(records)
        has_names = _are_names(records[0])
        # A lone quote in a TSV swallows the lines up to the next one: as good a fit with more rows means it is just
        # text.
        score = (agreeing, len(records) if delimiter == "\t" else 0)
        if score > best and _is_table(sample, records[0], agreeing, has_names):
            best, found = score, Layout(0, delimiter, quoting, has_names)
    return found


def _is_table(sample: str, first: list[str], agreeing: float, named: bool) -> bool:
    """Prose has commas too: without a name that is known most records must agree,
    and without names there is no empty line.
    """
    if not KNOWN_NAMES.isdisjoint(_lowered(first)):
        return True
    return agreeing > 0.8 and (named or not re.search(r"\n[ \t\r]*\n", sample.strip()))


def read_table(file: TextIO, name: str, layout: Layout) -> Iterator[Found]:
    """Every record with its line; raises UserError where the table cannot be read on."""
    lines = _Lines(chain(islice(file, layout.skipped, None), [_END]))
    records = csv.reader(lines, delimiter=layout.delimiter, quoting=layout.quoting)
    header: list[str] = []
    line = 1 + layout.skipped
    try:
        for cells in records:
            if (
                len(lines.taken) > 1
                and header
                and layout.delimiter == "\t"
                and (apart := _swallowed(lines.taken, len(header)))
            ):
                for offset, one in enumerate(apart):
                    yield _record(line + offset, header, one)
                line = records.line_num + 1 + layout.skipped
                lines.taken.clear()
                continue
            lines.taken.clear()
            if cells and cells[-1].endswith(_END):
                if len(cells) > 1 or cells[0] != _END:
                    raise UserError(
                        "dataset.open_quote",
                        "{name} has a quote that opens on line {line} and never closes. Close it, then upload again.",
                        name=name,
                        line=line,
                    )
            elif not header and layout.has_names:
                header = _header(cells, name)
            elif any(not cell.isspace() and cell for cell in cells):
                header = header or [f"col{number}" for number in range(1, len(cells) + 1)]
                yield _record(line, header, cells)
            line = records.line_num + 1 + layout.skipped
    except csv.Error as error:
        raise UserError(
            "dataset.broken_table",
            "{name} cannot be read from line {line} on ({error}). Put texts with line ends in quotes.",
            name=name,
            line=line,
            error=error,
        ) from error


class _Lines:
    """Lines on their way to the csv module, which asks for more where a quote is open.

    Those of the record it reads are kept.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        return line


def _swallowed(lines: list[str], fields: int) -> list[list[str]]:
    """The rows that a lone quote made one of: lines of a TSV each of which has all its fields.

    None where the quote holds a text.
    """
    apart = [line.rstrip("\r\n").split("\t") for line in lines if line != _END and line.strip()]
    if all(len(cells) == fields for cells in apart):
        return apart
    return []


def read_parquet(file: BinaryIO, name: str) -> Iterator[Found]:
    """Every row as JSON would hold it, a few at a time. Raises UserError for a damaged file."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
        for batch in table.iter_batches(_BATCH):
            for row in batch.to_pylist():
                yield None, row, None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(
            "dataset.damaged_parquet",
            "{name} is a damaged Parquet file, or one of a kind that cannot be read. Download or save it again.",
            name=name,
        ) from error


def _header(cells: list[str], name: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    names = Counter(cell.lower() for cell in header if cell)
    for one, times in names.most_common(1):
        if times > 1:
            raise UserError(
                "dataset.same_columns",
                "{name} has two columns named {column!r}. Rename one of them; the first line holds the names.",
                name=name,
                column=one[:30],
            )
    if not names:
        return []
    return header


def _record(line: int, header: list[str], cells: list[str]) -> Found:
    while len(cells) > len(header) and not cells[-1].strip():  # spreadsheets add empty cells at the end
        cells.pop()
    if len(cells) != len(header):
        return (
            line,
            None,
            (
                f"it has {len(cells)} fields, the header has {len(header)}; "
                "a text with a separator in it must stand in quotes"
            ),
        )
    return line, {name: cell for name, cell in zip(header, cells, strict=True) if name}, None


def _are_names(cells: list[str]) -> bool:
    """Could the first record be names?

    One known name is enough; otherwise each is short, has a letter and is no sentence.
    """
    names = [cell for cell in _lowered(cells) if cell]
    if not KNOWN_NAMES.isdisjoint(names):
        return True
    different = len(set(names)) == len(names)
    return different and all(
        len(name) <= 40 and re.search(r"[^\W\d]", name) and not re.search(r"[?!\n\\]|[.:;,]$", name) for name in names
    )


def _lowered(cells: list[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _records(sample: str, delimiter: str, quoting: Quoting) -> list[list[str]]:
    """The records of the first lines: of the same lines for every layout, so that their number can be compared."""
    if "\n" in sample:
        lines = re.findall(r"[^\n]*\n|[^\n]+$", sample)
    else:
        lines = sample.splitlines(keepends=True)
    if len(sample) >= SAMPLE and len(lines) > 1:
        lines.pop()  # cut in the middle
    try:
        return [cells for cells in csv.reader(lines[:_MOST_LINES], delimiter=delimiter, quoting=quoting) if cells]
    except csv.Error:
        return []
