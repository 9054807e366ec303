"""Rows of a table that are none: its names once more, the line under them, the kinds of its columns."""

import re
from typing import Any

from ..formats.turns import KNOWN_NAMES

_RULER = re.compile(r"\s*:?(?:-{2,}|={2,}|_{3,})[-=_\s]*:?\s*")
SHORT, RULES, MARK = 24, "-:=_", 4  # how the first cell of a row begins that may be none, and how long it may be
_RULERS = " :-=_\ufeff\t"
_KINDS = {"string", "str", "text", "varchar", "nvarchar", "object", "int", "int64", "integer", "float", "float64"}
_KINDS |= {"number", "double", "bool", "boolean", "date", "datetime", "timestamp", "char", "large_string"}


class HeaderRows:
    """Finds in the rows of one file what only names them; `warnings` says how many those are."""

    def __init__(self) -> None:
        self._count, self._line = 0, 0
        self._is_first = True

    @property
    def warnings(self) -> list[str]:
        if not self._count:
            return []
        place = f" (first: line {self._line})" if self._line else ""
        return [f"Rows that only repeat the names of the columns are not read: {self._count:,}{place}."]

    def take(self, line: int | None, row: dict[str, Any]) -> bool:
        """Is this row, whose first cell is no longer than a name, none?"""
        is_first, self._is_first = self._is_first and line in (1, 2, 3), False
        if not _is_header(row, is_first):
            return False
        self._line = self._line if self._count else line or 0
        self._count += 1
        return True


def _is_header(row: dict[str, Any], is_first: bool) -> bool:
    if len(row) < 2 or not (is_first or _may_be(*next(iter(row.items())))):
        return False
    if not all([isinstance(cell, str) for cell in row.values()]):
        return False
    filled = [(_plain(str(name)), _plain(cell)) for name, cell in row.items() if cell.strip()]
    if len(filled) < 2:
        return False
    if all([name == cell for name, cell in filled]) or all([_RULER.fullmatch(cell) for _, cell in filled]):
        return True
    cells = {cell for _, cell in filled}
    return is_first and (cells <= _KINDS or (len(cells) == len(row) and cells <= KNOWN_NAMES))


def _may_be(name: str, cell: Any) -> bool:
    """Could the first cell be one of a row that is none? Asked first, because nearly no row is."""
    return isinstance(cell, str) and (not cell or cell[0] in _RULERS or _plain(name) == _plain(cell))


def _plain(cell: str) -> str:
    """Without a mark of the byte order too, which stands where files were put together."""
    return cell.strip().strip("\ufeff").strip().lower()
