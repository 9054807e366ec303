"""Rows of workbooks: Excel's .xlsx, .xlsb and .xls, and .ods."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...errors import UserError
from .apart import read_apart
from .asking import AskReading
from .content import Content
from .layout import Layout, layout_of_cells
from .reading import Doubt, Found, ReadAs
from .splits import TRAIN, by_split, split_of_name
from .tables import NO_NAMES, named_columns

_FIRST = 50  # rows of each sheet that are looked at
_LISTED = 10  # sheets in a sentence


class _Sheet(NamedTuple):
    name: str
    seen: bool
    height: int
    merged: int
    layout: Layout
    beginning: list[list[str]]

    @property
    def is_table(self) -> bool:
        """Has it rows below names, or two rows of two cells?"""
        filled = [cells for cells in self.beginning if sum(bool(cell.strip()) for cell in cells) > 1]
        return len(filled) > 1

    @property
    def shown(self) -> str:
        return " | ".join(cell.strip()[:30] for cell in self.first if cell.strip())[:80]

    @property
    def names(self) -> list[str]:
        return [cell.strip().lower() for cell in self.first] if self.layout.has_names else []

    @property
    def first(self) -> list[str]:
        """The row of names, or the first one without."""
        rows = (cells for cells in self.beginning[self.layout.skipped :] if any(cell.strip() for cell in cells))
        return next(rows, [])


class Workbook:
    """The rows of one; `warnings` and `doubts` are filled meanwhile."""

    def __init__(self, content: Content, how: ReadAs, glance: bool) -> None:
        self.content, self.how, self.glance = content, how, glance
        self.name = content.name
        self.warnings: list[str] = []
        self.doubts: list[Doubt] = []

    def rows(self) -> Iterator[Found]:
        """Raises UserError, and AskReading where a sheet is to be chosen."""
        chosen = self._chosen(self._sheets())
        for sheet in chosen:
            self._tell(sheet)
        wanted = {"sheets": [sheet.name for sheet in chosen]}
        layouts = {sheet.name: sheet.layout for sheet in chosen}
        headers: dict[str, list[str]] = {}
        read: dict[str, int] = {}
        for said in read_apart("workbook", self.content, wanted, self.glance):
            name, cells = said["sheet"], said["row"]
            read[name] = read.get(name, 0) + 1
            if read[name] <= layouts[name].skipped or not any(cell.strip() for cell in cells):
                continue
            if name not in headers:
                header, notes = named_columns(cells, layouts[name].has_names)
                headers[name] = header
                self.warnings += notes
                if layouts[name].has_names:
                    continue
            yield said["line"], dict(_pairs(headers[name], cells)), None

    def _sheets(self) -> list[_Sheet]:
        sheets = []
        for said in read_apart("workbook", self.content, {"rows": _FIRST}, self.glance):
            if said["hidden_rows"]:
                self.warnings.append(f"{self.name} has {said['hidden_rows']:,} hidden rows; they are read like others.")
            sheets = [self._sheet(one) for one in said["sheets"]]
        return sheets

    def _sheet(self, said: dict[str, Any]) -> _Sheet:
        filled = [cells for cells in said["rows"]]
        layout = layout_of_cells(filled, self.how)
        return _Sheet(said["name"], said["seen"], said.get("height", 0), said.get("merged", 0), layout, filled)

    def _chosen(self, sheets: list[_Sheet]) -> list[_Sheet]:
        if self.how.sheet:
            return self._named(sheets)
        tables = [one for one in sheets if one.seen and one.is_table] or [one for one in sheets if one.is_table]
        if not tables:
            raise UserError(
                "dataset.no_table_in_workbook",
                "{name} is a workbook without a table of at least two rows and two columns. Put the names of the "
                "columns into the first row, the rows below.",
                name=self.name,
            )
        learned = [one for one in tables if split_of_name(one.name) == TRAIN]
        learned = learned or by_split([(one.name, one) for one in tables]).get(TRAIN, [])
        alike = all(one.names == tables[0].names and one.names for one in tables)
        is_split = learned and len(learned) < len(tables)
        chosen = learned if is_split else tables
        if len(chosen) > 1 and not alike:
            raise self._asked(tables)
        if len(tables) > 1 and len(chosen) == 1:
            self.doubts.append(self._doubt(tables, chosen[0].name))
        others = [one.name for one in sheets if one not in chosen and one.beginning]
        if others:
            self.warnings.append(f"Sheets of {self.name} that are not read: {', '.join(map(repr, others[:_LISTED]))}.")
        return chosen

    def _named(self, sheets: list[_Sheet]) -> list[_Sheet]:
        wanted = self.how.sheet.strip().lower()
        found = [one for one in sheets if one.name.strip().lower() == wanted]
        if not found:
            raise UserError.at(
                "dataset.sheet",
                "dataset.no_such_sheet",
                "{name} has no sheet {sheet!r}. It has {sheets}.",
                name=self.name,
                sheet=self.how.sheet,
                sheets=", ".join(repr(one.name) for one in sheets[:_LISTED]),
            )
        return found

    def _asked(self, tables: list[_Sheet]) -> AskReading:
        error = AskReading(
            "dataset.ask_sheet",
            "{name} has several sheets with tables ({sheets}). Say which one is learned (dataset.sheet=...).",
            "unknown",
            sum(one.height for one in tables),
            [],
            name=self.name,
            sheets=", ".join(repr(one.name) for one in tables[:_LISTED]),
        )
        error.doubts = (self._doubt(tables, ""),)
        return error

    def _doubt(self, tables: list[_Sheet], guess: str) -> Doubt:
        return Doubt("sheet", guess, tuple((one.name, one.shown) for one in tables))

    def _tell(self, sheet: _Sheet) -> None:
        if not sheet.layout.has_names:
            self.warnings.append(NO_NAMES)
        if sheet.layout.skipped:
            first = next((title for title in sheet.layout.titles if title), "")
            self.warnings.append(
                f"{sheet.layout.skipped:,} lines stand before the names of the columns and are not read "
                f"(first: {first!r})."
            )
        if sheet.merged:
            self.warnings.append(
                f"{self.name} has {sheet.merged:,} merged cells: what stands in one over several rows is read in each."
            )


def _pairs(header: list[str], cells: list[str]) -> Iterator[tuple[str, str]]:
    for place, name in enumerate(header):
        if name:
            yield name, cells[place] if place < len(cells) else ""
