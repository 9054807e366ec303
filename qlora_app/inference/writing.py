"""Answers on their way as text: no half characters, nothing that may still become the text that ends them."""

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..tasks import Answer
from ..tasks.generate import read_answer
from ..tasks.template import ChatTemplate
from ..tasks.template.calls import Call, CallForm
from .rows import Ended, Ending, Event, Row, Token

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LETTERS = 4  # tokens that a character takes at the most
HALF = "\N{REPLACEMENT CHARACTER}"  # how a character is decoded of which not all bytes have come

Events = queue.SimpleQueue[tuple[Any, Any]]  # (the row of a Growing, what is said of it)


class Said(str):
    """A text that a model wrote, so far: how many tokens it took, in how many seconds, and has it ended?"""

    tokens: int
    seconds: float
    is_whole: bool  # it has ended by itself or is as long as it may be; not where it was stopped
    engine: str = ""  # that computed it
    why: Ending | None = None  # it ended; None while it grows
    answer: str = ""  # without the reasoning
    reasoning: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt, which were known from an earlier answer
    calls: tuple[Call, ...] = ()  # of tools, once it has ended
    written: tuple[Token, ...] = ()  # with their log probabilities, where these were asked for
    error: BaseException | None = None  # something went wrong with it, and it goes on no more

    def __new__(cls, text: str, tokens: int = 0, seconds: float = 0.0, is_whole: bool = False) -> "Said":
        said = super().__new__(cls, text)
        said.tokens, said.seconds, said.is_whole = tokens, seconds, is_whole
        return said


class Growing(Protocol):
    """An answer on its way, whoever writes it. Its events come from a queue, each with its `row`."""

    note: str  # what of the conversation was not read, in words

    @property
    def row(self) -> Any:
        """What its events are told apart by."""

    @property
    def is_over(self) -> bool: ...

    def take(self, event: Any, now: float) -> None:
        """What is said of it. Raises what went wrong."""

    def fail(self, error: BaseException) -> None:
        """It goes on no more."""

    def said(self) -> Said:
        """Its text so far."""

    def cancel(self) -> None:
        """It ends within a token."""


class Writing:
    """One answer on its way. Iterate it for its text so far, again and again until it is whole; `cancel` ends it."""

    _error: BaseException | None = None

    def __init__(
        self,
        row: Row,
        tokenizer: "PreTrainedTokenizerBase",
        thinking: bool,
        stops: Sequence[str] = (),
        note: str = "",
        begun: Sequence[int] = (),
    ) -> None:
        """note: what of the conversation was not read, in words. begun: tokens of the answer, which stood in the prompt
        already.
        """
        self.row, self.note, self._begun = row, note, list(begun)
        self._tokenizer, self._thinking, self._stops = tokenizer, thinking, tuple(stops)
        self._marks = [mark for mark in map(str.strip, ChatTemplate.of(tokenizer).traits.reasoning_marks) if mark]
        self._written: list[Token] = []
        self._why: Ending | None = None
        self._seconds = 0.0

    def __iter__(self) -> Iterator[Said]:
        """Raises what went wrong. Whoever stops iterating cancels it."""
        for (said,) in together([self], self.row.events):
            yield said

    def cancel(self) -> None:
        """It ends within a token."""
        self.row.cancel()

    @property
    def is_over(self) -> bool:
        return self._why is not None or self._error is not None

    def fail(self, error: BaseException) -> None:
        """It goes on no more."""
        self._error = error

    def take(self, event: Event, now: float) -> None:
        """What the engine says of it. Raises what went wrong."""
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, Ended):
            self._why = event.why
        else:
            self._written.append(event)
            self._seconds = now - self.row.began

    def said(self) -> Said:
        """Its text so far, with what it was begun with; the tokens that are counted are new."""
        ids = [token.id for token in self._written]
        made = self._read([*self._begun, *ids[: len(ids) - self._held(ids)]])
        answer = self._shown(made.text)
        text = answer
        if made.reasoning:
            text = f"<think>\n{made.reasoning.rstrip(HALF)}\n</think>\n\n{answer}".rstrip(HALF)
        said = Said(text, len(ids), self._seconds, self._why in ("stop", "length"))
        said.engine = self.row.engine
        said.why, said.answer, said.reasoning = self._why, answer, made.reasoning.rstrip(HALF)
        said.prompt_tokens, said.cached_tokens = len(self.row.asked.ids), self.row.cached
        said.written, said.error = tuple(self._written), self._error
        return said

    def _read(self, ids: list[int]) -> Answer:
        return read_answer(self._tokenizer, ids, (), self._thinking)

    def _held(self, ids: list[int]) -> int:
        """How many tokens at the end may become a mark between reasoning and answer, or a part of one."""
        if not self._thinking or self._why is not None:
            return 0
        most = LETTERS * max(map(len, self._marks), default=0)
        for held in range(min(len(ids), most)):
            tail = self._tokenizer.decode(ids[max(0, len(ids) - held - most) : len(ids) - held])
            if not _begun(tail.rstrip(HALF), self._marks):
                return held
        return len(ids)

    def _shown(self, text: str) -> str:
        """Up to what ends it; while it grows, without an end that may become that."""
        text = text.rstrip(HALF)
        found = [text.index(stop) for stop in self._stops if stop in text]
        if found:
            return text[: min(found)].rstrip()
        if self._why is None and self._stops:
            return text[: len(text) - _begun(text, self._stops)].rstrip()
        return text


class PlainWriting(Writing):
    """A text that is gone on with: no chat template, and the blank that it begins with belongs to it."""

    def __init__(self, row: Row, tokenizer: "PreTrainedTokenizerBase", stops: Sequence[str] = ()) -> None:
        super().__init__(row, tokenizer, thinking=False, stops=stops)

    def _read(self, ids: list[int]) -> Answer:
        return Answer(self._tokenizer.decode(ids, skip_special_tokens=True))


class CallingWriting(Writing):
    """An answer that may call tools: what may become a call is not shown as text, and is read when all is there."""

    def __init__(
        self,
        row: Row,
        tokenizer: "PreTrainedTokenizerBase",
        thinking: bool,
        stops: Sequence[str],
        form: CallForm,
        tools: Sequence[dict[str, Any]],
        note: str = "",
    ) -> None:
        super().__init__(row, tokenizer, thinking, stops, note)
        self._form, self._tools = form, tools
        self._calls: tuple[Call, ...] = ()

    def said(self) -> Said:
        said = super().said()
        said.calls = self._calls
        return said

    def _read(self, ids: list[int]) -> Answer:
        """With the control tokens: calls may stand between such."""
        text = self._tokenizer.decode(ids, skip_special_tokens=False)
        if not self._thinking:
            return Answer(text)
        reasoning, text = ChatTemplate.of(self._tokenizer).split_reasoning(text, begun=True)
        return Answer(text, reasoning)

    def _shown(self, text: str) -> str:
        text = super()._shown(text)
        mark = self._form.mark
        if self._why is None:
            before = text.partition(mark)[0]
            return before[: len(before) - _begun(before, [mark])].strip()
        reading = self._form.read(text, self._tools)
        self._calls = reading.calls
        return ChatTemplate.of(self._tokenizer).traits.without_control(reading.text)


def together(writings: Sequence[Growing], events: Events, each_for_itself: bool = False) -> Iterator[list[Said]]:
    """Several answers that put their events into the same queue: all texts so far, whenever something is new.

    Raises what went wrong; each_for_itself: that is said as the `error` of its answer, and the others go on. Whoever
    stops iterating cancels them.
    """
    import time

    by_row = {id(writing.row): writing for writing in writings}
    try:
        while not all(writing.is_over for writing in writings):
            news = [events.get()]
            while not events.empty():  # drawing may take longer than writing: what has come meanwhile is drawn at once
                news.append(events.get())
            now = time.monotonic()
            for row, event in news:
                if each_for_itself and isinstance(event, BaseException):
                    by_row[id(row)].fail(event)
                else:
                    by_row[id(row)].take(event, now)
            yield [writing.said() for writing in writings]
    finally:
        for writing in writings:
            writing.cancel()


def ending_check(
    tokenizer: "PreTrainedTokenizerBase", stops: Sequence[str], thinking: bool
) -> Callable[[list[int]], bool] | None:
    """Do tokens end with one of the texts that end an answer? None where there are no such texts."""
    if not stops:
        return None
    most = LETTERS * (max(len(stop) for stop in stops) + 1)

    def ends(ids: list[int]) -> bool:
        tail = tokenizer.decode(ids[-most:], skip_special_tokens=not thinking)
        return any(stop in tail for stop in stops)

    return ends


def _begun(text: str, stops: Sequence[str]) -> int:
    """How many letters at the end of a text may be the beginning of what ends it."""
    lengths = range(min(len(text), max(len(stop) for stop in stops) - 1), 0, -1)
    return next((n for n in lengths if any(stop.startswith(text[-n:]) for stop in stops)), 0)
