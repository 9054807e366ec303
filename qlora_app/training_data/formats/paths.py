"""Places inside of cells that are lists or objects, written as `answers.text`, `choices[0].message.content`.

`[0]` or `[first]`, `[1]`, `[-1]` or `[last]` stand for one entry of a list, `[joined]` for all of them one after the
other, `[each]` for an example of every entry. A cell that holds such a thing as JSON text counts like the thing itself.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from .row_view import Reading
from .tool_calls import written
from .turns import RowError, first_turn, kind_of_value

EACH, JOINED, FIRST = "[each]", "[joined]", "[first]"
_STEP = re.compile(r"\[(first|last|each|joined|-?\d{1,6})\]|\.?([^.\[\]]+)")
_PLACES = {"first": 0, "last": -1}
_MOST_PATHS, _DEEPEST = 150, 5
_LONGEST_WRITTEN = 50_000  # characters of a cell that is looked into for a list or an object


def column_of(path: str, columns: Iterable[str]) -> str | None:
    """The column that a path begins with, in lower case as rows have it; None where there is no such column."""
    wanted = path.strip().lower()
    found = [name for name in columns if wanted == name or wanted.startswith((f"{name}.", f"{name}["))]
    return max(found, key=len, default=None)


def value_at(row: Reading, path: str) -> Any:
    """What stands at a path, which is read by that; None where the row has nothing there. Raises RowError."""
    wanted = path.strip().lower()
    column = column_of(wanted, row)
    if column is None:
        return None
    if column == wanted:
        return row[column]
    rest = [match.group(1) or match.group(2) for match in _STEP.finditer(wanted[len(column) :])]
    value = row[column]
    return _walk(row, f"`{column[:40]}`", value, rest)


def _walk(row: Reading, where: str, value: Any, steps: list[str]) -> Any:
    """`where`: the column, for what of it is not read."""
    for number, step in enumerate(steps):
        value = opened_cell(value)
        if value is None:
            return None
        if isinstance(value, list):
            if step == "joined":
                parts = [_walk(row, where, one, steps[number + 1 :]) for one in value]
                return "\n\n".join(str(part) for part in parts if part is not None)
            is_place = step in _PLACES or step.lstrip("-").isdecimal()
            one = _entry(row, where, value, _PLACES.get(step, step) if is_place else 0)
            if is_place:
                value = one
                continue
            value = opened_cell(one)  # a key of a list's objects is that of the first
        if not isinstance(value, dict):
            return None
        value = _under(row, where, value, step)
    return value


def opened_cell(value: Any) -> Any:
    """The value of a cell; the list or object that it holds as JSON text, as a list or an object."""
    if isinstance(value, str) and len(value) < _LONGEST_WRITTEN:
        return written(value)
    return value


def _entry(row: Reading, where: str, value: list[Any], place: int | str) -> Any:
    if len(value) > 1:
        row.notes.add(f"{where} is a list of several, of which not all may be learned")
    try:
        return value[int(place)]
    except IndexError:
        return None


def _under(row: Reading, where: str, value: dict[str, Any], step: str) -> Any:
    key = next((key for key in value if key.strip().lower() == step), None)
    if key is None:
        return None
    return row.within(value, where)[key]


def first_of(row: Reading, path: str, value: Any) -> Any:
    """The first of a list of values where one is wanted, which is said of the row; any other value as it is."""
    if not isinstance(value, list) or any(isinstance(one, (list, dict)) for one in value):
        return value
    if len({str(one) for one in value}) > 1:
        row.notes.add(f"`{path[:60]}` is a list, of which the first is learned")
    return value[0] if value else None


def entries_at(row: Reading, path: str) -> list[Any]:
    """The entries of the list before the first `[each]` of a path. Raises RowError where there is no list."""
    before = path[: path.lower().index(EACH)]
    value = opened_cell(value_at(row, before))
    if not isinstance(value, list) or not value:
        raise RowError(f"`{before[:60]}` is {kind_of_value(value)} instead of a list")
    return value


def with_entry(text: str, path: str, number: int) -> str:
    """A path, or a text with paths in braces, where the list of the first `[each]` of `path` has one entry only."""
    before = path[: path.lower().index(EACH)]
    return re.sub(re.escape(before + EACH), lambda _: f"{before}[{number}]", text, flags=re.IGNORECASE)


def paths_of(name: str, value: Any) -> list[str]:
    """The paths to whatever stands inside of a cell, the cell itself left out; of a list also its `[each]` and
    `[joined]`. None for turns of a conversation, which are read as a whole.
    """
    return list(dict.fromkeys(islice(_paths(name, value, 0), _MOST_PATHS)))


def _paths(name: str, value: Any, depth: int) -> Iterator[str]:
    value = opened_cell(value)
    if depth > _DEEPEST or not first_turn(value).keys().isdisjoint(("role", "from")):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _inner(f"{name}.{key}", inner, depth)
    if isinstance(value, list) and value:
        marks = (FIRST, EACH) if isinstance(opened_cell(value[0]), (dict, list)) else (FIRST, EACH, JOINED)
        for mark in marks:
            yield from _inner(f"{name}{mark}", value[0], depth)


def _inner(name: str, value: Any, depth: int) -> Iterator[str]:
    is_nested = isinstance(opened_cell(value), (dict, list))
    if is_nested:
        yield from _paths(name, value, depth + 1)
    else:
        yield name
