"""The first rows of data, before anybody knows how the rest is read: which columns there
are, and what would be learned of them.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..messages import Conversation
from ..settings import Settings
from .formats.columns import ColumnMap
from .formats.detect import FormatDetector
from .formats.known import convert
from .formats.paths import paths_of
from .formats.row_view import Reading, present
from .formats.turns import (
    Columns,
    RowError,
    TwoColumnsFit,
    tidy,
)
from .read.asking import AskReading
from .read.reading import Doubt, ReadAs
from .read.rows import RowSource
from .store import with_turns

LOOKED_AT = 50  # rows
PATHS_OF = 10  # rows whose cells are looked into


@dataclass(frozen=True)
class FirstRows:
    """The columns of the first rows as the file writes them, those inside of an object as `outer.inner`.

    And the rows, and what is in doubt of how the file is read.
    """

    columns: list[str]
    rows: list[Columns]
    doubts: tuple[Doubt, ...] = ()

    def learned(self, columns: ColumnMap, turns: str, most: int) -> list[Conversation | str]:
        """What these columns make of the first `most` rows: a conversation each, or why there is none."""
        return [_learned(row, columns, turns) for row in self.rows[:most]]


def first_rows(place: Path | Sequence[Path], name: str, limits: Settings, how: ReadAs = ReadAs()) -> FirstRows:
    """The first rows of data that is read so; none, and what is in doubt, where a person has to say how first.

    Raises UserError where nothing can be read.
    """
    source = RowSource(place, name, limits, glance=True, how=how)
    try:
        seen = list(islice(source, LOOKED_AT))
    except AskReading as asked:
        return FirstRows([], [], asked.doubts)
    values = [row.value for row in seen if isinstance(row.value, dict)]
    every = dict.fromkeys(name for value in values for name in value)
    inside = dict.fromkeys(name for value in values[:PATHS_OF] for name in _names(value))
    names = [*every, *[name for name in inside if name not in every]]
    return FirstRows(names, [_in_lower_case(value) for value in values], source.doubts)


def first_conversations(place: Path | Sequence[Path], name: str, limits: Settings, most: int) -> list[Conversation]:
    """What the first rows seem to be, before the others are known: up to `most`
    conversations, none where it cannot be said.
    """
    detector = FormatDetector("auto", ColumnMap())
    conversations: list[Conversation] = []
    with contextlib.suppress(UserError, OSError):  # what is wrong is said by whoever reads all of it
        for row in islice(RowSource(place, name, limits, glance=True), LOOKED_AT):
            with contextlib.suppress(RowError, TwoColumnsFit):
                if row.problem is None and len(conversations) < most:
                    kind, columns = detector(row.value)
                    conversations += convert(kind, columns, [])
    return conversations[:most]


def _in_lower_case(row: dict[str, Any]) -> Columns:
    values = present(row) or {}
    return {key.strip().lower(): value for key, value in values.items()}


def _names(row: dict[str, Any]) -> list[str]:
    inner = [path for name, value in row.items() for path in paths_of(name, value)]
    return [*row, *inner]


def _learned(row: Columns, columns: ColumnMap, turns: str) -> Conversation | str:
    try:
        made = columns.read(Reading(row))
        first = made if isinstance(made, list) else next(iter(made))
        return with_turns(tidy(first, []), turns)
    except (RowError, StopIteration) as error:
        return str(error) or "there is nothing in it to learn from"
