"""The people of a file: whose messages it holds, and who of them answers."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from ..messages import Message
from .formats.people import LONGEST, Said, answers, conversations_of, likeliest, likeliest_of, name_of_user
from .formats.turns import Columns

_MOST_CHATS = 1000  # whose people are remembered, for a guess
_MENTION = re.compile(r"@([UW][A-Z0-9]{6,})\b")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNSAID = "nobody said who of the people answers"
_SILENT = "nothing in its conversation is said by the one who answers"


class People:
    """Messages of people, and turns of speakers whose names say nothing of their part."""

    def __init__(self) -> None:
        self.formats: set[str] = set()  # in which somebody has to say who answers
        self._messages: list[Said] = []
        self._names: dict[str, str] = {}  # of Slack, by their ids
        self._user_rows: list[int] = []
        self._speakers: Counter[str] = Counter()
        self._replies: Counter[str] = Counter()
        self._chats: dict[str, set[str]] = {}

    def add(self, said: Said) -> None:
        """The next message."""
        place = PurePosixPath(said.chat)
        if _DAY.fullmatch(place.stem):  # Slack: a folder a channel, a file a day
            said = said._replace(chat=place.parent.name)
        self._messages.append(said)

    def add_user(self, number: int, user: Columns) -> None:
        """What a person is called whose messages have an id only."""
        id, name = name_of_user(user)
        self._names[id] = name
        self._user_rows.append(number)

    def add_speakers(self, format: str, names: Sequence[str]) -> None:
        """Who speaks in a row of which nobody knows who answers, in their order."""
        self.formats.add(format)
        self._speakers.update(names)
        replies = [who for before, who in itertools.pairwise(names) if who != before]
        self._replies.update(replies)
        if len(self._chats) < _MOST_CHATS:
            self._chats[str(len(self._chats))] = set(names)

    def counts(self) -> dict[str, int]:
        """{name: how many messages}, the most first."""
        counts = self._speakers + Counter([said.who for said in self._named()])
        return dict(counts.most_common())

    def likeliest(self, name: str) -> str:
        """Who is probably meant to answer in the file `name`; empty where nobody speaks."""
        messages = [said._replace(chat=said.chat or name) for said in self._named()]
        if messages:
            return likeliest(messages)
        replies = self._replies + Counter(dict.fromkeys(self._speakers, 0))
        return likeliest_of(replies or self._speakers, self._chats)

    def conversations(
        self, name: str, answers_by: str, silence_hours: float
    ) -> Iterator[tuple[list[Said], list[Message], str]]:
        """(messages of one conversation, its turns, why it cannot be learned from)"""
        messages = self._named()
        there = any([answers(said.who, answers_by) for said in messages])
        if messages and not there:
            self.formats.add("people")
            yield messages, [], _UNSAID
            return
        for said, turns in conversations_of(messages, answers_by, silence_hours):
            is_answered = any([turn["role"] == "assistant" for turn in turns])
            yield said, turns, "" if is_answered else _SILENT

    def sentences(self, answers_by: str, silence_hours: float) -> list[str]:
        """How chats of people were understood; nothing without messages."""
        if not self._messages:
            return []
        others: dict[str, set[str]] = {}
        for said in self._named():
            if not answers(said.who, answers_by):
                others.setdefault(said.chat, set()).add(said.who)
        sentences = [
            f"{answers_by[:60]} answers: what is said under that name is learned, what others say is the question. A "
            f"conversation ends after {silence_hours:g} hours of silence, and after {LONGEST:,} characters where "
            "somebody asks anew."
        ]
        if any([len(people) > 1 for people in others.values()]):
            sentences.append("Where several people ask, their names stand before what they say.")
        return sentences

    def _named(self) -> list[Said]:
        if not self._names:
            return self._messages
        return [self._with_names(said) for said in self._messages]

    def _with_names(self, said: Said) -> Said:
        text = _MENTION.sub(lambda mark: f"@{self._names.get(mark[1], mark[1])}", said.text)
        return said._replace(who=self._names.get(said.who, said.who), text=text)
