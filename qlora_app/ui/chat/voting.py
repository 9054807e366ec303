"""What is said of answers in the chat, from the browser to the datasets of votes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ...errors import UserError
from ...inference.sides import MOST_SIDES, Side
from ...messages import Conversation
from ...training_data.votes import Votes
from ..context import AppContext
from ..guard import in_words, owners
from ..translate import translate
from .answering import Talk, first_turn
from .history import LONGEST_ANSWER, Asking, decoding_of, system_of, text_of

KINDS = ("better", "worse", "right", "none", "count")
MOST_NAMES = 2 * MOST_SIDES  # of one turn: its vote and its corrections


class Voting:
    """Every vote, and every correction, has a name, under which it is changed or taken back."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.votes = Votes(page.settings.data)

    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        """What the script of the chat calls: nothing where nobody may change anything."""
        return [owners(self.vote)] if self.page.may_change else []

    def vote(self, asked: Any) -> dict[str, Any]:
        """{"kind": one of KINDS, "place": column, "name", "run", "question", "before", "sides", "answers": [{"text",
        "was", "checksum", "how"} or null]}, or {"kind": "none", "names"} -> {"pairs", "examples"}: how many there are
        now; or {"problem": words}.
        """
        asked = asked if isinstance(asked, dict) else {}
        try:
            self._take(asked)
            return self.votes.counts()
        except UserError as error:
            return {"problem": translate(in_words(error, self.page.may_change))}

    def _take(self, asked: dict[str, Any]) -> None:
        kind, names = asked.get("kind"), asked.get("names")
        if kind == "count":
            return
        if kind == "none" and isinstance(names, list):
            for name in names[:MOST_NAMES]:
                self.votes.take_back(_name(name))
            return
        name, poll = _name(asked.get("name")), _Poll(self.page, asked)
        place = asked.get("place")
        if kind not in KINDS or not isinstance(place, int) or not 0 <= place < len(poll.answers):
            raise _not_read()
        if kind == "right":
            self._correct(poll, name, place)
        else:
            self._compare(poll, kind == "better", name, place)

    def _correct(self, poll: "_Poll", name: str, place: int) -> None:
        """What an answer should have said, which is better than what it said."""
        prompt, answer = poll.prompt(place), poll.answers[place]
        source = poll.source(place) | {"rejected": poll.model(place), "rejected_had_same_prompt": True}
        self.votes.correct(name, prompt, answer.text, source)
        self.votes.prefer(name, prompt, answer.text, [(answer.was, source)])

    def _compare(self, poll: "_Poll", is_better: bool, name: str, place: int) -> None:
        """One answer against each of the others: of two, that one is worse says that the other is better."""
        others = [other for other in poll.said if other != place]
        if is_better:
            rejected = [(poll.answers[other].text, poll.source(place, other)) for other in others]
            self.votes.prefer(name, poll.prompt(place), poll.answers[place].text, rejected)
            return
        self.votes.take_back(name)
        for other in others:
            pair = (poll.answers[place].text, poll.source(other, place))
            self.votes.prefer(name, poll.prompt(other), poll.answers[other].text, [pair], keep=True)


@dataclass(frozen=True)
class _Answer:
    """What stands in a column: "" where it said nothing. was: what the model said, where a person corrected it."""

    text: str
    was: str
    checksum: str
    how: dict[str, Any]  # it was asked with

    @classmethod
    def of(cls, sent: Any, usual: Any) -> "_Answer":
        """What a browser sent. usual: how it was asked where that is not said."""
        sent = sent if isinstance(sent, dict) else {}
        how = sent.get("how") or usual
        text, was, checksum = (text_of(sent.get(name), LONGEST_ANSWER) for name in ("text", "was", "checksum"))
        return cls(text, was or text, checksum, how if isinstance(how, dict) else {})

    @property
    def is_corrected(self) -> bool:
        return self.text.strip() != self.was.strip()


class _Poll:
    """A question and what each column said to it."""

    def __init__(self, page: AppContext, asked: dict[str, Any]) -> None:
        """Raises UserError."""
        sent = asked.get("answers")
        rows = sent[:MOST_SIDES] if isinstance(sent, list) else []
        self.page, self.asking, self._run = page, Asking.of(asked), text_of(asked.get("run"), 200)
        self.answers = [_Answer.of(row, asked.get("how")) for row in rows]
        self._sides = Side.all_of(self.asking.sides, self._run)
        self.said = [place for place, answer in enumerate(self.answers) if answer.text.strip()]
        if len(self._sides) < len(self.answers):
            raise _not_read()

    def prompt(self, place: int) -> Conversation:
        """What a column was asked, to the letter."""
        return [*self._first_turn(place), *self.asking.conversation(place)]

    def _first_turn(self, place: int) -> Conversation:
        how, side = self.answers[place].how, self._sides[place]
        talk = Talk(self.asking, self._run, system_of(how.get("system")), decoding_of(how))
        if self.page.find(self._run):
            return first_turn(self.page, talk, side, self._trained_with(side))
        text = talk.system.strip()  # the run was deleted since
        return [{"role": "system", "content": text}] if text else []

    def _trained_with(self, side: Side) -> str:
        """Its system text; a mix asks as its first part does."""
        run = self.page.find(side.mix[0].run if side.mix else side.run)
        return str(run.trained_with().get("system") or "") if run else ""

    def source(self, place: int, other: int | None = None) -> dict[str, Any]:
        """Where an answer comes from; `other`: the column whose answer is worse."""
        where: dict[str, Any] = {
            "from": "chat",
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "decoding": self._decoding(place),
            "answered": self._who(place),
        }
        if other is None:
            return where
        is_same = self.prompt(place) == self.prompt(other)
        where |= {"rejected": self._who(other), "rejected_had_same_prompt": is_same}
        if self._decoding(other) != self._decoding(place):
            where["rejected_decoding"] = self._decoding(other)
        return where

    def model(self, place: int) -> dict[str, Any]:
        """Who answers in a column, and with which weights."""
        return self._sides[place].model_dump(exclude_defaults=True) | {"sha256": self.answers[place].checksum}

    def _who(self, place: int) -> dict[str, Any]:
        """As `model`, with a mark where a person wrote over what it said."""
        return self.model(place) | ({"corrected_by": "person"} if self.answers[place].is_corrected else {})

    def _decoding(self, place: int) -> dict[str, Any]:
        return decoding_of(self.answers[place].how).model_dump(exclude_defaults=True)


def _name(sent: Any) -> str:
    name = text_of(sent, 200)
    if not name:
        raise _not_read()
    return name


def _not_read() -> UserError:
    return UserError("votes.not_read", "This vote cannot be read. Load the page again, then vote once more.")
