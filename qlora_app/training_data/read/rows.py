"""From a file to its rows, one after another. What its bytes look like decides, not what it is called."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ...errors import UserError
from ...settings import Settings
from . import json_stream
from .archives import contents_of
from .arrow_tables import read_arrow, read_parquet
from .asking import ask_encoding
from .bare_turns import in_pairs
from .content import Content
from .documents import Document
from .encodings import Encoding, UnknownEncoding, find_encoding
from .gather import gather
from .headers import HeaderRows
from .json_rows import JsonRows, lenient
from .json_stream import decode, is_broken
from .layout import SAMPLE, is_running_text, layout_of
from .line_formats import line_format_of
from .prose import Prose
from .reading import Doubt, Found, ReadAs
from .refusals import WANTED, NotTrainable
from .spread import spread
from .tables import Table
from .text import kind_of
from .workbooks import Workbook
from .yaml_rows import is_yaml, read_yaml

_JSON_SAMPLE = 1 << 20  # characters that say whether a text is JSON
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_TEXT_ENDINGS = (".txt", ".text", ".md", ".markdown")
_NEARLY_JSON = re.compile(r"\s*(?:/[/*]|#.*\n|\{\s*(?:['}]|/[/*]|[A-Za-z_$][\w$]*\s*:)|\[\s*(?:['{\[]|/[/*]))")
Reader = Callable[[TextIO], Iterator[Found]]


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
        without: Sequence[str] = (),
    ) -> None:
        """`glance`: only the first rows are wanted, so that the encoding is that of the beginning. `how`: what a person
        said of the bytes. `without`: the names of files that are not read.
        """
        found = contents_of(place, name, limits, how.split, without)
        self._contents, self._glance, self._how = found.contents, glance, how
        self._notes = dict.fromkeys(found.notes)
        self._doubts: dict[str, Doubt] = {}
        self._weights = [content.weight for content in self._contents]
        self._at = self._before = 0  # the file that is read, and the weight of those before it

    @property
    def warnings(self) -> list[str]:
        """What is odd about the files that were read so far, each once."""
        return list(self._notes)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What could be read in another way; known once the first row was read."""
        return tuple(self._doubts.values())

    def __iter__(self) -> Iterator[Row]:
        number = self._before = 0
        for self._at, content in enumerate(self._contents):  # noqa: B020  how far it is can be asked meanwhile
            file = _FileRows(content, self._glance, self._how)
            try:
                for line, value, problem in in_pairs(gather(spread(file, file.headers)), self._notes):
                    number += 1
                    self._hear(file, once=True)
                    yield Row(number, line, value, problem, content.part)
            finally:
                self._hear(file)
                content.forget()
            self._before += self._weights[self._at]

    def share_read(self) -> float:
        """Which part of all files was read so far, about; 0.0 where that is not known."""
        of_this_file = self._weights[self._at] * self._contents[self._at].share_read()
        return (self._before + of_this_file) / max(1, sum(self._weights))

    def _hear(self, file: "_FileRows", once: bool = False) -> None:
        """What a file has to say: at its first row what is in doubt, at its end everything."""
        if once and file.is_heard:
            return
        file.is_heard = True
        self._notes.update(dict.fromkeys(file.warnings))
        for doubt in file.doubts:
            self._doubts.setdefault(doubt.field, doubt)


class _FileRows:
    """The rows of one file."""

    def __init__(self, content: Content, glance: bool, how: ReadAs) -> None:
        self.name, self.content, self.glance, self.how = content.name, content, glance, how
        self.is_heard = False
        self._said: list[Doubt] = []
        self.headers = HeaderRows()
        self._speakers: list[Any] = [self.headers]  # whose warnings and doubts are this file's

    @property
    def warnings(self) -> list[str]:
        return [text for one in self._speakers for text in one.warnings]

    @property
    def doubts(self) -> list[Doubt]:
        return [*self._said, *(doubt for one in self._speakers for doubt in getattr(one, "doubts", ()))]

    def __iter__(self) -> Iterator[Found]:
        kind, head = kind_of(self.content)
        if kind == "text":
            return self._of_text(head)
        if kind == "workbook":
            return self._said_by(Workbook(self.content, self.how, self.glance)).rows()
        if kind in ("document", "pdf", "html"):
            return self._said_by(Document(self.content, kind, self.how, self.glance)).rows()
        return self._of_columns(kind, head)

    def _said_by(self, speaker: Any) -> Any:
        self._speakers.append(speaker)
        return speaker

    def _of_columns(self, kind: str, head: bytes) -> Iterator[Found]:
        with self.content.open() as file:
            if kind == "parquet":
                yield from read_parquet(file, self.name)
            else:
                yield from read_arrow(file, self.name, head)

    def _of_text(self, head: bytes) -> Iterator[Found]:
        encoding = self._said_by(self._encoding(head))
        with self._open(encoding) as file:
            read = self._structure(file)
        # csv finds the line ends itself; elsewhere only \n ends a line, because U+2028, U+0085 and \x0b are legal
        # inside strings
        newline = "" if isinstance(getattr(read, "__self__", None), Table) else "\n"
        with self._open(encoding, newline) as file:
            yield from read(file)

    def _encoding(self, head: bytes) -> Encoding:
        try:
            found = find_encoding(self.content, head, self.glance, self.how.encoding)
        except UnknownEncoding as error:
            raise ask_encoding(self.name, error.values) from error
        if len(found.others) > 1:
            self._said.append(Doubt("encoding", found.name, found.others))
        return found

    def _open(self, encoding: Encoding, newline: str = "\n") -> TextIO:
        return io.TextIOWrapper(self.content.open(), encoding=encoding.name, errors=encoding.errors, newline=newline)

    def _refusal(self, code: str, template: str, /, **values: Any) -> UserError:
        return UserError(code, template, name=self.name, **values)

    @cached_property
    def _json(self) -> JsonRows:
        return self._said_by(JsonRows(self.name))

    def _structure(self, file: TextIO) -> Reader:
        """By the first two lines with something on them."""
        first, second = (_next_line(file) for _ in range(2))
        if not first:
            raise NotTrainable(
                "dataset.no_rows", "{name} is empty: it has no rows. {wanted}", None, 0, name=self.name, wanted=WANTED
            )
        if self.how.is_table or self.how.pieces != "auto":
            return self._table_or_text(file)
        file.seek(0)
        sample = file.read(_JSON_SAMPLE).lstrip("\ufeff")
        if of_lines := line_format_of(sample[:SAMPLE]):
            return of_lines
        return self._json_by(file, first, second, sample) or self._table_or_text(file)

    def _json_by(self, file: TextIO, first: str, second: str, sample: str) -> Reader | None:
        """How JSON is read, or what is nearly JSON; None for a text that only begins like it."""
        if self._is_json(first, second, sample):
            return self._json_structure(file, first, second)
        if _NEARLY_JSON.match(sample) and len(sample) < _JSON_SAMPLE and (value := lenient(_uncommented(sample))):
            return self._one_value(value)
        if first[0] in "{[" and lenient(first) is not None and lenient(second) is not None:
            return self._json.lines
        return None

    def _is_json(self, first: str, second: str, sample: str) -> bool:
        if first[0] not in '[{"':
            return False
        if first[0] == '"' or not _is_prose(sample):
            return True
        is_named = (self.content.part or self.name).lower().endswith(_JSON_ENDINGS)
        return first[0] == "{" and second.startswith("{" if is_named else '{"')

    def _json_structure(self, file: TextIO, first: str, second: str) -> Reader | None:
        whole = decode(first)[1] is None
        if first[0] == "[":
            one_list_a_line = bool(second) and first[-1] == "]" and whole
            return self._json.lines if one_list_a_line else self._json.array
        if first[0] == '"':
            return self._json.lines if whole else None
        if whole:
            return self._json.lines if second else self._json.one_object
        file.seek(0)  # a broken first line of many, or an object written over several lines
        if second.startswith("{") and is_broken(file.read(json_stream.LONGEST_LINE)):
            return self._json.lines
        return self._json.one_object

    def _one_value(self, value: Any) -> Reader:
        """Rows of a value that was read already."""
        rows = self._json.rows_of(value)
        self._json.warnings.append(f"{self.name} is not quite JSON: it is read as JSON5 or Python writes it.")
        return lambda file: ((None, row, None) for row in rows)

    def _table_or_text(self, file: TextIO) -> Reader:
        file.seek(0)
        sample = file.read(SAMPLE)
        name = self.content.part or self.name
        prose = Prose(self.name, self.how)
        if self.how.pieces != "auto" or prose.has_form(sample):
            return self._said_by(prose).reader(sample)
        if not self.how.is_table and is_yaml(sample, name):
            return lambda file: ((None, row, None) for row in self._json.rows_of(read_yaml(file, self.name)))
        is_text = name.lower().endswith(_TEXT_ENDINGS) and not self.how.is_table and is_running_text(sample)
        if not is_text and (found := layout_of(sample, self.how)):
            table = self._said_by(Table(self.name, found.layout))
            table.doubts = found.doubts
            return table.rows
        if name.lower().endswith(_JSON_ENDINGS):
            raise self._refusal(
                "dataset.not_json",
                "{name} is not JSON: it starts with {begins!r}. {wanted}",
                begins=sample.strip()[:20],
                wanted=WANTED,
            )
        return self._said_by(prose).reader(sample)


def _is_prose(sample: str) -> bool:
    """A text whose first character is a bracket, as of a link, a time or a remark, and that goes on as no JSON does."""
    text = sample.lstrip()
    inner = text[1:].lstrip()
    if text[0] == "{":
        return not inner.startswith(('"', "}")) and bool(inner)
    if inner.startswith(("{", "]")) or not inner:
        return False
    value, end = json_stream.begun(inner)
    if value is json_stream.CUT:
        return False
    rest = inner[end:].lstrip()
    if rest.startswith("]"):
        return rest[1:].lstrip(" \t\r")[:1] not in ("", "\n", "[", ",")
    return value is json_stream.NONE or rest[:1] not in (",", "")


def _uncommented(sample: str) -> str:
    """Without lines that are remarks as Python and YAML write them."""
    return re.sub(r"\A(?:\s*#.*\n)+", "", sample)


def _next_line(file: TextIO) -> str:
    """The next line with something on it, or its beginning if it is as long as a file; empty at the end."""
    while text := file.readline(json_stream.LONGEST_LINE):
        if text.strip():
            return text.strip()
    return ""
