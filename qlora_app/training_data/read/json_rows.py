"""Rows of JSON: a list, an object, or one value a line; and what people write that is nearly JSON."""

import ast
import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, TextIO

from ...errors import Problem, UserError
from ..formats.turns import KNOWN_NAMES
from . import json_stream
from .json_stream import BETWEEN, BLANK, BRACE, COLON, OPENING, TooLarge, Window, decode, json_problem
from .reading import Found
from .splits import TRAIN, split_of_name

AGAIN = Problem("advice.upload_whole", "Nothing was imported; download or save it again, then upload the whole file.")
_WRAPPERS = ("data", "rows", "train", "examples", "records", "items", "dataset")  # {"data": [rows]}
_LENIENT = 1 << 24  # characters that are read as JSON5 or as Python at once
_LITERAL = 1 << 20  # characters of one Python literal
_PERHAPS_NEARLY = ("dataset.broken_row", "dataset.no_comma")  # refusals of JSON that may be JSON5
_DEEP = 200  # brackets within brackets of one


class JsonRows:
    """How the rows of one file of JSON are read; `warnings` is filled meanwhile."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.warnings: list[str] = []

    def _refusal(self, code: str, template: str, /, **values: Any) -> UserError:
        return UserError(code, template, name=self.name, **values)

    # ---- one value a line

    def lines(self, file: TextIO) -> Iterator[Found]:
        number, readable, text, problem = 0, 0, "", None
        nearly, first = 0, 0
        for line, text in enumerate(iter(partial(file.readline, json_stream.MOST_AT_ONCE), ""), start=1):
            if len(text) == json_stream.MOST_AT_ONCE:
                raise self._refusal(
                    "dataset.line_too_large",
                    "{name} cannot be read: line {line} is one JSON value of more than {most:,.0f} MB there. Write one "
                    "row per line (JSONL), each with its own column names.",
                    line=line,
                    most=json_stream.MOST_AT_ONCE / 1e6,
                )
            if not text.strip():
                continue
            number += 1
            value, problem = decode(text)
            # a file whose first line is JSON is meant to be JSON: what is none in it is a broken line
            may_be_nearly = problem and (nearly == number - 1)
            if may_be_nearly and (found := lenient(text)) is not None:
                value, problem = found, None
                nearly, first = nearly + 1, first or line
            readable += problem is None
            yield line, value, problem
        if readable and problem and not text.endswith("\n"):
            raise self._ends_within(number, line)
        if nearly:
            self.warnings.append(
                f"{self.name} is not quite JSON: {nearly:,} lines are read as JSON5 or Python writes it "
                f"(first: line {first})."
            )

    # ---- an object

    def one_object(self, file: TextIO) -> Iterator[Found]:
        text = file.read(json_stream.MOST_AT_ONCE)
        if len(text) == json_stream.MOST_AT_ONCE:
            file.seek(0)
            yield from self._large_object(file)
            return
        value, problem = decode(text)
        if problem:
            value = self._lenient(text)
            if not isinstance(value, dict):
                raise self._broken_object(problem)
        for row in self.rows_of(value):
            yield None, row, None

    def rows_of(self, value: Any) -> list[Any]:
        """The rows of one value that is a whole file. Raises UserError where nobody could know which list is meant."""
        if isinstance(value, list):
            return value
        if not isinstance(value, dict):
            return [value]
        lists = [key for key in value if key in _WRAPPERS and isinstance(value[key], list)]
        lists = [key for key in lists if not value[key] or isinstance(value[key][0], (dict, list))]
        splits = {key: split for key, rows in value.items() if isinstance(rows, list) and (split := split_of_name(key))}
        if TRAIN in splits.values() and len(set(splits.values())) > 1:
            return self._train_of(value, splits)
        if len(lists) > 1:
            raise self._several(lists)
        return _named_cells(value, value[lists[0]]) if lists else _rows_of_object(value)

    def _train_of(self, value: dict[str, Any], splits: dict[str, str]) -> list[Any]:
        others = [f"{key} ({len(value[key]):,} rows)" for key, split in splits.items() if split != TRAIN]
        self.warnings.append(f"Kept apart, neither learned nor measured with: {', '.join(others)}.")
        return [row for key, split in splits.items() if split == TRAIN for row in value[key]]

    def _large_object(self, file: TextIO) -> Iterator[Found]:
        """The rows of the one list in an object that is too large to be held in memory; what stands beside it may not
        be large.
        """
        window, lists, comma = Window(file), [], ","
        window.skip(BRACE)
        while window.next_character() == '"' and comma:
            try:
                key = window.element()
                window.skip(COLON)
                if key in _WRAPPERS and window.next_character() == "[":
                    lists.append(key)
                    if len(lists) > 1:
                        raise self._several(lists)
                    window.skip(OPENING)
                    yield from self._elements(window)
                else:
                    window.element()
            except json.JSONDecodeError as error:
                raise self._broken_object(json_problem(error)) from error
            except TooLarge as error:
                raise self._object_too_large() from error
            except RecursionError as error:
                raise self._refusal("dataset.too_deep", "{name} is nested too deeply. Rows are flat.") from error
            comma = window.skip(BETWEEN)[1]
        if not lists:
            raise self._object_too_large()
        if window.next_character() != "}":
            raise self._refusal(
                "dataset.cut_off_object",
                "{name} ends without the closing brace }}: it was cut off. {again}",
                again=AGAIN,
            )

    def _several(self, lists: list[str]) -> UserError:
        return self._refusal(
            "dataset.several_lists",
            "{name} holds several lists of rows ({lists}). Save the one to train on as its own file.",
            lists=", ".join(lists),
        )

    def _broken_object(self, problem: str) -> UserError:
        return self._refusal(
            "dataset.broken_object",
            "{name} cannot be read: {problem}. Correct it, or write one JSON object per line.",
            problem=problem,
        )

    def _object_too_large(self) -> UserError:
        """A JSON value that would fill the memory."""
        return self._refusal(
            "dataset.object_too_large",
            "{name} cannot be read: it is one JSON value of more than {most:,.0f} MB. Write one row per line (JSONL), "
            "each with its own column names.",
            most=json_stream.MOST_AT_ONCE / 1e6,
        )

    def _ends_within(self, number: int, line: int) -> UserError:
        return self._refusal(
            "dataset.cut_off_row",
            "{name} ends in the middle of row {row} (line {line}): it was cut off. {again}",
            row=number,
            line=line,
            again=AGAIN,
        )

    # ---- a list

    def array(self, file: TextIO) -> Iterator[Found]:
        """One element after another with only a part of the file in memory; a broken one is named by its row and
        line.
        """
        window = Window(file)
        window.skip(OPENING)
        number = 0
        names: list[Any] = []
        try:
            for number, found in enumerate(self._elements(window), start=1):
                if number == 1 and _are_known(found[1]):
                    names = found[1]
                elif names and isinstance(found[1], list) and len(found[1]) == len(names):
                    yield found[0], dict(zip(names, found[1], strict=True)), found[2]
                else:
                    yield found
        except UserError as error:
            if error.code not in _PERHAPS_NEARLY:
                raise
            file.seek(0)
            whole = self._lenient(file.read(_LENIENT))
            if not isinstance(whole, list):
                raise
            for row in whole[number:]:
                yield None, row, None
            return
        window.skip(BLANK)
        if window.next_character():
            raise self._refusal(
                "dataset.goes_on",
                "{name} goes on after the bracket ] that ends its {rows:,} rows. Write one list, or one row per line.",
                rows=number,
            )

    def _lenient(self, text: str) -> Any:
        """A whole text read as JSON5 or Python; None where it is neither, or long."""
        value = lenient(text) if len(text) < _LENIENT else None
        if value is not None:
            self.warnings.append(f"{self.name} is not quite JSON: it is read as JSON5 or Python writes it.")
        return value

    def _elements(self, window: Window) -> Iterator[Found]:
        """The elements of a list whose bracket was just read, and the bracket that ends it."""
        number, line, comma = 0, window.line(), ","
        while (
            window.next_character() != "]" and comma
        ):  # a ] after a last comma too, which people write and JSON forbids
            number += 1
            line = window.line()
            try:
                value = window.element()
            except json.JSONDecodeError as error:
                raise self._broken_array(error, number, line, window.line_of(error)) from error
            except RecursionError as error:
                raise self._refusal(
                    "dataset.row_too_deep",
                    "{name} is nested too deeply in row {row} (line {line}). Rows are flat.",
                    row=number,
                    line=line,
                ) from error
            except TooLarge as error:
                raise self._refusal(
                    "dataset.row_too_large",
                    "{name} cannot be read: row {row} is one JSON value of more than {most:,.0f} MB there. Write one "
                    "row per line (JSONL), each with its own column names.",
                    row=number,
                    most=json_stream.MOST_AT_ONCE / 1e6,
                ) from error
            yield line, value, None
            comma = window.skip(BETWEEN)[1]
        if window.next_character() != "]":
            raise self._broken_end(window.text[window.at : window.at + 20], number, line)
        window.at += 1

    def _broken_array(self, error: json.JSONDecodeError, number: int, line: int, error_line: int) -> UserError:
        if not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated string"):
            return self._ends_within(number, line)
        return self._refusal(
            "dataset.broken_row",
            "{name} cannot be read in row {row}, line {line}: {problem}. Correct that line.",
            row=number,
            line=error_line,
            problem=json_problem(error),
        )

    def _broken_end(self, found: str, number: int, line: int) -> UserError:
        if found:
            return self._refusal(
                "dataset.no_comma",
                "{name} has {found!r} instead of a comma or ] after row {row} (line {line}). Correct that line.",
                found=found,
                row=number,
                line=line,
            )
        return self._refusal(
            "dataset.cut_off_list",
            "{name} ends after row {row} (line {line}) without the closing bracket ]: it was cut off. {again}",
            row=number,
            line=line,
            again=AGAIN,
        )


def lenient(text: str) -> Any:
    """A list or an object as JSON5 (comments, quotes of one stroke, names without any, commas at the end) or as a
    Python literal; None for everything else.
    """
    import pyjson5

    text = text.strip().removesuffix(",")
    if len(text) < _LENIENT and _is_shallow(text):
        try:
            value = pyjson5.decode(text, _DEEP)
        except (pyjson5.Json5Exception, ValueError, RecursionError, MemoryError):
            value = _literal(text)
        if isinstance(value, (dict, list)):
            return value
    return None


def _literal(text: str) -> Any:
    """What Python wrote of its own lists and dicts: nothing in it is run."""
    if len(text) > _LITERAL:
        return None
    try:
        return _as_json(ast.literal_eval(text))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _as_json(value: Any) -> Any:
    """Tuples are lists, names are texts, as JSON has them. Raises ValueError for what it has not."""
    if isinstance(value, dict):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(inner) for inner in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(type(value))


def _is_shallow(text: str) -> bool:
    """Are there at most so many brackets within brackets, whatever stands between?"""
    depth = 0
    for bracket in re.findall(r"[\[({\])}]", text):
        depth += 1 if bracket in "[({" else -1
        if depth > _DEEP:
            return False
    return True


def _rows_of_object(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object without a list of rows: a list a column, an object a row, or itself as the only row."""
    if not value:
        return []
    return _from_columns(value) or _from_keys(value) or [value]


def _from_columns(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object that holds one list a column, all of one length; none if it does not."""
    lists = [cells for cells in value.values() if _is_column(cells)]
    if len(value) < 2 or len(lists) < len(value) or len({len(cells) for cells in lists}) > 1:
        return []
    return [dict(zip(value, cells, strict=True)) for cells in zip(*lists, strict=True)]


def _from_keys(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object that holds one object a row under its id, or one a column as pandas writes it; none if it does
    not.
    """
    inner = list(value.values())
    if len(inner) < 2 or not all(isinstance(one, dict) and one for one in inner):
        return []
    if not all(key.isdecimal() for one in inner for key in one):
        return inner
    columns = [one.values() for one in inner]
    return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=False)]


def _are_known(cells: Any) -> bool:
    """Is this the row of names that a table as lists begins with?"""
    if not isinstance(cells, list) or len(cells) < 2 or not all(isinstance(cell, str) for cell in cells):
        return False
    names = [cell.strip().lower() for cell in cells]
    return len(set(names)) == len(names) and sum(name in KNOWN_NAMES for name in names) > 1


def _named_cells(value: dict[str, Any], rows: list[Any]) -> list[Any]:
    """Rows that are lists of cells with the names that stand beside them, as pandas writes them."""
    named = next((value[key] for key in ("columns", "fields", "headers", "header") if value.get(key)), None)
    if not isinstance(named, list):
        return rows
    names = [one.get("name") if isinstance(one, dict) else one for one in named]
    is_table = all(isinstance(row, list) and len(row) == len(names) for row in rows)
    if not is_table or not all(isinstance(name, str) for name in names):
        return rows
    return [dict(zip(names, row, strict=True)) for row in rows]


def _is_column(cells: Any) -> bool:
    return isinstance(cells, list) and bool(cells) and isinstance(cells[0], (str, int, float))
