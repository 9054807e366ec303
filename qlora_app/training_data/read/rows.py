"""From a file to its rows, one after another. What its bytes look like decides, not what it is called."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ...errors import Problem, UserError
from ...settings import Settings
from . import json_stream
from .archives import Content, contents_of
from .encodings import Encoding, find_encoding
from .json_stream import BETWEEN, BLANK, BRACE, COLON, OPENING, TooLarge, Window, decode, is_broken, json_problem
from .line_formats import line_format_of
from .reading import Doubt, ReadAs
from .spread import spread
from .tables import (
    NO_NAMES,
    SAMPLE,
    Found,
    layout_of,
    read_parquet,
    read_table,
)
from .text import WANTED, NotTrainable, refuse_other_kinds

_AGAIN = Problem("advice.upload_whole", "Nothing was imported; download or save it again, then upload the whole file.")
_LONGEST_PART = 65_536  # characters of plain text without an empty line
_WRAPPERS = ("data", "rows", "train", "examples", "records", "items", "dataset")  # {"data": [rows]}


class Row(NamedTuple):
    """One row: its number from 1, the line it starts on if known, its value, or `problem`: why it cannot be read.

    `file` is the name of the file it stands in, where there are several.
    """

    number: int
    line: int | None
    value: Any
    problem: str | None = None
    file: str = ""


class RowSource:
    """The rows of one file, or of several one after another, numbered through.

    Raises UserError naming the file, and OSError if one cannot be opened.
    """

    def __init__(
        self,
        place: Path | Sequence[Path],
        name: str,
        limits: Settings | None = None,
        glance: bool = False,
        how: ReadAs = ReadAs(),
    ) -> None:
        """`glance`: only the first rows are wanted, so that the encoding is that of the beginning. `how`: what a person
        said of the bytes.
        """
        self.files = [_FileRows(content, glance, how) for content in contents_of(place, name, limits)]
        self._at = 0

    @property
    def warnings(self) -> list[str]:
        """What is odd about the files, each once."""
        return list(dict.fromkeys(text for file in self.files for text in file.warnings))

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What could be read in another way; known once the first row was read."""
        first: dict[str, Doubt] = {}
        for file in self.files:
            for doubt in file.doubts:
                first.setdefault(doubt.field, doubt)
        return tuple(first.values())

    def __iter__(self) -> Iterator[Row]:
        number = 0
        for self._at, file in enumerate(self.files):  # noqa: B020  how far it is can be asked meanwhile
            for line, value, problem in file:
                number += 1
                yield Row(number, line, value, problem, file.content.part)

    def share_read(self) -> float:
        """Which part of all files was read so far, about; 0.0 where that is not known."""
        sizes = [file.content.path.stat().st_size for file in self.files]
        of_this_file = sizes[self._at] * self.files[self._at].content.share_read()
        return (sum(sizes[: self._at]) + of_this_file) / max(1, sum(sizes))


class _FileRows:
    """The rows of one file."""

    def __init__(self, content: Content, glance: bool, how: ReadAs) -> None:
        self.name, self.content, self.how = content.name, content, how
        self.doubts: list[Doubt] = []
        head = refuse_other_kinds(self.content)
        self.is_parquet = head.startswith(b"PAR1")
        self.encoding = Encoding("", "", [])
        if not self.is_parquet:
            self.encoding = find_encoding(self.content, head, glance, how.encoding)
        self.warnings = self.encoding.warnings

    def __iter__(self) -> Iterator[Found]:
        if self.is_parquet:
            with self.content.open() as file:
                yield from spread(read_parquet(file, self.name))
            return
        with self._open() as file:
            read = self._structure(file)
        # csv finds the line ends itself; elsewhere only \n ends a line, because U+2028, U+0085 and \x0b are legal
        # inside strings
        with self._open("" if isinstance(read, partial) else "\n") as file:
            yield from spread(read(file))

    def _open(self, newline: str = "\n") -> TextIO:
        return io.TextIOWrapper(
            self.content.open(), encoding=self.encoding.name, errors=self.encoding.errors, newline=newline
        )

    def _refusal(self, code: str, template: str, /, **values: Any) -> UserError:
        return UserError(code, template, name=self.name, **values)

    def _structure(self, file: TextIO) -> Callable[[TextIO], Iterator[Found]]:
        """By the first two lines with something on them."""
        if of_lines := line_format_of(file.read(SAMPLE)):
            return of_lines
        file.seek(0)
        first, second = (_next_line(file) for _ in range(2))
        if not first:
            raise NotTrainable(
                "dataset.no_rows", "{name} is empty: it has no rows. {wanted}", None, 0, name=self.name, wanted=WANTED
            )
        if first[0] not in '[{"':
            return self._table_or_text(file)
        whole = decode(first)[1] is None
        if first[0] == "[":
            one_list_a_line = bool(second) and first[-1] == "]" and whole
            return self._lines if one_list_a_line else self._array
        if first[0] == '"':
            return self._lines if whole else self._table_or_text(file)
        if whole:
            return self._lines if second else self._one_object
        file.seek(0)  # a broken first line of many, or an object written over several lines
        if second.startswith("{") and is_broken(file.read(json_stream.LONGEST_LINE)):
            return self._lines
        return self._one_object

    def _table_or_text(self, file: TextIO) -> Callable[[TextIO], Iterator[Found]]:
        file.seek(0)
        sample = file.read(SAMPLE)
        if layout := layout_of(sample):
            if not layout.has_names:
                self.warnings.append(NO_NAMES)
            return partial(read_table, name=self.name, layout=layout)
        if (self.content.part or self.name).lower().endswith((".json", ".jsonl")):
            raise self._refusal(
                "dataset.not_json",
                "{name} is not JSON: it starts with {begins!r}. {wanted}",
                begins=sample.strip()[:20],
                wanted=WANTED,
            )
        return self._text

    def _text(self, file: TextIO) -> Iterator[Found]:
        """Plain text: one row for each part between empty lines."""
        start, size = 1, 0
        part: list[str] = []
        for line, text in enumerate(iter(partial(file.readline, _LONGEST_PART), ""), start=1):
            if text.strip():
                if not part:
                    start = line
                part.append(text)
                size += len(text)
            if part and (not text.strip() or size > _LONGEST_PART):
                yield start, "".join(part).strip(), None
                part, size = [], 0
        if part:
            yield start, "".join(part).strip(), None

    def _lines(self, file: TextIO) -> Iterator[Found]:
        number, readable, text, problem = 0, 0, "", None
        for line, text in enumerate(iter(partial(file.readline, json_stream.MOST_AT_ONCE), ""), start=1):
            if len(text) == json_stream.MOST_AT_ONCE:
                raise self._refusal(
                    "dataset.line_too_large",
                    "{name} cannot be read: line {line} is one JSON value of more than {most:,.0f} MB there. Write one "
                    "row per line (JSONL), each with its own column names.",
                    line=line,
                    most=json_stream.MOST_AT_ONCE / 1e6,
                )
            if text.strip():
                number += 1
                value, problem = decode(text)
                readable += problem is None
                yield line, value, problem
        if readable and problem and not text.endswith("\n"):
            raise self._ends_within(number, line)

    def _one_object(self, file: TextIO) -> Iterator[Found]:
        text = file.read(json_stream.MOST_AT_ONCE)
        if len(text) == json_stream.MOST_AT_ONCE:
            file.seek(0)
            yield from self._large_object(file)
            return
        value, problem = decode(text)
        if problem:
            raise self._broken_object(problem)
        lists = [key for key in value if key in _WRAPPERS and isinstance(value[key], list)]
        lists = [key for key in lists if not value[key] or isinstance(value[key][0], (dict, list))]
        if len(lists) > 1:
            raise self._several(lists)
        for row in value[lists[0]] if lists else _rows_of_object(value):
            yield None, row, None

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
                again=_AGAIN,
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
            again=_AGAIN,
        )

    def _array(self, file: TextIO) -> Iterator[Found]:
        """One element after another with only a part of the file in memory; a broken one is named by its row and
        line.
        """
        window = Window(file)
        window.skip(OPENING)
        number = 0
        for number, found in enumerate(self._elements(window), start=1):  # noqa: B007  it is needed below
            yield found
        window.skip(BLANK)
        if window.next_character():
            raise self._refusal(
                "dataset.goes_on",
                "{name} goes on after the bracket ] that ends its {rows:,} rows. Write one list, or one row per line.",
                rows=number,
            )

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
            again=_AGAIN,
        )


def _next_line(file: TextIO) -> str:
    """The next line with something on it, or its beginning if it is as long as a file; empty at the end."""
    while text := file.readline(json_stream.LONGEST_LINE):
        if text.strip():
            return text.strip()
    return ""


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


def _is_column(cells: Any) -> bool:
    return isinstance(cells, list) and bool(cells) and isinstance(cells[0], (str, int, float))
