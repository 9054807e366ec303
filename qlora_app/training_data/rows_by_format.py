"""The rows of a file sorted by their format, as they are read: which are used, which are left out, and why."""

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import Problem
from ..messages import STRUCTURE, Conversation
from .checks import Findings
from .file_contents import LeftOut
from .formats.choices import ChoiceNumbers
from .formats.detect import CHOICE, FormatDetector
from .formats.known import KINDS, UNKNOWN, Kind, convert
from .formats.labels import BesideTexts
from .formats.marks import kept_apart
from .formats.names import role_of
from .formats.native import NAMES_OF_USERS
from .formats.people import PEOPLE, said_in
from .formats.readers import text_column
from .formats.row_view import Reading
from .formats.trees import LINKED, NO_PARENT, NOT_BEST, message_id, node_turn, parent_id, paths
from .formats.turns import BadAnswer, Columns, NestedValue, RowError, TwoColumnsFit, UnknownSpeakers, tidy
from .people_found import People
from .preferences import PairCounts
from .read.rows import Row
from .store import ArrowConversations, ConversationStore

UNREADABLE = Kind("unreadable", "rows that cannot be read", lambda row: False)
LINKS = "oasst_links"
_FLAWS = {"unreadable", "unknown", "prompts_only"}  # a row of these kinds is mostly a broken row of another kind
_FAR_MORE = 9  # times as many rows as those of other formats: these are not meant
_MOST_NAMES = 1000  # of columns that are not read: counted
_MOST_LABELS, _LONGEST_LABEL = 10_000, 200  # different ones that are counted, and how much of each
_SIGNED = (*STRUCTURE, "rejected")  # texts of a turn beside its content


class FormatRows:
    """The conversations of one format: which row and line each comes from (0: not known), its place in the store of
    all formats, and what is odd about them.
    """

    def __init__(self, store: ConversationStore, looks: bool, has_labels: bool) -> None:
        self.numbers = array("q")
        self.lines = array("q")
        self.places = array("q")
        self.findings = Findings()
        self.judged = PairCounts()
        self.labels: Counter[str] = Counter()
        self.characters = 0
        self.digest = hashlib.sha256()
        self._store, self._looks, self._has_labels = store, looks, has_labels

    def add(self, number: int, line: int | None, conversation: Conversation) -> None:
        """A conversation of the row of this number."""
        characters = _characters_of(conversation)
        self.numbers.append(number)
        self.lines.append(line or 0)
        self.places.append(self._store.count)
        self.characters += characters
        self._store.add(conversation, characters)
        self.digest.update(_signed(conversation))
        answer = conversation[-1]
        if "rejected" in answer or "label" in answer:
            self.judged.add(answer)
        if self._looks:
            self.findings.add(number, conversation)
        if self._has_labels and len(self.labels) < _MOST_LABELS:
            self.labels[conversation[-1]["content"][:_LONGEST_LABEL]] += 1

    def select_from(self, conversations: Sequence[Conversation]) -> Sequence[Conversation]:
        """Those of this format, out of the conversations of all formats."""
        if len(self.places) == len(conversations):
            return conversations
        if isinstance(conversations, ArrowConversations):
            return conversations.select(self.places)
        return [conversations[place] for place in self.places]


class _RowsOfEachFormat(dict[str, FormatRows]):
    """FormatRows by the name of the format, made when a format is met."""

    def __init__(self, store: ConversationStore, looks: bool) -> None:
        self.store, self.looks = store, looks

    def __missing__(self, name: str) -> FormatRows:
        return self.setdefault(name, FormatRows(self.store, self.looks, name == "classification"))


def _characters_of(conversation: Conversation) -> int:
    """How many characters its turns hold, structure included, and 10 more for each turn."""
    characters = sum([len(turn["content"]) + 10 for turn in conversation])
    for turn in conversation:
        if len(turn) > 2:
            parts: dict[str, Any] = {**turn}
            characters += sum([len(parts.get(name, "")) for name in _SIGNED])
    return characters


def _signed(conversation: Conversation) -> bytes:
    """Bytes that no other conversation gives: roles, texts, their lengths, and what is said of the training."""
    signed = [f"{turn['role']}{turn.get('train', '')}{len(turn['content'])}:{turn['content']}" for turn in conversation]
    for place, turn in enumerate(conversation):
        if len(turn) > 2:
            parts: dict[str, Any] = {**turn}
            signed += [f"{place}{name}{len(parts[name])}:{parts[name]}" for name in _SIGNED if name in parts]
            signed += [f"{place}label{parts['label']}"] if "label" in parts else []
    signed.append("\n")
    return "".join(signed).encode()


class RowsByFormat:
    """The rows of a file by the format they are in: used ones, those left out, and what was changed in which row."""

    def __init__(self, store: ConversationStore, looks: bool) -> None:
        self.rows = 0
        self.used = _RowsOfEachFormat(store, looks)
        self.unwanted = FormatRows(store, False, False)  # conversations whose answer is called bad, of any format
        self.left_out: dict[str, list[LeftOut]] = defaultdict(list)
        # (format, change) -> the rows it was made in
        self.changed: dict[tuple[str, str], array[int]] = defaultdict(_numbers)
        self.nested: set[str] = set()  # formats with an object or a list where text is wanted
        self.doubt: Problem | None = None  # two columns that could be the same, and where
        self.kinds_in: dict[str, Counter[str]] = defaultdict(Counter)  # of each of several files
        self.texts_in: dict[str, str] = {}  # of each of several files of labelled texts: the columns of its texts
        # what no reader took, and in how many rows
        self.unread: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        # how something unclear was understood, and in how many rows
        self.notes: dict[str, Counter[str]] = defaultdict(Counter)
        self.beside_texts = BesideTexts()
        self.choice_numbers = ChoiceNumbers()
        self.sorted: Counter[bool] = Counter()  # rows of a column that sorts them: kept apart, or to be learned
        self.linked_characters = 0  # of rows that name their parent: nothing of them is in the store yet
        self._linked: list[tuple[int, int | None, Columns]] = []
        self.people = People()

    def add(self, row: Row, detector: FormatDetector) -> None:
        """The next row: used, linked to others, or left out with its reason."""
        self.rows, line, value, problem, file = row
        kind = UNREADABLE
        changes: list[str] = []
        try:
            if problem:
                raise RowError(problem)
            kind, columns = detector(value)
            if kind.name == NAMES_OF_USERS:
                self.people.add_user(self.rows, columns)
                return
            if file:
                self.kinds_in[file][kind.name] += 1
                if kind.name == "classification" and file not in self.texts_in:
                    self.texts_in[file] = kind.columns(columns)[0] or ""
            if kind.name == LINKS:
                self._link(line, columns)
                return
            if kind.name == CHOICE:
                self.choice_numbers.add(columns)
            reading = Reading(columns)
            if kind.name == PEOPLE:
                self.people.add(said_in(reading, self.rows, line, file))
                self._account(kind, reading)
                return
            conversations = convert(kind, columns, changes, reading)
            self._sort(reading, detector)
            for conversation in conversations:
                self.used[kind.name].add(self.rows, line, conversation)
        except RowError as error:
            self.left_out[kind.name].append(LeftOut(self.rows, line, str(error), file))
            if isinstance(error, BadAnswer):
                for conversation in error.conversations:
                    self.unwanted.add(self.rows, line, conversation)
                self._account(kind, reading)
            if isinstance(error, NestedValue):
                self.nested.add(kind.name)
            if isinstance(error, UnknownSpeakers):
                self.people.add_speakers(kind.name, error.names)
        except TwoColumnsFit as error:
            self.doubt = self.doubt or error.first_in(self.rows)
        else:
            for change in changes:
                self.changed[kind.name, change].append(self.rows)
            self._account(kind, reading)

    def _sort(self, reading: Reading, detector: FormatDetector) -> None:
        """Whether the row is one to learn, by a column that sorts rows. Raises RowError for one that is kept apart."""
        name, is_apart = kept_apart(reading)
        if is_apart is None:
            return
        self.sorted[is_apart] += 1
        if detector.of_all.train_only:
            value = reading[name]
            if is_apart:
                raise RowError(f"its `{name[:40]}` is {value[:30]!r}, and only rows to train on are learned")

    def _account(self, kind: Kind, reading: Reading) -> None:
        """What of a used row was not read, or was understood in a way that is to be said."""
        if not reading.keys() <= reading.taken or reading.has_inner:
            _count(self.unread[kind.name], list(dict.fromkeys(reading.unread())))
        if reading.notes:
            _count(self.notes[kind.name], sorted(reading.notes))
        if kind.name == "text":
            self.beside_texts.add(reading, text_column(reading))

    def _link(self, line: int | None, columns: Columns) -> None:
        """A row that names the row it answers waits until all of them are known."""
        linked = {name: columns[name] for name in LINKED if name in columns}
        _count(self.unread[LINKS], [("", name) for name in columns if name not in linked])
        self._linked.append((self.rows, line, linked))
        self.linked_characters += sum(len(value) for value in linked.values() if isinstance(value, str))

    def join_links(self) -> None:
        """Rows that name the row they answer become conversations once all of them are known."""
        followed: set[int] = set()
        ids = {message_id(columns) for _, _, columns in self._linked}
        for path in paths(columns for _, _, columns in self._linked):
            rows = [self._linked[position] for position in path]
            followed.update(number for number, _, _ in rows)
            self._add_linked(rows)
        for number, line, columns in self._linked:
            if number not in followed:
                reason = NOT_BEST if parent_id(columns) in ids else NO_PARENT
                self.left_out[LINKS].append(LeftOut(number, line, reason))

    def _add_linked(self, rows: list[tuple[int, int | None, Columns]]) -> None:
        """The rows of one conversation: the first stands for it; the others are used too, so they are not left out."""
        changes: list[str] = []
        try:
            conversation = tidy([node_turn(Reading(columns)) for _, _, columns in rows], changes)
        except RowError as error:
            self.left_out[LINKS] += [LeftOut(number, line, str(error)) for number, line, _ in rows]
            return
        first, line, _ = rows[0]
        self.used[LINKS].add(first, line, conversation)
        for change in changes:
            self.changed[LINKS, change].append(first)

    def join_people(self, name: str, answers_by: str, silence_hours: float) -> None:
        """Messages of people become conversations once all of them, and who answers, are known."""
        for said, turns, problem in self.people.conversations(name, answers_by, silence_hours):
            changes: list[str] = []
            try:
                if problem:
                    raise RowError(problem)
                conversation = tidy(turns, changes)
                self.used[PEOPLE].add(said[0].number, said[0].line, conversation)
            except RowError as error:
                reason = str(error)
                self.left_out[PEOPLE] += [LeftOut(one.number, one.line, reason) for one in said]
            for change in changes:
                self.changed[PEOPLE, change].append(said[0].number)

    def majority(self, lacking: Counter[str]) -> str:
        """The most frequent format; a row that is only broken, or lacks its answer, is in no format of its own.

        `lacking`: formats that texts would be in if a column of theirs were not null.
        """
        counts = {name: self._uses(name) + len(self.left_out[name]) for name in [*self.used, *self.left_out]}
        names = [name for name, count in counts.items() if count]

        def weight(name: str) -> tuple[bool, bool, int, bool]:
            return name not in _FLAWS, name != UNREADABLE.name, counts[name], self._uses(name) > 0

        chosen = max(names, key=weight)
        if chosen == "text":
            answered = (name for name, _ in lacking.most_common() if self._uses(name))
            return next(answered, chosen)
        return chosen

    def _uses(self, name: str) -> int:
        if name not in self.used:
            return 0
        return len(self.used[name].places)

    def misfits(self) -> dict[str, int]:
        """{file: its rows} of several files that are no data beside the others: a list of what the labels mean, a file
        about the data. None where nobody could tell which of them are the data.
        """
        files: dict[str, dict[str, int]] = defaultdict(dict)
        for file, counts in self.kinds_in.items():
            kind = "unknown" if self._is_of_numbers(file) else _most_frequent(counts)
            files[kind][file] = sum(counts.values())
        rows = {kind: sum(of_kind.values()) for kind, of_kind in files.items()}
        most = max(rows, key=lambda kind: (kind not in _FLAWS, rows[kind]), default="unknown")
        flawed = sum(count for kind, count in rows.items() if kind in _FLAWS)
        others = sum(rows.values()) - flawed - rows.get(most, 0)
        if most in _FLAWS or rows[most] < flawed or rows[most] < _FAR_MORE * others:
            return {}
        return {file: count for kind, of_kind in files.items() if kind != most for file, count in of_kind.items()}

    def _is_of_numbers(self, file: str) -> bool:
        """Are the texts of this file of labelled ones none, by the name of their column, where another has texts?"""
        if file not in self.texts_in:
            return False
        return not _are_texts(self.texts_in[file]) and any(map(_are_texts, self.texts_in.values()))

    def differences(self) -> str:
        """Which of several files is in which format, where they are not all in the same."""
        first: dict[str, str] = {}
        for file, counts in self.kinds_in.items():
            first.setdefault(_most_frequent(counts), file)
        if len(first) < 2:
            return ""
        return ", ".join(f"{file} is {KINDS.get(name, UNKNOWN).title}" for name, file in first.items())


def _are_texts(columns: str) -> bool:
    return any(role_of(column).name == "text" for column in columns.split("+"))


def _numbers() -> "array[int]":
    return array("q")


def _most_frequent(counts: Counter[str]) -> str:
    """The format of most rows, flaws only where there is nothing else."""
    return max(counts, key=lambda name: (name not in _FLAWS, counts[name]))


def _count(counts: Counter[Any], names: Iterable[Any]) -> None:
    """One more of each; what an odd file has in thousands of names is not all kept."""
    if len(counts) < _MOST_NAMES:
        counts.update(names)
    else:
        counts.update(name for name in names if name in counts)
