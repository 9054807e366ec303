"""What kind each row of a file is, remembered by the shape of the row."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from ...messages import Message
from .choices import multiple_choice
from .columns import ColumnMap
from .kind import Reader
from .known import (
    BY_CONTENT,
    KINDS,
    UNKNOWN,
    Kind,
    recognise,
)
from .readers import labelled, text_column
from .row_view import Reading, present
from .turns import Columns, RepeatedKey, RowError

CHOICE = "multiple_choice"
SAMPLE = 200  # rows that are kept to guess which column is what
_WITHOUT_ANSWER = {"unknown", "prompts_only", "text"}  # what a row seems to be whose answer is null


def _no_such_row(row: Columns) -> list[Any]:
    raise RowError("its columns do not fit the format")


class OfAllRows(NamedTuple):
    """What only the whole file can tell of its rows; it is read once more where it is known."""

    label: str = ""  # the column that is the label of a text, where it has no usual name
    first_choice: int = 0  # what numbers of right choices count from
    without: tuple[str, ...] = ()  # files whose columns are none of those of most rows
    train_only: bool = False  # are rows left out that a column such as `split` keeps apart to measure with?


class FormatDetector:
    """What kind each row is, and its columns by their lower-case names."""

    def __init__(self, format: str = "auto", columns: ColumnMap = ColumnMap(), of_all: OfAllRows = OfAllRows()) -> None:
        """`of_all`: what only the whole file could tell."""
        self.format, self.columns, self.of_all = format, columns, of_all
        self.answer = ""  # the column that answered in a training, where it has any of many names
        self.mapped = _kind_of_all(columns, of_all.label)
        self.seen: dict[str, None] = {}  # names of columns as they stand in the file, in their order
        self.first: dict[str, Columns] = {}  # row of each kind, for a sentence
        self.sample: list[Columns] = []  # the first rows
        self.lacking: Counter[str] = Counter()  # kinds that texts would be of if their columns were not null
        self._kinds: dict[Any, Kind] = {}
        self._names: dict[Any, tuple[str, ...]] = {}

    def __call__(self, value: Any) -> tuple[Kind, Columns]:
        """(the kind of a row, its columns without what is null or not a number). Raises RowError for what is no row."""
        row = value if type(value) is dict else self._wrapped(value)
        given = tuple(row)
        names = self._names.get(given) or self._lowered(given)
        whole = row
        if names != given:
            whole = dict(zip(names, row.values(), strict=True))
        columns = present(whole) or {}
        if len(self.sample) < SAMPLE:
            self.sample.append(columns)
        kind = self._kind_of(columns)
        if len(columns) < len(whole) and kind.name in _WITHOUT_ANSWER:
            with_nulls = {name: columns.get(name) for name in whole}
            other = self._kind_of(with_nulls)
            if kind.name != "text" and other.read:
                return other, with_nulls  # so that what it lacks can be said
            self.lacking[other.name] += other is not kind
        return kind, columns

    def _kind_of(self, columns: Columns) -> Kind:
        # Recognition looks at names, types and the keys of a first turn: rows that agree in them are of one kind.
        shape = (*columns, *[_shape_of(value) for value in columns.values()])
        kind = self._kinds.get(shape)
        if kind is None:
            kind = self.mapped or self._recognised(columns)
            if self.columns.answers_by and kind.read not in (None, _no_such_row):
                kind = kind._replace(read=partial(_with_answerer, kind.read, self.columns.answers_by))
            if kind.read is not _no_such_row:
                self.first.setdefault(kind.name, columns)
            if len(self._kinds) < 1000 and BY_CONTENT.isdisjoint(columns):
                self._kinds[shape] = kind
        return kind

    def _recognised(self, columns: Columns) -> Kind:
        kind = recognise(columns, self.format)
        if kind is UNKNOWN and self.format != "auto":
            return KINDS[self.format]._replace(read=_no_such_row)
        if kind.name == CHOICE and self.of_all.first_choice:
            return kind._replace(read=partial(multiple_choice, first=self.of_all.first_choice))
        return kind

    def _lowered(self, given: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.strip().lower() for name in given)
        if len(set(names)) < len(names):
            listed = ", ".join(repr(name[:30]) for name in given[:8])
            raise RowError(f"two of its columns have the same name ({listed})")
        if len(self._names) < 1000:
            self._names[given] = names
            self.seen.update(dict.fromkeys(given))
        return names

    def _wrapped(self, value: Any) -> Columns:
        """A bare list of turns or a bare string as a row of one column."""
        if isinstance(value, RepeatedKey):
            raise RowError("a key stands twice in it, so that one of its two values would be lost")
        if isinstance(value, list):
            return {"messages": value}
        if not isinstance(value, str):
            return {}
        return {"text": value}


def _shape_of(value: Any) -> Any:
    """What recognition looks at: the type of a value, of a list of turns the keys of the first."""
    if type(value) is list and value:
        return tuple(value[0]) if type(value[0]) is dict else (type(value[0]),)
    return type(value)


def _with_answerer(read: Reader, answers_by: str, row: Reading) -> list[Message] | Iterator[list[Message]]:
    """Read a row that knows who answers."""
    row.answers_by = answers_by
    return read(row)


def _kind_of_all(columns: ColumnMap, label: str) -> Kind | None:
    """The kind of every row, where a person or the whole file said it."""
    if columns.given:
        return mapped_by(columns)
    if not label:
        return None
    return labelled_by(label)


def labelled_by(label: str) -> Kind:
    """Texts whose label stands in a column of any name."""
    known = KINDS["classification"]
    return known._replace(columns=lambda row: (text_column(row), label), read=partial(labelled, label=label))


def _named_title(columns: ColumnMap) -> str:
    """What rows are whose columns a person named."""
    if columns.messages:
        return "Conversations"
    if columns.label:
        return "Labelled texts"
    return "Questions and answers" if columns.template or columns.prompt else "Plain text"


def mapped_by(columns: ColumnMap) -> Kind:
    """The kind of every row when a person said which column is what."""
    asks = columns.messages or columns.template or columns.prompt or None
    answers = columns.messages or columns.label or columns.answer
    because = "you named {user} and {answer}" if asks else "you named {answer}"
    return Kind(
        name="columns",
        title=_named_title(columns),
        fits=lambda row: True,
        columns=lambda row: (asks, answers),
        read=columns.read,
        because=because,
    )
