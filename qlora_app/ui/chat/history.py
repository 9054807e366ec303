"""A conversation as the browser keeps it and sends it along with a question. It may be sent by anybody, so what does
not fit is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...inference.session import Decoding
from ...inference.sides import MOST_SIDES, Side
from ...messages import Conversation

LONGEST_MESSAGE = 8000  # characters of a question
LONGEST_ANSWER = 60_000
MOST_TURNS = 400


@dataclass(frozen=True)
class Turn:
    """A question and what each column said to it; None where it was not asked."""

    question: str
    answers: tuple[str | None, ...] = ()

    def said(self, place: int) -> str | None:
        return self.answers[place] if place < len(self.answers) else None


@dataclass(frozen=True)
class Asking:
    """One question, what came before it, and the name under which the browser waits for the answers."""

    name: str
    question: str
    before: tuple[Turn, ...] = ()
    sides: tuple[Any, ...] = ()  # who is to answer in each column, as a browser says it
    only: tuple[int, ...] = ()  # the columns that are to answer; all where none is named
    blind: bool = False  # are the answers to be judged before it is told whose they are?
    begun: tuple[str, ...] = ()  # by column the answer it goes on with; "" or nothing where it begins

    @classmethod
    def of(cls, sent: Any) -> "Asking":
        """What a browser sent: {"asking": name, "question": text, "before": [{"question", "answers": [text or null]}],
        "sides": [as in Side], "only": [number of a column], "begun": [text]}.
        """
        sent = sent if isinstance(sent, dict) else {}
        turns = _list(sent.get("before"))[-MOST_TURNS:]
        return cls(
            name=text_of(sent.get("asking"), 100),
            question=text_of(sent.get("question"), LONGEST_MESSAGE).strip(),
            before=tuple(_turn(one) for one in turns if isinstance(one, dict)),
            sides=tuple(_list(sent.get("sides"))),
            only=tuple(one for one in _list(sent.get("only")) if isinstance(one, int)),
            blind=sent.get("blind") is True,
            begun=tuple(text_of(one, LONGEST_ANSWER) for one in _list(sent.get("begun"))[:MOST_SIDES]),
        )

    def answering(self, run: str) -> dict[int, Side]:
        """Who is to answer, by the number of the column. run: whose base and adapter do where no sides were sent.

        Raises UserError.
        """
        sides = Side.all_of(self.sides, run)
        return {place: side for place, side in enumerate(sides) if not self.only or place in self.only}

    def conversation(self, place: int) -> Conversation:
        """What a column is to answer: it knows only what it was asked itself."""
        turns: Conversation = []
        for turn in self.before:
            said = turn.said(place)
            if said is not None:
                turns.append({"role": "user", "content": turn.question})
                turns.append({"role": "assistant", "content": said})
        return [*turns, {"role": "user", "content": self.question}]


def decoding_of(values: dict[str, Any]) -> Decoding:
    """How an answer is chosen, from what stands in the fields: what does not fit is as it was."""
    usual = Decoding()
    fitting: dict[str, Any] = {}
    for name, value in values.items():
        try:
            fitting[name] = getattr(Decoding(**{name: value}), name)
        except ValueError:
            continue
    return usual.model_copy(update=fitting)


def system_of(sent: Any) -> str:
    """A system text as a browser kept it."""
    return text_of(sent, LONGEST_MESSAGE)


def _turn(sent: dict[str, Any]) -> Turn:
    return Turn(text_of(sent.get("question"), LONGEST_MESSAGE), tuple(_said(_list(sent.get("answers"))[:MOST_SIDES])))


def _said(sent: Sequence[Any]) -> list[str | None]:
    return [None if one is None else text_of(one, LONGEST_ANSWER) for one in sent]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text_of(value: Any, longest: int) -> str:
    """A text that was sent; "" for anything else."""
    return value[:longest].encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""
