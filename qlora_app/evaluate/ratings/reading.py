"""Judgments of pairs in files: JSONL, JSON or CSV, a row a judgment. What cannot be used is named by its line."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import Problem, UserError
from .rows import Judgment, judgments_of

LARGEST = 500_000_000  # bytes of one file
MOST_KEPT = 20  # rows that cannot be used, said one by one; the others are counted
SEPARATORS = ",;\t|"
_WIDEST = 64 * 1024 * 1024  # characters of a field: a question may stand in it, whole


@dataclass(frozen=True)
class BadRow:
    """A row that says nothing that could be counted."""

    line: int
    problem: Problem

    def to_json(self) -> dict[str, Any]:
        return {"line": self.line, "code": self.problem.code, "sentence": str(self.problem)}


@dataclass
class Judgments:
    """The rows of a file, and those that could not be used: the first of them, and how many there are."""

    rows: list[Judgment] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0

    def leave_out(self, line: int, problem: Problem) -> None:
        self.bad_count += 1
        if len(self.bad) < MOST_KEPT:
            self.bad.append(BadRow(line, problem))


def read_judgments(*files: Path) -> Judgments:
    """All rows of some files. Raises UserError where one cannot be read, or where no row says who was better."""
    found = Judgments()
    for file in files:
        for line, row in _rows_of(file):
            try:
                found.rows += _judged(row, file)
            except UserError as error:
                if error.code == "ratings.zero":  # what the other rows mean by 1 is not known either
                    raise
                found.leave_out(line, error.problem)
    if not found.rows:
        first = found.bad[0].problem if found.bad else Problem("ratings.no_rows", "It has no rows.")
        raise UserError(
            "ratings.nothing_judged",
            "{file} has no row that says who was better. Rows need model_a, model_b and winner (a, b or tie). {first}",
            file=", ".join(file.name for file in files),
            first=first,
        )
    return found


def _judged(row: Any, file: Path) -> list[Judgment]:
    if isinstance(row, UserError):
        raise row
    return judgments_of(row, file.stem)


def _rows_of(file: Path) -> Iterator[tuple[int, Any]]:
    """(line, row) of a file; in place of a row that cannot be read its UserError. Raises UserError."""
    text = _read(file)
    if text.lstrip().startswith("["):
        yield from enumerate(_of_list(text, file), 1)
    elif text.lstrip().startswith("{"):
        whole = _of_object(text)
        yield from _of_lines(text) if whole is None else enumerate(whole, 1)
    else:
        yield from _of_table(text, file)


def _read(file: Path) -> str:
    if not file.is_file():
        raise UserError("file.not_there", "There is no file {file}.", file=file)
    if file.stat().st_size > LARGEST:
        raise UserError(
            "ratings.too_large", "{file} is larger than {most:,.0f} MB.", file=file.name, most=LARGEST / 1e6
        )
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("ratings.no_text", "{file} is no text in UTF-8. Save it as such.", file=file.name) from error


def _of_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: a JSON text may hold U+2028
        if line.strip():
            yield number, _parsed(line)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return UserError("ratings.no_json", "The line is no JSON: it may be cut off.")


def _of_list(text: str, file: Path) -> list[Any]:
    try:
        rows: list[Any] = json.loads(text)
    except (ValueError, RecursionError):
        lines = [_parsed(line) for line in text.split("\n") if line.strip()]  # a list a line is no object, and said so
        if any(isinstance(line, UserError) for line in lines):
            raise UserError("ratings.broken_list", "{file} is a list in JSON that is broken.", file=file.name) from None
        return lines
    return rows


def _of_object(text: str) -> list[Any] | None:
    """The rows of a file that is one object: a row, a list of rows under some name, or columns as pandas writes them.
    None where it is none: then each line is one.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    values = list(whole.values())
    if values and all(isinstance(column, dict) for column in values):
        places = dict.fromkeys(place for column in values for place in column)
        return [{name: column.get(place) for name, column in whole.items()} for place in places]
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], dict)]
    return lists[0] if len(lists) == 1 else [whole]


def _of_table(text: str, file: Path) -> Iterator[tuple[int, Any]]:
    """Raises UserError where a quotation mark is not closed: what follows it stands in one field."""
    before = 0
    if text[:4].lower() == "sep=":  # as Excel begins a file
        text, before = text.partition("\n")[2], 1
    head = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=head.count)
    widest = csv.field_size_limit(_WIDEST)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for row in reader:
            yield reader.line_num + before, row
    except csv.Error as error:
        raise UserError(
            "ratings.no_csv",
            "{file} cannot be read as a table from line {line:,} on ({why}). Is a quotation mark not closed there?",
            file=file.name,
            line=reader.line_num + before,
            why=error,
        ) from error
    finally:
        csv.field_size_limit(widest)
