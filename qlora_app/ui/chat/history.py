"""A conversation as the browser keeps it and sends it along with a question. It may be sent by anybody, so what does
not fit is left out.
"""

from dataclasses import dataclass
from typing import Any

from ...inference.session import Decoding
from ...messages import Conversation

LONGEST_MESSAGE = 8000  # characters of a question
LONGEST_ANSWER = 60_000
MOST_TURNS = 400
SIDES = ("base", "tuned")


@dataclass(frozen=True)
class Turn:
    """A question and what both said to it; "" where they said nothing."""

    question: str
    base: str = ""
    tuned: str = ""


@dataclass(frozen=True)
class Asking:
    """One question, what came before it, and the name under which the browser waits for the answer."""

    name: str
    question: str
    before: tuple[Turn, ...] = ()

    @classmethod
    def of(cls, sent: Any) -> "Asking":
        """What a browser sent: {"asking": name, "question": text, "before": [{"question", "base", "tuned"}]}."""
        sent = sent if isinstance(sent, dict) else {}
        before = sent.get("before")
        turns = before[-MOST_TURNS:] if isinstance(before, list) else []
        return cls(
            name=_text(sent.get("asking"), 100),
            question=_text(sent.get("question"), LONGEST_MESSAGE).strip(),
            before=tuple(_turn(one) for one in turns if isinstance(one, dict)),
        )

    def conversation(self, side: str) -> Conversation:
        """What "base" or "tuned" is to answer."""
        turns: Conversation = []
        for turn in self.before:
            turns.append({"role": "user", "content": turn.question})
            turns.append({"role": "assistant", "content": getattr(turn, side)})
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
    return _text(sent, LONGEST_MESSAGE)


def _turn(sent: dict[str, Any]) -> Turn:
    said = {side: _text(sent.get(side), LONGEST_ANSWER) for side in SIDES}
    return Turn(_text(sent.get("question"), LONGEST_MESSAGE), **said)


def _text(value: Any, longest: int) -> str:
    return value[:longest].encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""
