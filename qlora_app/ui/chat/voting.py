"""What is said of answers in the chat, from the browser to the datasets of votes."""

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from ...errors import UserError
from ...inference.sides import Side
from ...messages import Conversation
from ...training_data.votes import Votes
from ..context import AppContext
from ..guard import in_words, owners
from ..translate import translate
from .history import LONGEST_ANSWER, Asking, decoding_of, system_of, text_of

KINDS = ("better", "worse", "none", "right", "as_said", "count")


class Voting:
    """Every vote has a name, under which it is changed or taken back."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.votes = Votes(page.settings.data)

    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        """What the script of the chat calls: nothing where nobody may change anything."""
        return [owners(self.vote)] if self.page.may_change else []

    def vote(self, asked: Any) -> dict[str, Any]:
        """{"kind": one of KINDS, "place": column, "name", "run", "question", "before", "sides", "how", "answers":
        [{"text", "was", "checksum"} or null]} -> {"pairs", "examples"}: how many there are now; or {"problem": words}.
        """
        asked = asked if isinstance(asked, dict) else {}
        try:
            self._take(asked)
            return self.votes.counts()
        except UserError as error:
            return {"problem": translate(in_words(error, self.page.may_change))}

    def _take(self, asked: dict[str, Any]) -> None:
        kind, name, place = asked.get("kind"), text_of(asked.get("name"), 200), asked.get("place")
        if kind == "count":
            return
        answers = _answers(asked.get("answers"))
        if kind not in KINDS or not name or not isinstance(place, int) or not 0 <= place < len(answers):
            raise UserError("votes.not_read", "This vote cannot be read. Load the page again, then vote once more.")
        poll = _Poll(asked, answers, self._system(asked))
        if kind == "none":
            self.votes.take_back(name)
        elif kind == "as_said":
            self.votes.take_back(f"{name}/{place}")
        elif kind == "right":
            prompt, source = poll.prompt(place), poll.source(place)
            self.votes.correct(f"{name}/{place}", prompt, answers[place]["text"], source)
            others = [(answers[place]["was"], source)]
            self.votes.prefer(f"{name}/{place}", prompt, answers[place]["text"], others)
        else:
            self._compare(poll, kind == "better", name, place)

    def _compare(self, poll: "_Poll", is_better: bool, name: str, place: int) -> None:
        """One answer against each of the others: of two, that one is worse says that the other is better."""
        others = [other for other in poll.said if other != place]
        if is_better:
            rejected = [(poll.answers[other]["text"], poll.source(place, other)) for other in others]
            self.votes.prefer(name, poll.prompt(place), poll.answers[place]["text"], rejected)
            return
        self.votes.take_back(name)
        for other in others:
            pair = (poll.answers[place]["text"], poll.source(other, place))
            self.votes.prefer(name, poll.prompt(other), poll.answers[other]["text"], [pair], keep=True)

    def _system(self, asked: dict[str, Any]) -> str:
        how = asked.get("how")
        return system_of(how.get("system")) if isinstance(how, dict) else ""


class _Poll:
    """A question and what each column said to it."""

    def __init__(self, asked: dict[str, Any], answers: list[dict[str, str]], system: str) -> None:
        """Raises UserError."""
        self.asking, self.answers, self.asked = Asking.of(asked), answers, asked
        self._system = system.strip()
        self._sides = Side.all_of(self.asking.sides, text_of(asked.get("run"), 200))
        self.said = [place for place, answer in enumerate(answers) if answer["text"].strip()]

    def prompt(self, place: int) -> Conversation:
        """What a column was asked."""
        first: Conversation = [{"role": "system", "content": self._system}] if self._system else []
        return [*first, *self.asking.conversation(place)]

    def source(self, place: int, other: int | None = None) -> dict[str, Any]:
        """Where an answer comes from; `other`: the column whose answer is worse."""
        how = self.asked.get("how")
        where = {
            "from": "chat",
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "decoding": decoding_of(how if isinstance(how, dict) else {}).model_dump(exclude_defaults=True),
            "answered": self._who(place),
        }
        if other is None:
            return where
        is_same = self.prompt(place) == self.prompt(other)
        return where | {"rejected": self._who(other), "rejected_had_same_prompt": is_same}

    def _who(self, place: int) -> dict[str, Any]:
        side = self._sides[place].model_dump(exclude_defaults=True) if place < len(self._sides) else {}
        return side | {"sha256": self.answers[place]["checksum"]}


def _answers(sent: Any) -> list[dict[str, str]]:
    """Of each column; "" where it said nothing."""
    rows = [one if isinstance(one, dict) else {} for one in sent] if isinstance(sent, list) else []
    return [{name: text_of(row.get(name), LONGEST_ANSWER) for name in ("text", "was", "checksum")} for row in rows[:8]]
