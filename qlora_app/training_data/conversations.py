"""A whole file as conversations: every row is used or left out with its reason."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..messages import Conversation
from .formats import FORMATS, NOT_YET, RowError, TwoColumnsFit, convert, recognise
from .rows import WANTED, Row, RowSource

_CHANGES = {
    "merged": "consecutive turns of the same speaker were merged",
    "cut": "the last turn is the user's and has no answer, so it was cut",
    "dropped": "the first turn is the assistant's with no question before it, so it was dropped",
}


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used: its number in the file from 1, the line it starts on if known, and why."""

    row: int
    line: int | None
    reason: str


@dataclass(frozen=True)
class FileContents:
    """All of a file: rows == len(conversations) + len(left_out); `numbers` are the row numbers of the conversations."""

    format: str
    rows: int
    conversations: list[Conversation]
    numbers: list[int]
    left_out: list[LeftOut]
    warnings: list[str]


class _Used(NamedTuple):
    row: Row
    conversation: Conversation
    changes: list[str]


def read_file(path: Path, name: str, format: str = "auto", max_rows: int = 2_000_000) -> FileContents:
    """Read a file in the format of most of its rows, or in the one given. Raises UserError naming file, place and remedy."""
    source = RowSource(path, name)
    used: dict[str, list[_Used]] = {}
    left_out: list[LeftOut] = []
    seen: dict[str, list[Row]] = {}
    rows, first = 0, None
    for row, kind, result in _each(source, name, format):
        rows += 1
        if rows > max_rows:
            raise UserError(f"{name} has more than {max_rows:,} rows. Split it, or set QLORA_APP_MAX_ROWS higher.")
        first = first or row
        seen.setdefault(kind, [])
        if isinstance(result, _Used):
            used.setdefault(kind, []).append(result)
        else:
            seen[kind].append(Row(row.number, row.line, None))
            left_out.append(LeftOut(row.number, row.line, result))
    if not rows:
        raise UserError(f"{name} is empty: it has no rows. {WANTED}")
    counts = Counter({kind: len(seen[kind]) + len(used.get(kind, [])) for kind in seen})
    chosen = _majority(counts)
    if not used.get(chosen):
        raise _nothing_usable(name, chosen, counts, left_out, first, format)
    others = [LeftOut(u.row.number, u.row.line, f"it is in the {kind} format, most rows are {chosen}")
              for kind in used if kind != chosen for u in used[kind]]
    left_out = sorted([*left_out, *others], key=lambda one: one.row)
    kept = used[chosen]
    warnings = [*source.warnings, *_left_out_warning(rows, left_out), *_change_warnings(kept)]
    return FileContents(chosen, rows, [u.conversation for u in kept], [u.row.number for u in kept], left_out, warnings)


def _each(source: RowSource, name: str, format: str) -> Iterator[tuple[Row, str, _Used | str]]:
    """(row, what kind it is, conversation or why not) of every row."""
    kinds: dict[Any, str] = {}
    for row in source:
        if row.problem:
            yield row, "unreadable", row.problem
            continue
        try:
            kind = format if format != "auto" else _kind(row.value, kinds)
            if kind not in FORMATS:
                yield row, kind, f"it looks like {NOT_YET[kind]}" if kind in NOT_YET else f"its columns are not known ({_columns(row.value)})"
                continue
            changes: list[str] = []
            yield row, kind, _Used(row, convert(kind, row.value, changes), changes)
        except RowError as error:
            yield row, kind, str(error)
        except TwoColumnsFit as error:
            raise UserError(f"{name} has {error}, first in row {row.number}. Remove or rename those that should not be learned.") from error


def _kind(row: Any, kinds: dict[Any, str]) -> str:
    """recognise, remembering the answer for rows of the same columns and types; lists and objects are looked into each time."""
    if not isinstance(row, dict) or any(isinstance(value, (list, dict)) for value in row.values()):
        return recognise(row)
    shape = (*row, *map(type, row.values()), *map(bool, row.values()))
    if shape not in kinds:
        kinds[shape] = recognise(row)
    return kinds[shape]


def _majority(counts: Counter[str]) -> str:
    """The most frequent kind; rows that only lack an answer or cannot be read are flaws of another kind, not one of their own."""
    flaws = ("unreadable", "prompts", "unknown")
    real = [kind for kind in counts if kind not in flaws] or list(counts)
    return max(real, key=lambda kind: (counts[kind], kind in FORMATS))


def _nothing_usable(name: str, kind: str, counts: Counter[str], left_out: list[LeftOut], first: Row | None, format: str) -> UserError:
    if kind in NOT_YET:
        columns = f" (columns: {_columns(first.value)})" if first and _columns(first.value) else ""
        return UserError(f"{name} looks like {NOT_YET[kind]}{columns}, which cannot be trained on yet. {WANTED}")
    if kind == "unknown":
        columns = _columns(first.value) if first else ""
        found = f"columns that are not known here: {columns}" if columns else "no rows of named columns"
        return UserError(f"{name} has {found}. The first line of a CSV file names the columns. {WANTED}")
    bad = next(one for one in left_out)
    forced = "" if format == "auto" else f" when it is read as {format}"
    return UserError(f"{name} has no trainable row{forced}: none of its {sum(counts.values()):,} rows has an answer that can be learned. "
                     f"Row {bad.row} (line {bad.line}): {bad.reason}. {WANTED}")


def _columns(row: Any) -> str:
    return ", ".join(repr(str(name)[:30]) for name in list(row)[:8]) if isinstance(row, dict) else ""


def _left_out_warning(rows: int, left_out: list[LeftOut]) -> list[str]:
    if not left_out:
        return []
    first = left_out[0]
    reasons = len({one.reason for one in left_out})
    more = "" if reasons == 1 else f" There are {reasons} different reasons."
    return [f"{len(left_out):,} of {rows:,} rows are left out; the first is row {first.row} (line {first.line}): {first.reason}.{more}"]


def _change_warnings(used: list[_Used]) -> list[str]:
    sentences = []
    for change, words in _CHANGES.items():
        numbers = [one.row.number for one in used if change in one.changes]
        if numbers:
            sentences.append(f"In {len(numbers):,} rows {words} (first: row {numbers[0]}).")
    return sentences
