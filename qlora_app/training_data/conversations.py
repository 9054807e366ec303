"""A whole file as conversations: every row is used, or left out with its reason."""

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Problem, UserError
from ..messages import STRUCTURE, Conversation
from ..settings import Settings
from .checks import Findings
from .formats.columns import AskColumns, ColumnMap
from .formats.detect import FormatDetector
from .formats.known import (
    KINDS,
    UNKNOWN,
    Kind,
    convert,
    why,
)
from .formats.labels import BesideTexts
from .formats.readers import text_column
from .formats.row_view import Reading
from .formats.trees import (
    LINKED,
    NO_PARENT,
    NOT_BEST,
    message_id,
    node_turn,
    parent_id,
    paths,
)
from .formats.turns import (
    Columns,
    NestedValue,
    RowError,
    TwoColumnsFit,
    tidy,
)
from .found import label_sentences, unread_sentences
from .read.rows import Row, RowSource
from .read.text import WANTED, NotTrainable
from .store import ArrowConversations, ConversationStore

_UNREADABLE = Kind("unreadable", "rows that cannot be read", lambda row: False)
_FLAWS = {"unreadable", "unknown", "prompts_only"}  # a row of these kinds is mostly a broken row of another kind
_ASKED = {"unknown", "pairs_no_header"}  # a person can say which column is what
_MARKED = {"guanaco_text", "chip2", "marked_text"}
_LINKS = "oasst_links"
# characters of messages that name their parent: nobody knows what belongs together before all are read
_MOST_LINKED = 200_000_000
_NEWS = 1000  # rows between two words about how far the reading is
_MOST_NAMES = 1000  # that are not read: counted
_MOST_LABELS, _LONGEST_LABEL = 10_000, 200  # different ones that are counted, and how much of each
_CORRECT = Problem("advice.correct_the_file", "Correct the file, then upload it again.")
_NO_ANSWER = Problem("dataset.no_answer_in_it", ": there is no answer to learn")
_NO_COLUMNS = Problem("dataset.no_columns", "no columns")
_HOW = Problem(
    "advice.name_columns",
    'Say under "Columns of your data" which column asks and which one answers; on the command line that is '
    "dataset.columns.prompt=... dataset.columns.answer=...",
)
_CHANGES = {
    "merged": "consecutive turns of the same speaker were merged",
    "cut": "the last turn has no answer, so it was cut",
    "dropped": "the assistant speaks before anybody asked, so its first turn was dropped",
    "skipped": "one of several instances could not be used and was skipped",
}


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used: its number in the data from 1, the line it starts on if known, why, and in which of
    several files.
    """

    row: int
    line: int | None
    reason: str
    file: str = ""

    def __str__(self) -> str:
        place = (
            f"line {self.line} of {self.file}"
            if self.file and self.line
            else self.file or (f"line {self.line}" if self.line else "")
        )
        return f"row {self.row}{f' ({place})' if place else ''}: {self.reason}"


@dataclass(frozen=True)
class FileContents:
    """All of a file: the rows in `numbers` (one a conversation, as in `lines`; some rows give several) and those left
    out are all rows.

    `format` is its name, `because` says how it was recognised; `user` and `answer` are the columns that ask and answer;
    a line is 0 where it is not known. `digest` is a sha256 of all conversations, `characters` how many they have, 10
    more for each turn.
    """

    format: str
    because: str
    user: str | None
    answer: str | None
    rows: int
    conversations: Sequence[Conversation]
    numbers: Sequence[int]
    lines: Sequence[int]
    left_out: list[LeftOut]
    warnings: list[str]
    digest: str
    characters: int
    duplicates: int
    keys: bytes  # the same_key of each; nothing where nobody looked
    asked: Sequence[int]


Progress = Callable[
    [int, float], None
]  # is told how many rows were read, and which share of the file that is (0.0: not known)


class _FormatRows:
    """The conversations of one kind: which row and line each comes from, where it stands on the shelf, what is odd
    about them.
    """

    def __init__(self, shelf: ConversationStore, looks: bool, has_labels: bool) -> None:
        self.numbers, self.lines, self.places = array("q"), array("q"), array("q")
        self.findings, self.labels = Findings(), Counter()
        self.characters = 0
        self.digest = hashlib.sha256()
        self._shelf, self._looks, self._has_labels = shelf, looks, has_labels

    def add(self, number: int, line: int | None, conversation: Conversation) -> None:
        characters = sum([len(turn["content"]) + 10 for turn in conversation])
        if rich := [turn for turn in conversation if len(turn) > 2]:
            characters += sum([len(turn.get(name, "")) for turn in rich for name in STRUCTURE])
        self.numbers.append(number)
        self.lines.append(line or 0)
        self.places.append(self._shelf.count)
        self.characters += characters
        self._shelf.add(conversation, characters)
        self.digest.update(_signed(conversation))
        if self._looks:
            self.findings.add(number, conversation)
        if self._has_labels and len(self.labels) < _MOST_LABELS:
            self.labels[conversation[-1]["content"][:_LONGEST_LABEL]] += 1

    def taken_from(self, shelf: Sequence[Conversation]) -> Sequence[Conversation]:
        """Its own among those of all kinds."""
        if len(self.places) == len(shelf):
            return shelf
        return (
            shelf.select(self.places)
            if isinstance(shelf, ArrowConversations)
            else [shelf[place] for place in self.places]
        )


class _RowsOfEachFormat(dict[str, _FormatRows]):
    """One for each kind that there is."""

    def __init__(self, shelf: ConversationStore, looks: bool) -> None:
        self.shelf, self.looks = shelf, looks

    def __missing__(self, name: str) -> _FormatRows:
        return self.setdefault(name, _FormatRows(self.shelf, self.looks, name == "classification"))


def _signed(conversation: Conversation) -> bytes:
    """Bytes that no other conversation gives: roles, texts, their lengths, and what is said of the training."""
    parts = [f"{turn['role']}{turn.get('train', '')}{len(turn['content'])}:{turn['content']}" for turn in conversation]
    if any([len(turn) > 2 for turn in conversation]):
        parts += [
            f"{place}{name}{len(turn[name])}:{turn[name]}"
            for place, turn in enumerate(conversation)
            for name in STRUCTURE
            if name in turn
        ]
    return "".join([*parts, "\n"]).encode()


class _RowsByFormat:
    """The rows of a file by the kind they are of: used ones, those left out, and what was changed in which row."""

    def __init__(self, shelf: ConversationStore, looks: bool) -> None:
        self.rows = 0
        self.used = _RowsOfEachFormat(shelf, looks)
        self.left_out: dict[str, list[LeftOut]] = defaultdict(list)
        self.changed: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.nested: set[str] = set()  # kinds with an object or a list where text is wanted
        self.doubt: Problem | None = None  # two columns that could be the same, and where
        self.kinds_in: dict[str, Counter[str]] = defaultdict(Counter)  # of each of several files
        self.unread: dict[str, Counter[tuple[str, str]]] = defaultdict(
            Counter
        )  # what no reader took, and in how many rows
        self.notes: dict[str, Counter[str]] = defaultdict(
            Counter
        )  # how something unclear was understood, and in how many rows
        self.beside_texts = BesideTexts()
        self._linked: list[tuple[int, int | None, Columns]] = []
        self.linked_characters = 0  # of rows that name their parent: nothing of them is on the shelf yet

    def add(self, row: Row, kind_of: "FormatDetector") -> None:
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
                self._link(line, columns)
                return
            reading = Reading(columns)
            for conversation in convert(kind, columns, changes, reading):
                self.used[kind.name].add(self.rows, line, conversation)
        except RowError as error:
            self.left_out[kind.name].append(LeftOut(self.rows, line, str(error), file))
            self.nested |= {kind.name} if isinstance(error, NestedValue) else set()
        except TwoColumnsFit as error:
            self.doubt = self.doubt or error.first_in(self.rows)
        else:
            for change in changes:
                self.changed[kind.name, change].append(self.rows)
            self._account(kind, reading)

    def _account(self, kind: Kind, reading: Reading) -> None:
        """What of a used row was not read, or was understood in a way that is to be said."""
        if not reading.keys() <= reading.taken or reading.has_inner:
            _count(self.unread[kind.name], list(dict.fromkeys(reading.unread())))
        if reading.notes:
            _count(self.notes[kind.name], sorted(reading.notes))
        if kind.name == "text":
            self.beside_texts.add(reading, text_column(reading))

    def _link(self, line: int | None, columns: Columns) -> None:
        kept = {name: columns[name] for name in LINKED if name in columns}
        _count(self.unread[_LINKS], [("", name) for name in columns if name not in kept])
        self._linked.append((self.rows, line, kept))
        self.linked_characters += sum(len(value) for value in kept.values() if isinstance(value, str))

    def join_links(self) -> None:
        """Rows that name the row they answer become conversations once all of them are known."""
        followed = set()
        ids = {message_id(columns) for _, _, columns in self._linked}
        for path in paths(columns for _, _, columns in self._linked):
            rows, changes = [self._linked[position] for position in path], []
            followed.update(number for number, _, _ in rows)
            try:
                conversation = tidy([node_turn(Reading(columns)) for _, _, columns in rows], changes)
            except RowError as error:
                self.left_out[_LINKS] += [LeftOut(number, line, str(error)) for number, line, _ in rows]
                continue
            # One row stands for its conversation; the others it is made of are used too, so they are not left out.
            self.used[_LINKS].add(*rows[0][:2], conversation)
            for change in changes:
                self.changed[_LINKS, change].append(rows[0][0])
        self.left_out[_LINKS] += [
            LeftOut(number, line, NOT_BEST if parent_id(columns) in ids else NO_PARENT)
            for number, line, columns in self._linked
            if number not in followed
        ]

    def majority(self, lacking: Counter[str]) -> str:
        """The most frequent kind; a row that is only broken, or lacks its answer, is no kind of its own.

        `lacking`: kinds that texts would be of if a column of theirs were not null.
        """
        counts = {name: self._uses(name) + len(self.left_out[name]) for name in [*self.used, *self.left_out]}
        counts = {name: count for name, count in counts.items() if count}
        chosen = max(
            counts, key=lambda name: (name not in _FLAWS, name != _UNREADABLE.name, counts[name], self._uses(name) > 0)
        )
        answered = [name for name, _ in lacking.most_common() if self._uses(name)]
        return answered[0] if chosen == "text" and answered else chosen

    def _uses(self, name: str) -> int:
        return len(self.used[name].places) if name in self.used else 0

    def differences(self) -> str:
        """Which of several files is in which format, where they are not all in the same."""
        kinds = {
            file: max(counts, key=lambda name: (name not in _FLAWS, counts[name]))
            for file, counts in self.kinds_in.items()
        }
        first: dict[str, str] = {}
        for file, name in kinds.items():
            first.setdefault(name, file)
        return (
            ", ".join(f"{file} is {KINDS.get(name, UNKNOWN).title}" for name, file in first.items())
            if len(first) > 1
            else ""
        )


def _count(counts: Counter[Any], names: Iterable[Any]) -> None:
    """One more of each; what an odd file has in thousands of names is not all kept."""
    if len(counts) < _MOST_NAMES:
        counts.update(names)
    else:
        counts.update(name for name in names if name in counts)


def read_file(
    place: Path | Sequence[Path],
    name: str,
    format: str = "auto",
    columns: ColumnMap = ColumnMap(),
    limits: Settings | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    looks: bool = True,
    encoding: str = "auto",
    label: str = "",
) -> FileContents:
    """Read a file by its columns if they are given, else in the format given, else in that of most of its rows.

    An archive, a folder or a list of files is read as one dataset if its files have the same format. `limits` are for
    files that nobody has checked yet. Many conversations go to a table on disk, which is left in `folder` if there is
    one. `looks`: for what is odd about them. `encoding`: of its text, where a person said it. `label`: the column that
    is the label of a text, where it has no usual name. Raises UserError naming file, place and remedy, and AskColumns.
    """
    source, shelf, kind_of = (
        RowSource(place, name, limits, encoding=encoding),
        ConversationStore(folder),
        FormatDetector(format, columns, label),
    )
    found = _RowsByFormat(shelf, looks)
    try:
        for row in source:
            found.add(row, kind_of)
            if limits and found.rows > limits.max_rows:
                raise UserError(
                    "dataset.too_many_rows",
                    "{name} has more than {most:,} rows. Split it, or set QLORA_APP_MAX_ROWS higher.",
                    name=name,
                    most=limits.max_rows,
                )
            if found.linked_characters > _MOST_LINKED:
                raise UserError(
                    "dataset.too_many_linked",
                    "{name} has more than {most:,.0f} MB of messages that name the one they answer (up to row "
                    "{rows:,}), too much to put together here. Split it by its trees, or write each conversation as one row "
                    "with `messages`.",
                    name=name,
                    most=_MOST_LINKED / 1e6,
                    rows=found.rows,
                )
            if progress and found.rows % _NEWS == 0:
                progress(found.rows, source.share_read())
        chosen = _chosen(name, found, kind_of)
        is_free = chosen == "text" and format == "auto" and not label
        labels = found.beside_texts.labels() if is_free else []
        is_mixed = is_free and any(
            one in found.used for one in _MARKED
        )  # a web page with questions in it is text like the others
        if len(labels) != 1 and not is_mixed:
            return _contents(chosen, found, kind_of, source.warnings)
    except BaseException:
        shelf.discard()
        raise
    shelf.discard()
    format, label = ("auto", labels[0]) if len(labels) == 1 else ("text", "")
    return read_file(place, name, format, columns, limits, folder, progress, looks, encoding, label)


def _chosen(name: str, found: _RowsByFormat, kind_of: "FormatDetector") -> str:
    """The kind of row that is learned from, once all of them are known. Raises UserError where nothing can be
    learned.
    """
    if found.doubt:
        raise AskColumns(
            "dataset.format_in_doubt",
            "{name} has {doubt}. {how}",
            "unknown",
            found.rows,
            list(kind_of.seen),
            name=name,
            doubt=found.doubt,
            how=_HOW,
        )
    found.join_links()
    if differ := found.differences():
        raise UserError(
            "dataset.formats_differ",
            "{name} holds files in different formats, which cannot be learned together: {differ}. Choose those "
            "of one format, or bring all into one.",
            name=name,
            differ=differ,
        )
    if kind_of.columns.given and kind_of.seen:
        kind_of.columns.check(name, kind_of.seen)
    unreadable = found.left_out[_UNREADABLE.name]
    if not found.rows:
        raise NotTrainable(
            "dataset.no_rows", "{name} is empty: it has no rows. {wanted}", None, 0, name=name, wanted=WANTED
        )
    if 2 * len(unreadable) > found.rows:
        raise NotTrainable(
            "dataset.rows_unreadable",
            "{name} has rows that cannot be read: {places}. The first: {reason}. {advice}",
            None,
            found.rows,
            name=name,
            places=_some(unreadable),
            reason=unreadable[0].reason,
            advice=_CORRECT,
        )
    chosen = found.majority(kind_of.lacking)
    if chosen not in found.used:
        raise _nothing_usable(name, chosen, kind_of, found)
    return chosen


def _listed(names: dict[str, None]) -> str:
    return ", ".join(repr(name[:30]) for name in list(names)[:8]) or _NO_COLUMNS


def _some(left_out: list[LeftOut]) -> str:
    """Which rows, for a sentence: the first few by their lines."""
    places = [f"line {one.line}" if one.line else f"row {one.row}" for one in left_out[:5]]
    return f"{', '.join(places)}{' and more' if len(left_out) > 5 else ''} ({len(left_out):,} in all)"


def _nothing_usable(name: str, chosen: str, kind_of: FormatDetector, found: _RowsByFormat) -> NotTrainable:
    """What to say of a file without a row to learn from, or what to ask."""
    kind, names = KINDS.get(chosen, UNKNOWN), _listed(kind_of.seen)
    is_free = kind_of.format == "auto" and kind_of.mapped is None
    if chosen in _ASKED and len(kind_of.seen) > 1 and is_free:
        return AskColumns(
            "dataset.ask_columns",
            "{name} has {title} ({names}). {how}",
            chosen,
            found.rows,
            list(kind_of.seen),
            name=name,
            title=kind.title,
            names=names,
            how=_HOW,
        )
    if kind.read is None and chosen != _LINKS and is_free:
        return _not_trainable(name, chosen, found.rows, kind.title, names)
    first = found.left_out[chosen][0]
    if is_free and chosen in found.nested:
        return AskColumns(
            "dataset.ask_nested",
            "{name} has no trainable row as it is: the first is {first}. {how}",
            chosen,
            found.rows,
            list(kind_of.seen),
            name=name,
            first=first,
            how=_HOW,
        )
    if kind_of.format != "auto":
        return NotTrainable(
            "dataset.no_trainable_row_of_format",
            "{name} has no trainable row when it is read as {title}: there is no answer to learn in any of its "
            "{rows:,} rows. The first is {first}. {advice}",
            chosen,
            found.rows,
            name=name,
            title=kind.title,
            first=first,
            advice=Problem("advice.choose_format", "Let the format be recognised, or choose another."),
        )
    return NotTrainable(
        "dataset.no_trainable_row",
        "{name} has no trainable row: there is no answer to learn in any of its {rows:,} rows. The first is {first}. "
        "{advice}",
        chosen,
        found.rows,
        name=name,
        first=first,
        advice=_CORRECT,
    )


def _not_trainable(name: str, format: str, rows: int, title: str, names: str) -> NotTrainable:
    """Rows of a format that nobody can learn from; `title`: of the format, `names`: of the columns."""
    what = Problem("dataset.looks_like_format", "looks like {title} ({names})", title=title, names=names)
    if format in _ASKED:
        what = Problem("dataset.has_format", "has {title} ({names})", title=title, names=names)
    return NotTrainable(
        "dataset.not_trainable",
        "{name} {what}, which cannot be trained on{why}. {wanted}",
        format,
        rows,
        name=name,
        what=what,
        why=_NO_ANSWER if format in ("unknown", "prompts_only") else "",
        wanted=WANTED,
    )


def _contents(chosen: str, found: _RowsByFormat, kind_of: FormatDetector, warnings: list[str]) -> FileContents:
    kind, pile = kind_of.mapped or KINDS[chosen], found.used[chosen]
    left_out = sorted(
        (*(one for ones in found.left_out.values() for one in ones), *_of_other_kinds(found, kind, chosen)),
        key=lambda one: one.row,
    )
    changes = {
        words: found.changed[chosen, change] for change, words in _CHANGES.items() if (chosen, change) in found.changed
    }
    sentences = [f"In {_rows(len(rows))} {words} (first: row {rows[0]})." for words, rows in changes.items()]
    notes = [kind.note] if kind.note else []
    if chosen == "classification":
        notes += label_sentences(pile.labels, kind_of.label)
    notes += [f"In {_rows(count)} {note}." for note, count in found.notes[chosen].items()]
    notes += unread_sentences(found.unread[chosen], found.beside_texts.labels() if chosen == "text" else [])
    warnings = [*warnings, *_left_out_sentence(found.rows, left_out), *sentences, *notes, *pile.findings.sentences()]
    row = kind_of.first[chosen]
    return FileContents(
        chosen,
        f"{kind.title}, because {why(kind, row)}",
        *kind.columns(row),
        found.rows,
        pile.taken_from(found.used.shelf.finish()),
        pile.numbers,
        pile.lines,
        left_out,
        warnings,
        pile.digest.hexdigest(),
        pile.characters,
        pile.findings.duplicates,
        b"".join(pile.findings.keys),
        pile.findings.asked,
    )


def _of_other_kinds(found: _RowsByFormat, kind: Kind, chosen: str) -> Iterable[LeftOut]:
    """Rows that could be used if most rows were like them, each once."""
    for name, pile in found.used.items():
        reason = f"its format is {KINDS[name].title}, that of most rows is {kind.title}" if name != chosen else ""
        if reason:
            yield from (
                LeftOut(number, line or None, reason)
                for number, line in dict(zip(pile.numbers, pile.lines, strict=True)).items()
            )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _left_out_sentence(rows: int, left_out: list[LeftOut]) -> list[str]:
    if not left_out:
        return []
    reasons = len({one.reason for one in left_out})
    return [
        f"Left out: {len(left_out):,} of {rows:,} rows{'' if reasons == 1 else f', for {reasons} different reasons'}; "
        f"the first is {left_out[0]}."
    ]
