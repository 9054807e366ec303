"""A whole file as conversations: every row is used, or left out with its reason."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..messages import Conversation
from ..settings import Settings
from .columns import AskColumns, ColumnMap
from .formats import BY_CONTENT, KINDS, UNKNOWN, Kind, convert, recognise, why
from .rows import Row, RowSource
from .text_files import WANTED, NotTrainable
from .trees import NO_PARENT, NOT_BEST, message_id, node_turn, parent_id, paths
from .turns import Columns, NestedValue, RepeatedKey, RowError, TwoColumnsFit, tidy

_UNREADABLE = Kind("unreadable", "rows that cannot be read", lambda row: False)
_FLAWS = {"unreadable", "unknown", "prompts_only"}  # a row of these kinds is mostly a broken row of another kind
_ASKED = {"unknown", "pairs_no_header"}  # a person can say which column is what
_MARKED = {"guanaco_text", "chip2", "marked_text"}
_LINKS = "oasst_links"
_CORRECT = "Correct the file, then upload it again."
_HOW = ('Say under "Columns of your data" which column asks and which one answers; on the command line that is '
        "dataset.columns.prompt=... dataset.columns.answer=...")
_CHANGES = {
    "merged": "consecutive turns of the same speaker were merged",
    "cut": "the last turn is the user's and has no answer, so it was cut",
    "dropped": "the assistant speaks before anybody asked, so its first turn was dropped",
    "skipped": "one of several instances could not be used and was skipped",
}


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used: its number in the data from 1, the line it starts on if known, why, and in which of several files."""

    row: int
    line: int | None
    reason: str
    file: str = ""

    def __str__(self) -> str:
        place = f"line {self.line} of {self.file}" if self.file and self.line else self.file or (f"line {self.line}" if self.line else "")
        return f"row {self.row}{f' ({place})' if place else ''}: {self.reason}"


@dataclass(frozen=True)
class FileContents:
    """All of a file: the rows in `numbers` (one a conversation, as in `lines`; some rows give several) and those left out are all rows.

    `format` is its name, `because` says how it was recognised; `user` and `answer` are the columns that ask and answer.
    """

    format: str
    because: str
    user: str | None
    answer: str | None
    rows: int
    conversations: list[Conversation]
    numbers: list[int]
    lines: list[int | None]
    left_out: list[LeftOut]
    warnings: list[str]


class _Sorted:
    """The rows of a file by the kind they are of: used ones, those left out, and what was changed in which row."""

    def __init__(self) -> None:
        self.rows = 0
        self.used: dict[str, list[tuple[int, int | None, Conversation]]] = defaultdict(list)
        self.left_out: dict[str, list[LeftOut]] = defaultdict(list)
        self.changed: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.nested: set[str] = set()  # kinds with an object or a list where text is wanted
        self.doubt: str | None = None  # two columns that could be the same, and where
        self.kinds_in: dict[str, Counter[str]] = defaultdict(Counter)  # of each of several files
        self._linked: list[tuple[int, int | None, Columns]] = []

    def add(self, row: Row, kind_of: "_Recogniser") -> None:
        self.rows, line, value, problem, file = row
        kind = _UNREADABLE
        changes: list[str] = []
        try:
            if problem:
                raise RowError(problem)
            kind, columns = kind_of(value)
            if file:
                self.kinds_in[file][kind.name] += 1
            if kind.name == _LINKS:
                self._linked.append((self.rows, line, columns))
                return
            self.used[kind.name] += [(self.rows, line, one) for one in convert(kind, columns, changes)]
        except RowError as error:
            self.left_out[kind.name].append(LeftOut(self.rows, line, str(error), file))
            self.nested |= {kind.name} if isinstance(error, NestedValue) else set()
        except TwoColumnsFit as error:
            self.doubt = self.doubt or f"{error}, first in row {self.rows}"
        else:
            for change in changes:
                self.changed[kind.name, change].append(self.rows)

    def join_links(self) -> None:
        """Rows that name the row they answer become conversations once all of them are known."""
        followed = set()
        ids = {message_id(columns) for _, _, columns in self._linked}
        for path in paths(columns for _, _, columns in self._linked):
            rows, changes = [self._linked[position] for position in path], []
            followed.update(number for number, _, _ in rows)
            try:
                turns = [node_turn(columns, turn) for turn, (_, _, columns) in enumerate(rows, start=1)]
                conversation = tidy(turns, changes)
            except RowError as error:
                self.left_out[_LINKS] += [LeftOut(number, line, str(error)) for number, line, _ in rows]
                continue
            # One row stands for its conversation; the others it is made of are used too, so they are not left out.
            self.used[_LINKS].append((*rows[0][:2], conversation))
            for change in changes:
                self.changed[_LINKS, change].append(rows[0][0])
        self.left_out[_LINKS] += [LeftOut(number, line, NOT_BEST if parent_id(columns) in ids else NO_PARENT)
                                  for number, line, columns in self._linked if number not in followed]

    def majority(self) -> str:
        """The most frequent kind; a row that is only broken, or lacks its answer, is no kind of its own."""
        counts = {name: len(self.used[name]) + len(self.left_out[name]) for name in [*self.used, *self.left_out]}
        counts = {name: count for name, count in counts.items() if count}
        return max(counts, key=lambda name: (name not in _FLAWS, name != _UNREADABLE.name, counts[name], bool(self.used[name])))

    def differences(self) -> str:
        """Which of several files is in which format, where they are not all in the same."""
        kinds = {file: max(counts, key=lambda name: (name not in _FLAWS, counts[name])) for file, counts in self.kinds_in.items()}
        first: dict[str, str] = {}
        for file, name in kinds.items():
            first.setdefault(name, file)
        return ", ".join(f"{file} is {KINDS.get(name, UNKNOWN).title}" for name, file in first.items()) if len(first) > 1 else ""


def read_file(place: Path | Sequence[Path], name: str, format: str = "auto", columns: ColumnMap = ColumnMap(),  # noqa: B008  it cannot change
              limits: Settings | None = None) -> FileContents:
    """Read a file by its columns if they are given, else in the format given, else in that of most of its rows.

    An archive, a folder or a list of files is read as one dataset if its files have the same format. `limits` are for files that
    nobody has checked yet. Raises UserError naming file, place and remedy, and AskColumns.
    """
    source, found, kind_of = RowSource(place, name, limits), _Sorted(), _Recogniser(format, columns)
    for row in source:
        found.add(row, kind_of)
        if limits and found.rows > limits.max_rows:
            raise UserError(f"{name} has more than {limits.max_rows:,} rows. Split it, or set QLORA_APP_MAX_ROWS higher.")
    if found.doubt:
        raise AskColumns(f"{name} has {found.doubt}. {_HOW}", "unknown", found.rows, list(kind_of.seen))
    found.join_links()
    if differ := found.differences():
        raise UserError(f"{name} holds files in different formats, which cannot be learned together: {differ}. Choose those of one format, "
                        "or bring all into one.")
    if columns.given and kind_of.seen:
        columns.check(name, kind_of.seen)
    unreadable = found.left_out[_UNREADABLE.name]
    if not found.rows:
        raise NotTrainable(f"{name} is empty: it has no rows. {WANTED}", None, 0)
    if 2 * len(unreadable) > found.rows:
        raise NotTrainable(f"{name} has rows that cannot be read: {_some(unreadable)}. The first: {unreadable[0].reason}. {_CORRECT}",
                           None, found.rows)
    chosen = found.majority()
    if chosen == "text" and format == "auto" and any(found.used[one] for one in _MARKED):
        return read_file(place, name, "text", columns, limits)  # a web page with questions in it is text like the others
    if not found.used[chosen]:
        raise _nothing_usable(name, chosen, kind_of, found)
    return _contents(chosen, found, kind_of, source.warnings)


def _listed(names: dict[str, None]) -> str:
    return ", ".join(repr(name[:30]) for name in list(names)[:8])


def _some(left_out: list[LeftOut]) -> str:
    """Which rows, for a sentence: the first few by their lines."""
    places = [f"line {one.line}" if one.line else f"row {one.row}" for one in left_out[:5]]
    return f"{', '.join(places)}{' and more' if len(left_out) > 5 else ''} ({len(left_out):,} in all)"


def _no_such_row(row: Columns) -> list[Any]:
    raise RowError("its columns do not fit the format")


class _Recogniser:
    """What kind each row is, and its columns by their lower-case names; remembered by the shape of the row."""

    def __init__(self, format: str, columns: ColumnMap) -> None:
        self.format = format
        self.mapped = _mapped(columns) if columns.given else None
        self.seen: dict[str, None] = {}  # names of columns as they stand in the file, in their order
        self.first: dict[str, Columns] = {}  # row of each kind, for a sentence
        self._kinds: dict[Any, Kind] = {}
        self._names: dict[Any, tuple[str, ...]] = {}

    def __call__(self, value: Any) -> tuple[Kind, Columns]:
        row = value if type(value) is dict else self._wrapped(value)
        given = tuple(row)
        names = self._names.get(given) or self._lowered(given)
        columns = row if names == given else dict(zip(names, row.values(), strict=True))
        # Recognition looks at names, types and the keys of a first turn: rows that agree in them are of one kind.
        shape = (*names, *[tuple(v[0]) if type(v) is list and v and type(v[0]) is dict else type(v) for v in row.values()])
        kind = self._kinds.get(shape)
        if kind is None:
            kind = self.mapped or self._recognised(columns)
            if kind.read is not _no_such_row:
                self.first.setdefault(kind.name, columns)
            if len(self._kinds) < 1000 and BY_CONTENT.isdisjoint(names):
                self._kinds[shape] = kind
        return kind, columns

    def _recognised(self, columns: Columns) -> Kind:
        kind = recognise(columns, self.format)
        return KINDS[self.format]._replace(read=_no_such_row) if kind is UNKNOWN and self.format != "auto" else kind

    def _lowered(self, given: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.strip().lower() for name in given)
        if len(set(names)) < len(names):
            raise RowError(f"two of its columns have the same name ({', '.join(repr(name[:30]) for name in given[:8])})")
        if len(self._names) < 1000:
            self._names[given] = names
            self.seen.update(dict.fromkeys(given))
        return names

    def _wrapped(self, value: Any) -> Columns:
        """A bare list of turns or a bare string as a row of one column."""
        if isinstance(value, RepeatedKey):
            raise RowError("a key stands twice in it, so that one of its two values would be lost")
        return {"messages": value} if isinstance(value, list) else {"text": value} if isinstance(value, str) else {}


def _mapped(columns: ColumnMap) -> Kind:
    """The kind of every row when a person said which column is what."""
    ends = columns.messages or columns.template or columns.prompt or None, columns.messages or columns.label or columns.answer
    return Kind("columns", "Columns you named", lambda row: True, lambda row: ends, columns.read,
                "you named {user} and {answer}" if ends[0] else "you named {answer}")


def _nothing_usable(name: str, chosen: str, kind_of: _Recogniser, found: _Sorted) -> NotTrainable:
    """What to say of a file without a row to learn from, or what to ask."""
    kind, names = KINDS.get(chosen, UNKNOWN), _listed(kind_of.seen) or "no columns"
    has = "has" if chosen in _ASKED else "looks like"
    is_free = kind_of.format == "auto" and kind_of.mapped is None
    if chosen in _ASKED and len(kind_of.seen) > 1 and is_free:
        return AskColumns(f"{name} {has} {kind.title} ({names}). {_HOW}", chosen, found.rows, list(kind_of.seen))
    if kind.read is None and chosen != _LINKS and is_free:
        why_not = ": there is no answer to learn" if chosen in ("unknown", "prompts_only") else ""
        return NotTrainable(f"{name} {has} {kind.title} ({names}), which cannot be trained on{why_not}. {WANTED}", chosen, found.rows)
    forced = f" when it is read as {kind.title}" if kind_of.format != "auto" else ""
    first = found.left_out[chosen][0]
    if is_free and chosen in found.nested:
        return AskColumns(f"{name} has no trainable row as it is: the first is {first}. {_HOW}", chosen, found.rows, list(kind_of.seen))
    return NotTrainable(f"{name} has no trainable row{forced}: there is no answer to learn in any of its {found.rows:,} rows. The first is "
                        f"{first}. {'Let the format be recognised, or choose another.' if forced else _CORRECT}", chosen, found.rows)


def _contents(chosen: str, found: _Sorted, kind_of: _Recogniser, warnings: list[str]) -> FileContents:
    kind = kind_of.mapped or KINDS[chosen]
    others = {number: LeftOut(number, line, f"its format is {KINDS[name].title}, that of most rows is {kind.title}")
              for name, ones in found.used.items() if name != chosen for number, line, _ in ones}
    left_out = sorted((one for ones in (*found.left_out.values(), others.values()) for one in ones), key=lambda one: one.row)
    numbers, lines, conversations = zip(*found.used[chosen], strict=True)
    changes = {words: found.changed[chosen, change] for change, words in _CHANGES.items() if (chosen, change) in found.changed}
    sentences = [f"In {'1 row' if len(rows) == 1 else f'{len(rows):,} rows'} {words} (first: row {rows[0]})."
                 for words, rows in changes.items()]
    notes = [kind.note] if kind.note else _labels_sentence(conversations) if chosen == "classification" else []
    warnings = [*warnings, *_left_out_sentence(found.rows, left_out), *sentences, *notes]
    row = kind_of.first[chosen]
    return FileContents(chosen, f"{kind.title}, because {why(kind, row)}", *kind.columns(row), found.rows, list(conversations),
                        list(numbers), list(lines), left_out, warnings)


def _labels_sentence(conversations: tuple[Conversation, ...]) -> list[str]:
    """Which labels there are and how many of each; a rare one is hardly learned."""
    counts = Counter(one[-1]["content"] for one in conversations)
    shown = ", ".join(f"{label[:30]!r} ({count:,})" for label, count in counts.most_common(6))
    return [f"The label is learned as the answer: {shown}{' and more' if len(counts) > 6 else ''}."]


def _left_out_sentence(rows: int, left_out: list[LeftOut]) -> list[str]:
    if not left_out:
        return []
    reasons = len({one.reason for one in left_out})
    return [f"Left out: {len(left_out):,} of {rows:,} rows{'' if reasons == 1 else f', for {reasons} different reasons'}; "
            f"the first is {left_out[0]}."]
