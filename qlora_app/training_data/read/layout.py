"""How a table of text is written: delimiter, quotes, which line holds the names, what stands before it."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..formats.turns import KNOWN_NAMES
from .reading import Doubt, ReadAs

SAMPLE = 262_144  # characters that decide how a table is laid out
_MOST_LINES = 1000
_MOST_TITLES = 20  # records that may stand before the names
_GUESSED = (",", ";", "\t", "|")
_SELDOM = ("^", "~", "\x01")  # taken for a delimiter only where every line has them alike
_LONGEST_NAME = 60
_WORD = re.compile(r"[^\W\d][^\d.!?]{1,40}")
_NUMBER = re.compile(
    r"[\d\s.,:/TZ+-]*\d[\d\s.,:/TZ+-]*(?:[ap]\.?m\.?)?(?: ?(?:GMT|UTC|MEZ|[OM]E[SZ]+).*)?|\S+@\S+\.\w+", re.I
)
_SHOWN = 3  # cells of a row that is shown
# One cell may be as long as a book; the csv module's own limit, 131,072 characters, would stop at the first long
# answer.
csv.field_size_limit(64 * 1024 * 1024)


class Layout(NamedTuple):
    """How a table is written."""

    skipped: int  # lines before the names, or before the first row
    delimiter: str
    quotes: bool  # do they enclose texts?
    has_names: bool  # in the first record
    escape: str | None = None  # what stands before a quote inside of quotes, where it is not doubled
    titles: tuple[str, ...] = ()  # what stands in the lines that are skipped
    blanks: bool = False  # do blanks stand between a delimiter and a quote?

    @property
    def dialect(self) -> dict[str, object]:
        """What csv.reader takes."""
        quoting = csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE
        return {
            "delimiter": self.delimiter,
            "quoting": quoting,
            "escapechar": self.escape,
            "doublequote": self.escape is None,
            "skipinitialspace": self.blanks,
        }


class _Records(NamedTuple):
    """The records of a sample by one layout: the cells and the last line of each, and how many are empty."""

    cells: list[list[str]]
    ends: list[int]
    empty: int
    fields: int  # of most records
    titles: int  # records before the table

    @property
    def agreeing(self) -> float:
        """Which share of the records has as many fields as most."""
        body = self.cells[self.titles :]
        return sum(len(cells) == self.fields for cells in body) / max(1, len(body))


class FoundLayout(NamedTuple):
    """A layout, and what could be understood in another way."""

    layout: Layout
    doubts: list[Doubt]


def layout_of(sample: str, how: ReadAs = ReadAs()) -> FoundLayout | None:
    """The layout by which most records have as many fields; None for text that is no table.

    What was said of it (`how`) is not guessed.
    """
    named = re.match(r"\s*sep=(.)\r?\n", sample)  # Excel's way of naming the delimiter
    if named and how.delimiter == "auto":
        found = Layout(named[0].count("\n"), named[1], True, True)
        return FoundLayout(found, [])
    first_line = sample.strip().partition("\n")[0].strip().strip('"').lower()
    if not how.is_table and first_line not in KNOWN_NAMES and not any(one in sample for one in (*_GUESSED, *_SELDOM)):
        return None
    fits: list[tuple[tuple[float, float], Layout, _Records]] = []
    for layout in _candidates(sample, how):
        records = _records(sample, layout)
        if records is None:
            continue
        whole = _with_names(layout, records, how)
        if how.is_table or _is_table(records, whole):
            fits.append((_score(records, layout), whole, records))
    if not fits:
        return None
    fits.sort(key=lambda one: one[0], reverse=True)
    _, layout, records = fits[0]
    return FoundLayout(layout, _doubts(layout, records, [one for _, one, _ in fits[1:]], sample, how))


def is_running_text(sample: str) -> bool:
    """Is it prose with commas rather than a table without known names? One or two lines, or sentences."""
    lines = [line.strip() for line in _lines(sample) if line.strip()]
    first = lines[0] if lines else ""
    if "\t" in sample or "|" in first or not KNOWN_NAMES.isdisjoint(_lowered(re.split("[,;]", first.replace('"', "")))):
        return False
    marks = re.findall(r"[,;].?", sample)
    spaced = sum(mark.endswith((" ", ",", ";")) or len(mark) == 1 for mark in marks)
    if len(lines) < 3:
        return spaced > 0
    ended = sum(line.endswith((".", "!", "?", ",", ";", ":", '"', "”")) for line in lines)
    words = sum(len(line.split()) for line in lines) / len(lines)
    is_in_words = not re.search(r"[\d\"]", sample)
    return spaced > 0.9 * len(marks) and (is_in_words or 2 * ended > len(lines) or words > 12)


def layout_of_cells(rows: list[list[str]], how: ReadAs) -> Layout:
    """Where the names stand in the rows of a sheet."""
    filled = [(place, cells) for place, cells in enumerate(rows, start=1) if any(cell.strip() for cell in cells)]
    found = Layout(0, ",", True, True)
    if not filled:
        return found
    records = _counted([cells for _, cells in filled], [place for place, _ in filled], 0)
    return _with_names(found, records, how)


def _candidates(sample: str, how: ReadAs) -> list[Layout]:
    """Every layout that is tried, the likeliest first."""
    if how.delimiter != "auto":
        delimiters: Sequence[str] = ["\t" if how.delimiter == "tab" else how.delimiter]
    else:
        delimiters = [*_GUESSED, *(one for one in _SELDOM if one in sample)]
        delimiters = [one for one in delimiters if one in sample] or [","]
    quotes = {"yes": [True], "no": [False]}.get(how.quoting, [True, False])
    escapes: list[str | None] = [None]
    if '\\"' in sample:
        escapes.append("\\")
    blanks = re.search(r'"[,;|\t] +"', sample) is not None
    made = []
    for enclosed in quotes:
        tried = delimiters if enclosed or how.quoting == "no" else [one for one in delimiters if one == "\t"]
        made += [Layout(0, one, enclosed, True, escape, (), blanks) for one in tried for escape in escapes]
    return made


def _records(sample: str, layout: Layout) -> _Records | None:
    """The records of the first lines: of the same lines for every layout, so that their number can be compared."""
    lines = _lines(sample)
    reader = csv.reader(lines, strict=layout.quotes, **layout.dialect)  # type: ignore[arg-type]
    cells: list[list[str]] = []
    ends: list[int] = []
    empty = 0
    try:
        for record in reader:
            if record:
                cells.append(record)
                ends.append(reader.line_num)
            else:
                empty += bool(cells)
    except csv.Error:
        if not _is_cut(sample, reader.line_num, len(lines)):
            return _lenient(lines, layout)
    if not cells:
        return None
    return _counted(cells, ends, empty)


def _lenient(lines: list[str], layout: Layout) -> _Records | None:
    """Quotes in other places than quotes belong are letters."""
    reader = csv.reader(lines, **layout.dialect)  # type: ignore[arg-type]
    cells: list[list[str]] = []
    ends: list[int] = []
    try:
        for record in reader:
            if record:
                cells.append(record)
                ends.append(reader.line_num)
    except csv.Error:
        return None
    return _counted(cells, ends, 0) if cells else None


def _counted(cells: list[list[str]], ends: list[int], empty: int) -> _Records:
    fields = Counter(len(one) for one in cells).most_common(1)[0][0]
    first = len(cells[0])
    if KNOWN_NAMES.isdisjoint(_lowered(cells[0])):
        titles = _titles(cells, fields)
    else:
        titles, fields = 0, first
    return _Records(cells, ends, empty, fields, titles)


def _titles(cells: list[list[str]], fields: int) -> int:
    """How many records stand before the table: a title, remarks, or names that stand over several columns."""
    if fields < 2:
        return 0
    for place, record in enumerate(cells[:_MOST_TITLES]):
        filled = [cell for cell in record if cell.strip()]
        if len(record) != fields or len(filled) < 2:
            continue
        following = cells[place + 1] if place + 1 < len(cells) else []
        if len(filled) < len(record) and len(following) == fields and _are_over(record, following):
            continue
        return place
    return 0


def _are_over(record: list[str], following: list[str]) -> bool:
    """Is this a row of headings over several columns, whose names follow?"""
    names = _lowered(following)
    return all(names) and len(set(names)) == len(names) and not KNOWN_NAMES.isdisjoint(names)


def _is_cut(sample: str, line: int, lines: int) -> bool:
    """Did the sample end inside of a text?"""
    return len(sample) >= SAMPLE and line >= lines


def _lines(sample: str) -> list[str]:
    if "\n" in sample:
        lines = re.findall(r"[^\n]*\n|[^\n]+$", sample)
    else:
        lines = sample.splitlines(keepends=True)
    if len(sample) >= SAMPLE and len(lines) > 1:
        lines.pop()  # cut in the middle
    return lines[:_MOST_LINES]


def _score(records: _Records, layout: Layout) -> tuple[float, float]:
    """How well a layout fits: which records agree; of equal ones that with quotes, unless they swallow lines, and that
    with known names in the first line.
    """
    rows = len(records.cells)
    if layout.delimiter == "\t":  # a lone quote in a TSV swallows the lines up to the next one
        return records.agreeing, rows + 0.5 * layout.quotes
    is_known = records.titles == 0 and not KNOWN_NAMES.isdisjoint(_lowered(records.cells[0]))
    fit = 0.5 * layout.quotes + 0.1 * (layout.escape is not None) + 0.3 * is_known
    return records.agreeing, fit - _leaves_quotes(records)


def _leaves_quotes(records: _Records) -> bool:
    """Are there cells with a quote at one end, as no layout leaves them that fits?"""
    body = records.cells[records.titles :]
    return any(cell.startswith('"') or cell.endswith("\\") for record in body for cell in record)


def _with_names(layout: Layout, records: _Records, how: ReadAs) -> Layout:
    body = records.cells[records.titles :]
    has_names = {"yes": True, "no": False}.get(how.header)
    if has_names is None:
        has_names = bool(body) and _are_names(body[0], body[1:])
    skipped = records.ends[records.titles - 1] if records.titles else 0
    titles = tuple(_shown(cells) for cells in records.cells[: records.titles])
    return layout._replace(skipped=skipped, has_names=has_names, titles=titles)


def _is_table(records: _Records, layout: Layout) -> bool:
    """Prose has commas too: without a name that is known most records must agree, and without names there is no empty
    line.
    """
    body = records.cells[records.titles :]
    if not body:
        return False
    if len(body[0]) < 2:
        return len(records.cells[0]) == 1 and _lowered(records.cells[0])[0] in KNOWN_NAMES and records.fields == 1
    if records.fields < 2 and KNOWN_NAMES.isdisjoint(_lowered(body[0])):
        return False
    if layout.delimiter in _SELDOM:
        return records.agreeing == 1 and len(body) > 1
    if layout.has_names and not KNOWN_NAMES.isdisjoint(_lowered(body[0])):
        return True
    if records.titles and not layout.has_names:
        return False
    return records.agreeing > 0.8 and (layout.has_names or not records.empty)


def _doubts(layout: Layout, records: _Records, others: list[Layout], sample: str, how: ReadAs) -> list[Doubt]:
    body = records.cells[records.titles :]
    doubts = []
    is_known = bool(body) and not KNOWN_NAMES.isdisjoint(_lowered(body[0]))
    if how.header == "auto" and not is_known and len(body) > 1:
        names, none = ("yes", _shown(body[0])), ("no", "col1, col2, …")
        values: tuple[tuple[str, str], ...] = (names, none) if layout.has_names else (none, names)
        doubts.append(Doubt("header", values[0][0], values))
    delimiters = dict.fromkeys(_setting_of(one.delimiter) for one in (layout, *others))
    if how.delimiter == "auto" and len(delimiters) > 1 and not is_known:
        values = tuple((one, _first_cells(sample, one)) for one in delimiters)
        doubts.append(Doubt("delimiter", _setting_of(layout.delimiter), values))
    return doubts


def _setting_of(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else delimiter


def _first_cells(sample: str, delimiter: str) -> str:
    layout = Layout(0, "\t" if delimiter == "tab" else delimiter, True, True)
    records = _records(sample, layout)
    return _shown(records.cells[0]) if records else ""


def _shown(cells: list[str]) -> str:
    filled = [cell.strip()[:40] for cell in cells if cell.strip()]
    return " | ".join(filled[:_SHOWN])


def _are_names(first: list[str], rows: list[list[str]]) -> bool:
    """Could the first record be names?

    One known name is enough; otherwise each is short, has a letter, is no sentence, and is no cell of its column.
    """
    names = [cell for cell in _lowered(first) if cell]
    if not KNOWN_NAMES.isdisjoint(names):
        return True
    if not names or len(set(names)) < len(names):
        return False
    columns = [(cell, [row[place] for row in rows if place < len(row)]) for place, cell in enumerate(first)]
    if any(_names_numbers(cell.strip(), below) for cell, below in columns):
        return all(re.search(r"[^\W\d]", cell) and cell not in below for cell, below in columns if cell.strip())
    return all(_is_name(cell.strip(), below) for cell, below in columns if cell.strip())


def _names_numbers(cell: str, below: list[str]) -> bool:
    """Is it a word over numbers, times or addresses? Then the others of its record are names too, as long as they may
    be: a form has its questions there.
    """
    filled = [one.strip() for one in below if one.strip()]
    return len(filled) > 2 and bool(_WORD.fullmatch(cell)) and all(_NUMBER.fullmatch(one) for one in filled)


def _is_name(cell: str, below: list[str]) -> bool:
    if len(cell) > _LONGEST_NAME or not re.search(r"[^\W\d]", cell) or re.search(r"[\n\\]|[.:;,!]$|\?.", cell):
        return False
    others = [one.strip() for one in below]
    if cell in others:
        return False
    asked = sum(one.endswith("?") for one in others)
    return not cell.endswith("?") or 2 * asked < max(1, len(others))


def _lowered(cells: list[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]
