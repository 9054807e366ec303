"""Who answers in each column of a conversation: read from anybody's JSON, found among the models in memory, asked
together.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, ValidationError

from ..choices import Choices
from ..errors import UserError
from ..messages import Conversation
from ..runs import RunStore
from .pool import ModelPool
from .session import ChatSession, Decoding
from .writing import Events, Said, Writing, together

MOST_SIDES = 4
LONGEST_ID = 200


class Share(Choices):
    """An adapter of a mix, and how much of it."""

    run: str = Field(max_length=LONGEST_ID)
    weight: float = Field(1.0, ge=-2, le=2)


class Side(Choices):
    """Who answers in one column. `run` is the run whose adapter, or whose base, that is."""

    who: Literal["run", "base", "mix", "endpoint"] = "run"
    run: str = Field("", max_length=LONGEST_ID)
    checkpoint: int | None = Field(None, ge=0)  # a step; None: the newest that is saved
    strength: float = Field(1.0, ge=0, le=2)  # 0: as the base answers; 1: as it was trained
    mix: tuple[Share, ...] = Field((), max_length=MOST_SIDES)
    temperature: float | None = Field(None, ge=0, le=2)  # None: that of the settings
    endpoint: str = Field("", max_length=LONGEST_ID)

    @classmethod
    def of(cls, sent: Any) -> "Side":
        """What a browser sent. Raises UserError: another one that answers in its place would be an untruth."""
        try:
            return cls.model_validate(sent)
        except ValidationError as error:
            raise UserError(
                "chat.side_unknown",
                "It cannot be read who is to answer in one of the columns. Choose it anew in the head of that column.",
            ) from error

    @classmethod
    def all_of(cls, sent: Sequence[Any], run: str) -> tuple["Side", ...]:
        """Those of a conversation with a run; where none were sent, its base and its adapter. Raises UserError."""
        if not sent:
            return cls(who="base", run=run), cls(run=run)
        return tuple(map(cls.of, sent[:MOST_SIDES]))

    @property
    def is_base(self) -> bool:
        return self.who == "base"


@dataclass(frozen=True)
class Voice:
    """Who answers in a column, in memory."""

    session: ChatSession
    is_base: bool = False
    temperature: float | None = None  # None: as the settings say

    def write(self, conversation: Conversation, decoding: Decoding, stop: threading.Event, into: Events) -> Writing:
        """Begin its answer. Raises UserError."""
        sampling = self.session.sampling(decoding, self.is_base)
        if self.temperature is not None and not decoding.greedy:
            sampling = replace(sampling, temperature=self.temperature)
        return self.session.write(
            conversation,
            sampling,
            longest=decoding.max_new_tokens,
            base=self.is_base,
            thinking=decoding.thinking,
            stop=stop,
            into=into,
        )


def voice_of(side: Side, store: RunStore, pool: ModelPool) -> Voice:
    """Waits until it is loaded. Raises UserError."""
    return Voice(pool.get(store.get(side.run), side.checkpoint), side.is_base, side.temperature)


class Replies:
    """One answer of each voice, written at once. Iterate it for all texts so far, again and again until all are whole.

    Reasoning stands before an answer in <think> marks. Whoever stops iterating cancels them, and `stop`, when it is
    set, ends them within a token.
    """

    def __init__(
        self,
        voices: Sequence[Voice],
        conversations: Sequence[Conversation],
        decoding: Decoding,
        stop: threading.Event | None = None,
    ) -> None:
        """Raises UserError where one of them cannot begin: then none does."""
        self._events = Events()
        self.writings: list[Writing] = []
        try:
            for voice, conversation in zip(voices, conversations, strict=True):
                self.writings.append(voice.write(conversation, decoding, stop or threading.Event(), self._events))
        except BaseException:
            self.cancel()
            raise

    @property
    def note(self) -> str:
        """What of a conversation was not read, in words."""
        return next((writing.note for writing in self.writings if writing.note), "")

    def __iter__(self) -> Iterator[list[Said]]:
        """Raises what went wrong."""
        return together(self.writings, self._events)

    def cancel(self) -> None:
        """They end within a token."""
        for writing in self.writings:
            writing.cancel()
