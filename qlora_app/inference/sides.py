"""Who answers in each column of a conversation: read from anybody's JSON, found among the models in memory, asked
together.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from pydantic import Field, ValidationError

from ..choices import Choices
from ..errors import UserError
from ..messages import Conversation
from ..runs import Run, RunStore
from ..settings import Endpoint
from .pool import ModelPool
from .remote import Remote
from .session import ChatSession, Decoding
from .writing import Events, Growing, Said, together

MOST_SIDES = 4
LONGEST_ID = 200


class Share(Choices):
    """An adapter of a mix, and how much of it."""

    run: str = Field(max_length=LONGEST_ID)
    checkpoint: int | None = Field(None, ge=0)  # a step; None: the newest that is saved
    weight: float = Field(1.0, ge=-2, le=2)


class Side(Choices):
    """Who answers in one column. `run` is the run whose adapter, or whose base, that is."""

    who: Literal["run", "base", "mix", "endpoint"] = "run"
    run: str = Field("", max_length=LONGEST_ID)
    checkpoint: int | None = Field(None, ge=0)  # a step; None: the newest that is saved
    strength: float = Field(1.0, ge=0, le=2)  # 0: as the base answers; 1: as it was trained
    mix: tuple[Share, ...] = Field((), max_length=MOST_SIDES)
    temperature: float | None = Field(None, ge=0, le=2)  # None: that of the settings
    endpoint: str = Field("", max_length=LONGEST_ID)  # the name of one in the settings

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

    @property
    def adapters(self) -> "tuple[Share, ...]":
        """What has to be in memory for it; nothing for an endpoint."""
        if self.who == "endpoint":
            return ()
        return self.mix if self.who == "mix" else (Share(run=self.run, checkpoint=self.checkpoint),)


class Voice(Protocol):
    """Who answers in a column."""

    @property
    def checksum(self) -> str:
        """SHA-256 of the weights of the adapter that answers, of a mix that of its parts' with their shares; "" where
        none does.
        """

    @property
    def system(self) -> str:
        """The system text that it was trained with."""

    def write(
        self, conversation: Conversation, decoding: Decoding, stop: threading.Event, into: Events, begun: str = ""
    ) -> Growing:
        """Begin its answer, whose events go `into` there, or go on with one that was begun. Raises UserError."""


@dataclass(frozen=True)
class Here:
    """A model in the memory of this machine."""

    session: ChatSession
    is_base: bool = False
    temperature: float | None = None  # None: as the settings say
    strength: float = 1.0

    @property
    def is_bare(self) -> bool:
        """Does the base answer, without an adapter?"""
        return self.is_base or self.strength == 0

    @property
    def checksum(self) -> str:
        return "" if self.is_bare else self.session.checksum

    @property
    def system(self) -> str:
        return self.session.template.system

    def write(
        self, conversation: Conversation, decoding: Decoding, stop: threading.Event, into: Events, begun: str = ""
    ) -> Growing:
        sampling = self.session.sampling(decoding, self.is_base)
        if self.temperature is not None and not decoding.greedy:
            sampling = replace(sampling, temperature=self.temperature)
        return self.session.write(
            conversation,
            sampling,
            longest=decoding.max_new_tokens,
            base=self.is_bare,
            thinking=decoding.thinking,
            stop=stop,
            into=into,
            begun=begun,
        )


@dataclass(frozen=True)
class Nobody:
    """One that cannot answer."""

    why: Exception
    checksum: str = ""
    system: str = ""

    def write(self, *_: Any) -> Growing:
        return _Unwritten(self.why)


class _Unwritten:
    """An answer that was not begun."""

    note = ""
    is_over = True

    def __init__(self, why: Exception) -> None:
        self.row, self._said = self, Said("")
        self._said.error = why

    def take(self, event: Any, now: float) -> None: ...

    def fail(self, error: BaseException) -> None: ...

    def said(self) -> Said:
        return self._said

    def cancel(self) -> None: ...


def here_of(side: Side, store: RunStore, pool: ModelPool) -> Here:
    """Of a model on this machine: waits until it is loaded. Raises UserError."""
    if side.who == "endpoint":
        raise UserError("endpoint.elsewhere", "{name} answers elsewhere: no model here knows why.", name=side.endpoint)
    if side.who == "mix":
        return Here(_mixed(side, store, pool), temperature=side.temperature)
    run = store.get(side.run)
    check_chats(run)
    session = pool.get(run, side.checkpoint)
    if not side.is_base and side.strength not in (0, 1):
        check_weighted(run)
        session = ChatSession.sum_of([(session, side.strength)])
    return Here(session, side.is_base, side.temperature, side.strength)


def _mixed(side: Side, store: RunStore, pool: ModelPool) -> ChatSession:
    if not side.mix:
        raise UserError("chat.empty_mix", "Nothing is mixed yet. Choose the adapters and how much of each.")
    parts = []
    for share in side.mix:
        run = store.get(share.run)
        check_chats(run)
        check_weighted(run)
        parts.append((pool.get(run, share.checkpoint), share.weight))
    return ChatSession.sum_of(parts)


def check_chats(run: Run) -> None:
    """Raises UserError where it answers single texts: it knows no turns."""
    if not run.task().is_chat:
        raise UserError(
            "chat.no_conversation",
            "{name} is trained for another task and holds no conversation. Try it by itself, and choose another run to "
            "answer here.",
            name=run.title,
        )


def check_weighted(run: Run) -> None:
    """Raises UserError where the strength of its adapter is what it is."""
    if not run.recipe().method.can_be_weighted:
        raise UserError(
            "adapter.one_strength",
            "The adapter of {run} has one strength only: what was learned by its method, with its settings, cannot be "
            "taken by half. Adapters of plain LoRA can.",
            run=run.title,
        )


def endpoint_of(side: Side, endpoints: Sequence[Endpoint]) -> Endpoint:
    """Raises UserError where the settings have none of that name."""
    for one in endpoints:
        if one.name == side.endpoint:
            return one
    raise UserError(
        "endpoint.unknown",
        "There is no endpoint {name}. QLORA_APP_ENDPOINTS names them; choose another in the head of the column.",
        name=side.endpoint,
    )


def voice_of(side: Side, store: RunStore, pool: ModelPool, endpoints: Sequence[Endpoint] = ()) -> Voice:
    """Waits until it is loaded. endpoints: those that may be asked."""
    try:
        if side.who == "endpoint":
            return Remote(endpoint_of(side, endpoints), side.temperature)
        return here_of(side, store, pool)
    except Exception as error:  # whatever it is, the other columns answer
        return Nobody(error)


class Replies:
    """One answer of each voice, written at once. Iterate it for all texts so far, again and again until all are whole.

    Reasoning stands before an answer in <think> marks. Where one cannot answer, or not to its end, its text has the
    `error`, and the others go on. Whoever stops iterating cancels them, and `stop`, when it is set, ends them within a
    token.
    """

    def __init__(
        self,
        asked: Sequence[tuple[Voice, Conversation] | tuple[Voice, Conversation, str]],
        decoding: Decoding,
        stop: threading.Event | None = None,
    ) -> None:
        """asked: who is to answer what, and with which beginning of an answer they go on."""
        self._events = Events()
        self.writings: list[Growing] = []
        for voice, conversation, *begun in asked:
            try:
                self.writings.append(
                    voice.write(conversation, decoding, stop or threading.Event(), self._events, *begun)
                )
            except Exception as error:  # as above
                self.writings.append(_Unwritten(error))

    @property
    def note(self) -> str:
        """What of a conversation was not read, in words."""
        return next((writing.note for writing in self.writings if writing.note), "")

    def said(self) -> list[Said]:
        """All texts so far."""
        return [writing.said() for writing in self.writings]

    def __iter__(self) -> Iterator[list[Said]]:
        return together(self.writings, self._events, each_for_itself=True)
