"""Rows of tables of text: CSV and TSV however they are delimited, with or without names in the first line."""

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import TextIO

from ...errors import UserError
from .asking import AskReading
from .layout import Layout
from .reading import Doubt, Found

_END = "\x1eend of file\x1e"  # a line after the last one: if a quote is still open, it becomes part of a cell

NO_NAMES = (
    "The first line does not look like the names of columns, so it is read as a row and the columns are called "
    "col1, col2 and so on."
)


class Table:
    """A table of text: its rows, and what is to be said of it once they were read."""

    def __init__(self, name: str, layout: Layout) -> None:
        self.name, self.layout = name, layout
        self.warnings: list[str] = []
        self.doubts: list[Doubt] = []
        self._lone_quotes: list[int] = []  # lines
        self._lost: Counter[int] = Counter()  # columns without a name, in how many rows they hold something
        if not layout.has_names:
            self.warnings.append(NO_NAMES)
        if layout.titles:
            shown = next((title for title in layout.titles if title), "")
            self.warnings.append(
                f"{layout.skipped:,} lines stand before the names of the columns and are not read (first: {shown!r})."
            )

    def rows(self, file: TextIO) -> Iterator[Found]:
        """Every record with its line; raises UserError where the table cannot be read on."""
        layout = self.layout
        lines = _Lines(chain(islice(file, layout.skipped, None), [_END]))
        records = csv.reader(lines, **layout.dialect)  # type: ignore[arg-type]
        header: list[str] = []
        nameless: list[int] = []
        line = 1 + layout.skipped
        try:
            for cells in records:
                taken, begun = lines.take(), line
                if layout.delimiter == "|":  # as Markdown writes it, blanks stand around each cell
                    cells = [cell.strip(" ") for cell in cells]
                line = records.line_num + 1 + layout.skipped
                apart = _swallowed(taken, header, layout) if len(taken) > 1 and header else []
                if apart:
                    self._lone_quotes.append(begun)
                    for offset, one in apart:
                        yield _record(begun + offset, header, one)
                elif cells and cells[-1].endswith(_END):
                    if len(cells) > 1 or cells[0] != _END:
                        raise self._open_quote(begun)
                elif not header and layout.has_names:
                    header = self._header(cells)
                    nameless = [place for place, name in enumerate(header) if not name]
                elif any(not cell.isspace() and cell for cell in cells):
                    header = header or [f"col{number}" for number in range(1, len(cells) + 1)]
                    self._lost.update(place + 1 for place in nameless if _says(cells, place))
                    yield _record(begun, header, cells)
        except csv.Error as error:
            raise UserError(
                "dataset.broken_table",
                "{name} cannot be read from line {line} on ({error}). Put texts with line ends in quotes.",
                name=self.name,
                line=line,
                error=error,
            ) from error
        self.warnings += nameless_words(self._lost)
        if self._lone_quotes:
            self.warnings.append(
                f"Quotes that open and never close are read as letters: {len(self._lone_quotes):,} of them "
                f"(first: line {self._lone_quotes[0]}). If they enclose texts over several lines, close them."
            )

    def _open_quote(self, line: int) -> UserError:
        error = AskReading(
            "dataset.open_quote",
            "{name} has a quote that opens on line {line} and never closes. Close it, then upload again; or say that "
            "quotes enclose nothing there (dataset.quoting=no).",
            "unknown",
            0,
            [],
            name=self.name,
            line=line,
        )
        error.doubts = (Doubt("quoting", "yes", (("no", ""), ("yes", ""))),)
        return error

    def _header(self, cells: list[str]) -> list[str]:
        header, notes = named_columns(cells)
        self.warnings += notes
        return header


def named_columns(cells: list[str], has_names: bool = True) -> tuple[list[str], list[str]]:
    """(the names of the columns, each once; what is odd about them). A column without one is not read."""
    if not has_names:
        return [f"col{number}" for number in range(1, len(cells) + 1)], []
    header: list[str] = []
    seen: Counter[str] = Counter()
    for cell in cells:
        name = cell.strip()
        seen[name.lower()] += 1
        header.append(f"{name} ({seen[name.lower()]})" if name and seen[name.lower()] > 1 else name)
    notes = []
    twice = [name for name in seen if name and seen[name] > 1]
    if twice:
        shown = twice[0][:30]
        notes.append(f"More than one column is named {shown!r}; the second is called {shown + ' (2)'!r}, and so on.")
    return (header if any(header) else []), notes


def nameless_words(lost: Counter[int]) -> list[str]:
    """What is said of columns that have no name: which they are, and in how many rows they hold something."""
    if not lost:
        return []
    listed = ", ".join(f"{column} ({rows:,})" for column, rows in sorted(lost.items())[:5])
    return [f"Columns without a name are not read, with the number of rows they stand in: {listed}."]


def _says(cells: list[str], place: int) -> bool:
    """Is there more than a number that counts the rows?"""
    return place < len(cells) and bool(cells[place].strip()) and not cells[place].strip().isdigit()


class _Lines:
    """Lines on their way to the csv module, which asks for more where a quote is open.

    Those of the record it reads are kept.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._taken.append(line)
        return line

    def take(self) -> list[str]:
        """The lines of a record."""
        taken, self._taken = self._taken, []
        return taken


def _swallowed(lines: list[str], header: list[str], layout: Layout) -> list[tuple[int, list[str]]]:
    """[(line within these, cells)] of the rows that a lone quote made one of: lines each of which has all its fields.

    None where the quote holds a text.
    """
    fields = len(header)
    if fields < 2 or not layout.quotes:
        return []
    filled = [(offset, line) for offset, line in enumerate(lines) if line != _END and line.strip()]
    apart = [(offset, line.rstrip("\r\n").split(layout.delimiter)) for offset, line in filled]
    if not all(len(cells) == fields for _, cells in apart):
        return []
    if layout.delimiter != "\t" and _is_quoted(lines, layout) and (fields < 3 or len(apart) < 3):
        return []
    return apart


def _is_quoted(lines: list[str], layout: Layout) -> bool:
    """Are the quotes where quotes belong?"""
    if lines[-1] == _END:
        return False
    try:
        list(csv.reader(lines, strict=True, **layout.dialect))  # type: ignore[arg-type]
    except csv.Error:
        return False
    return True


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
