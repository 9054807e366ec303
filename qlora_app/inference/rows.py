"""One answer that is being written: what is asked of the engine, and what it hands back, token by token."""

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..errors import UserError
from .grammar import Grammar
from .sampling import Chooser, Sampling, TokenChances, log_chances

if TYPE_CHECKING:
    import torch

BASE = "__base__"  # PEFT's name for a row without an adapter
Ending = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Asked:
    """A prompt, and how its answer is to be written."""

    ids: list[int]
    room: int  # the most tokens of the answer
    adapter: str = BASE  # its name on the loaded base
    sampling: Sampling = field(default_factory=Sampling)
    ends: frozenset[int] = frozenset()  # tokens that end the answer and do not belong to it
    ends_with: Callable[[list[int]], bool] | None = None  # do these tokens say something that ends it?
    logprobs: int | None = None  # of each token its log probability, and of so many likeliest ones theirs
    grammar: Grammar | None = None  # that the answer is to follow


class Token(NamedTuple):
    """A token of the answer."""

    id: int
    chances: TokenChances | None = None


class Ended(NamedTuple):
    """The answer is whole, or nobody wants it any more."""

    why: Ending


Event = Token | Ended | BaseException


class Row:
    """An answer on its way. The computing thread puts events into it, whoever asked takes them out."""

    def __init__(
        self,
        asked: Asked,
        stop: threading.Event | None = None,
        into: "queue.SimpleQueue[tuple[Row, Event]] | None" = None,
    ) -> None:
        """stop: ends it when it is set, as `cancel` does. into: where its events go; several rows may share one."""
        self.asked = asked
        self.chooser = Chooser(asked.sampling)
        self.matcher = asked.grammar.begin() if asked.grammar else None
        self.written: list[int] = []
        self.cached = 0  # tokens of the prompt that were known from an earlier answer
        self.began = time.monotonic()  # when it was begun, not when it was asked
        self.events: queue.SimpleQueue[tuple[Row, Event]] = into or queue.SimpleQueue()
        self.engine = "transformers"  # that computes it
        self.is_over = False
        self._stop = stop or threading.Event()

    def cancel(self) -> None:
        """Whoever asked has gone: it ends within a token."""
        self._stop.set()

    @property
    def is_cancelled(self) -> bool:
        return self._stop.is_set()

    def __iter__(self) -> Iterator[Token | Ended]:
        """Its tokens as they come, and how it ended. Raises what went wrong."""
        while True:
            _, event = self.events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Ended):
                return

    # ---- for the computing thread

    @property
    def ids(self) -> list[int]:
        """Prompt and answer so far."""
        return self.asked.ids + self.written

    def choose(self, logits: "torch.Tensor", with_prompt: bool = True, likeliest: int | None = None) -> int:
        """The next token, which is added, from logits [vocabulary].

        with_prompt: what stands in the prompt counts as said already. likeliest: the largest logit, where it is known.
        """
        how = self.asked.sampling
        before: list[int] = []
        if how.repetition_penalty != 1:
            before = self.ids if with_prompt else self.written
        if self.matcher is not None:
            token = self.chooser.choose(self.matcher.allowed(logits), before)
        elif how.takes_likeliest:
            token = int(logits.argmax()) if likeliest is None else likeliest
        else:
            token = self.chooser.choose(logits, before)
        asked = self.asked.logprobs
        self.add(token, None if asked is None else log_chances(logits, token, asked))
        return token

    def add(self, token: int, chances: TokenChances | None = None) -> None:
        """The next token was chosen."""
        if self.is_cancelled:
            self.end("cancelled")
            return
        if token in self.asked.ends:
            self.end("stop")
            return
        self.written.append(token)
        if self.matcher is not None:
            self.matcher.take(token)
        self.events.put((self, Token(token, chances)))
        if self.asked.ends_with is not None and self.asked.ends_with(self.written):
            self.end("stop")
        elif len(self.written) >= self.asked.room:
            self.end("length")

    def end(self, why: Ending) -> None:
        self._finish(Ended(why))

    def fail(self, error: BaseException) -> None:
        self._finish(error)

    def _finish(self, event: Event) -> None:
        if not self.is_over:
            self.is_over = True
            self.events.put((self, event))


def check_room(waiting: Collection[Row], most: int) -> None:
    """Raises UserError where as many wait as may."""
    if len(waiting) >= most:
        raise UserError(
            "engine.too_many_waiting",
            "{count:,} questions wait for this model already. Ask again in a moment.",
            count=len(waiting),
        )
