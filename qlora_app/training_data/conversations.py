"""A whole file as conversations: every row is used, or left out with its reason."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..messages import Conversation
from .formats import KINDS, MEDIA, UNKNOWN, Columns, Kind, RepeatedKey, RowError, TwoColumnsFit, convert, recognise
from .rows import Row, RowSource
from .text_files import WANTED

_UNREADABLE = Kind("unreadable", lambda row: False, "rows that cannot be read")
_FLAWS = {"unreadable", "unknown", "prompts"}  # a row of these kinds is mostly a broken row of another kind
_CORRECT = "Correct the file, then upload it again."
_CHANGES = {
    "merged": "consecutive turns of the same speaker were merged",
    "cut": "the last turn is the user's and has no answer, so it was cut",
    "dropped": "the assistant speaks before anybody asked, so its first turn was dropped",
}


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used: its number in the file from 1, the line it starts on if known, and why."""

    row: int
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}{f' (line {self.line})' if self.line else ''}: {self.reason}"


@dataclass(frozen=True)
class FileContents:
    """All of a file: rows == len(conversations) + len(left_out); `numbers` are the row numbers of the conversations."""

    format: str
    rows: int
    conversations: list[Conversation]
    numbers: list[int]
    left_out: list[LeftOut]
    warnings: list[str]


class _Sorted:
    """The rows of a file by the kind they are of: used ones, those left out, and what was changed in which row."""

    def __init__(self) -> None:
        self.rows = 0
        self.used: dict[str, list[tuple[int, int | None, Conversation]]] = defaultdict(list)
        self.left_out: dict[str, list[LeftOut]] = defaultdict(list)
        self.changed: dict[tuple[str, str], list[int]] = defaultdict(list)

    def add(self, row: Row, kind_of: "_Recogniser") -> None:
        """Raises TwoColumnsFit."""
        self.rows, line, value, problem = row
        kind = _UNREADABLE
        changes: list[str] = []
        try:
            if problem:
                raise RowError(problem)
            kind, columns = kind_of(value)
            self.used[kind.name].append((self.rows, line, convert(kind, columns, changes)))
        except RowError as error:
            self.left_out[kind.name].append(LeftOut(self.rows, line, str(error)))
        else:
            for change in changes:
                self.changed[kind.name, change].append(self.rows)

    def majority(self) -> str:
        """The most frequent kind; a row that is only broken, or lacks its answer, is no kind of its own."""
        counts = {name: len(self.used[name]) + len(self.left_out[name]) for name in [*self.used, *self.left_out]}
        return max(counts, key=lambda name: (name not in _FLAWS, name != _UNREADABLE.name, counts[name], bool(self.used[name])))


def read_file(path: Path, name: str, format: str = "auto", max_rows: int = 2_000_000) -> FileContents:
    """Read a file in the format of most of its rows, or in the one given. Raises UserError naming file, place and remedy."""
    source, found = RowSource(path, name), _Sorted()
    kind_of = _Recogniser(None if format == "auto" else KINDS[format])
    try:
        for row in source:
            found.add(row, kind_of)
            if found.rows > max_rows:
                raise UserError(f"{name} has more than {max_rows:,} rows. Split it, or set QLORA_APP_MAX_ROWS higher.")
    except TwoColumnsFit as error:
        raise UserError(f"{name} has {error}, first in row {found.rows}. Delete or rename what should not be learned.") from error
    unreadable = found.left_out[_UNREADABLE.name]
    if not found.rows:
        raise UserError(f"{name} is empty: it has no rows. {WANTED}")
    if 2 * len(unreadable) > found.rows:
        raise UserError(f"{name} has rows that cannot be read: {_some(unreadable)}. The first: {unreadable[0].reason}. {_CORRECT}")
    chosen = found.majority()
    if not found.used[chosen]:
        raise UserError(f"{name} {_nothing_usable(chosen, kind_of, found)}")
    return _contents(chosen, found, source.warnings)


def _some(left_out: list[LeftOut]) -> str:
    """Which rows, for a sentence: the first few by their lines."""
    places = [f"line {one.line}" if one.line else f"row {one.row}" for one in left_out[:5]]
    return f"{', '.join(places)}{' and more' if len(left_out) > 5 else ''} ({len(left_out):,} in all)"


class _Recogniser:
    """What kind each row is, and its columns by their lower-case names; remembered by the shape of the row."""

    def __init__(self, forced: Kind | None) -> None:
        self.forced = forced
        self.columns: dict[str, str] = {}  # of the first row of each kind, for a sentence
        self._kinds: dict[Any, Kind] = {}
        self._names: dict[Any, tuple[str, ...]] = {}

    def __call__(self, value: Any) -> tuple[Kind, Columns]:
        row = value if type(value) is dict else self._wrapped(value)
        given = tuple(row)
        names = self._names.get(given) or self._lowered(given)
        columns = row if names == given else dict(zip(names, row.values(), strict=True))
        if self.forced:
            return self.forced, columns
        # Recognition looks at names, types and the keys of a first turn: rows that agree in them are of one kind.
        shape = (*names, *[tuple(v[0]) if type(v) is list and v and type(v[0]) is dict else type(v) for v in row.values()])
        kind = self._kinds.get(shape)
        if kind is None:
            kind = recognise(columns)
            self.columns.setdefault(kind.name, ", ".join(repr(name[:30]) for name in given[:8]))
            if len(self._kinds) < 1000 and MEDIA.isdisjoint(names):
                self._kinds[shape] = kind
        return kind, columns

    def _lowered(self, given: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.strip().lower() for name in given)
        if len(set(names)) < len(names):
            raise RowError(f"two of its columns have the same name ({', '.join(repr(name[:30]) for name in given[:8])})")
        if len(self._names) < 1000:
            self._names[given] = names
        return names

    def _wrapped(self, value: Any) -> Columns:
        """A bare list of turns or a bare string as a row of one column."""
        if isinstance(value, RepeatedKey):
            raise RowError("a key stands twice in it, so that one of its two values would be lost")
        return {"messages": value} if isinstance(value, list) else {"text": value} if isinstance(value, str) else {}


def _nothing_usable(chosen: str, kind_of: _Recogniser, found: _Sorted) -> str:
    """Completes "FILE ..."."""
    kind, columns = KINDS.get(chosen, UNKNOWN), kind_of.columns.get(chosen) or "no columns"
    if chosen in ("unknown", "prompts"):
        return (f"{'has' if chosen == 'unknown' else 'looks like'} {kind.words} ({columns}). Name the two columns to learn from "
                f"question and answer; in a CSV file the first line holds the names. {WANTED}")
    if kind.read is None:
        return f"looks like {kind.words}, which cannot be trained on yet. {WANTED}"
    forced = f" when it is read as {kind.words}" if kind_of.forced else ""
    first = found.left_out[chosen][0]
    return (f"has no trainable row{forced}: there is no answer to learn in any of its {found.rows:,} rows. The first is {first}. "
            f"{'Let the format be recognised, or choose another.' if forced else _CORRECT}")


def _contents(chosen: str, found: _Sorted, warnings: list[str]) -> FileContents:
    others = [LeftOut(number, line, f"it is a row of {KINDS[name].words}, most rows are {KINDS[chosen].words}")
              for name, ones in found.used.items() if name != chosen for number, line, _ in ones]
    left_out = sorted((one for ones in (*found.left_out.values(), others) for one in ones), key=lambda one: one.row)
    numbers, _, conversations = zip(*found.used[chosen], strict=True)
    changes = {words: found.changed[chosen, change] for change, words in _CHANGES.items() if (chosen, change) in found.changed}
    sentences = [f"In {'1 row' if len(rows) == 1 else f'{len(rows):,} rows'} {words} (first: row {rows[0]})."
                 for words, rows in changes.items()]
    warnings = [*warnings, *_left_out_sentence(found.rows, left_out), *sentences]
    return FileContents(chosen, found.rows, list(conversations), list(numbers), left_out, warnings)


def _left_out_sentence(rows: int, left_out: list[LeftOut]) -> list[str]:
    if not left_out:
        return []
    reasons = len({one.reason for one in left_out})
    return [f"Left out: {len(left_out):,} of {rows:,} rows{'' if reasons == 1 else f', for {reasons} different reasons'}; "
            f"the first is {left_out[0]}."]
