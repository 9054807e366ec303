"""Many questions to one voice: so many at once, each answer handed over as soon as it is whole.

An endpoint that is busy, fails or breaks off is asked again after a while, longer each time. One whose patience ends
leaves its question unanswered, and the others go on; where one after another fails, it is given up.
"""

import heapq
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..errors import Problem, UserError
from ..inference.session import Decoding
from ..inference.sides import Voice
from ..inference.writing import Events, Growing
from ..messages import Conversation
from .question_sets import SetQuestion

LOOK_EVERY = 0.5  # seconds, at whether somebody wants an end
PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a question is asked again: the first time, and the most
TRIES = 6
GIVEN_UP_AFTER = 8  # questions that could not be answered, one after the other
BUSY = (408, 409, 425, 429)  # what an endpoint says that may answer the same question later
Asked = tuple[SetQuestion, Conversation, Decoding]


@dataclass(frozen=True)
class Answered:
    """A whole answer, or the `problem` why there is none. seconds: from when it was begun.

    at_once: so many were written together, whose seconds are the same ones.
    """

    question: SetQuestion
    text: str = ""
    tokens: int = 0  # of an endpoint the pieces it sent
    seconds: float = 0.0
    why: str = "stop"  # "length": it was cut
    note: str = ""  # what of the question was not read
    problem: Problem | None = None
    at_once: int = 1

    def row(self) -> dict[str, object]:
        """As it is kept."""
        row: dict[str, object] = {
            "id": self.question.id,
            "question": self.question.text,
            "category": self.question.category,
            "answer": self.text,
            "expected": self.question.expected,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "at_once": self.at_once,
        }
        more = {"why": self.why if self.why != "stop" else "", "note": self.note}
        return row | {name: value for name, value in more.items() if value}


@dataclass(order=True)
class _Waiting:
    """A question that is asked again."""

    due: float
    place: int
    asked: Asked = field(compare=False)
    tries: int = field(compare=False)


def answered(
    voice: Voice, asked: Sequence[Asked], at_once: int, check: Callable[[], None], retries: bool = False
) -> Iterator[Answered]:
    """Raises UserError where it cannot be asked at all, and what `check` raises; then nothing is left running.

    retries: is what goes wrong tried again, and in the end told as the `problem` of its question? Else it is raised.
    """
    stream = _Stream(voice, asked, retries)
    together = min(at_once, len(asked))
    try:
        while stream.is_on:
            check()
            stream.fill(at_once)
            yield from (replace(one, at_once=together) for one in stream.news())
    finally:
        stream.close()


class _Stream:
    def __init__(self, voice: Voice, asked: Sequence[Asked], retries: bool) -> None:
        self._voice, self._retries = voice, retries
        self._new = deque(enumerate(asked))
        self._again: list[_Waiting] = []
        self._open: dict[int, tuple[Growing, _Waiting]] = {}  # by the id of its row
        self._events, self._stop = Events(), threading.Event()
        self._failed = 0  # one after the other

    @property
    def is_on(self) -> bool:
        return bool(self._new or self._again or self._open)

    def fill(self, at_once: int) -> None:
        """Begin what there is room for: first what is asked again and due."""
        while len(self._open) < at_once:
            if self._again and self._again[0].due <= time.monotonic():
                one = heapq.heappop(self._again)
            elif self._new:
                place, asked = self._new.popleft()
                one = _Waiting(0.0, place, asked, 0)
            else:
                return
            _, conversation, decoding = one.asked
            growing = self._voice.write(conversation, decoding, self._stop, self._events)
            self._open[id(growing.row)] = growing, one

    def news(self) -> list[Answered]:
        """What has come to its end since; waits a little for it."""
        try:
            news = [self._events.get(timeout=LOOK_EVERY)]
        except queue.Empty:
            return []
        while not self._events.empty():
            news.append(self._events.get())
        found = (self._hear(row, event) for row, event in news)
        return [one for one in found if one is not None]

    def _hear(self, row: object, event: object) -> Answered | None:
        growing, one = self._open.get(id(row), (None, None))
        if growing is None or one is None:  # a late word of one that has failed
            return None
        try:
            growing.take(event, time.monotonic())
        except UserError as error:
            del self._open[id(row)]
            growing.fail(error)
            return self._again_or_not(one, error)
        if not growing.is_over:
            return None
        del self._open[id(row)]
        self._failed = 0
        said = growing.said()
        return Answered(
            one.asked[0], said.answer, said.tokens, round(said.seconds, 3), said.why or "stop", growing.note
        )

    def _again_or_not(self, one: _Waiting, error: UserError) -> Answered | None:
        if not self._retries:
            raise error
        if one.tries + 1 < TRIES and may_answer_later(error):
            pause = min(LONGEST_PAUSE, PAUSE * 2**one.tries)
            heapq.heappush(self._again, _Waiting(time.monotonic() + pause, one.place, one.asked, one.tries + 1))
            return None
        self._failed += 1
        if self._failed >= GIVEN_UP_AFTER:
            raise error
        return Answered(one.asked[0], problem=error.problem)

    def close(self) -> None:
        self._stop.set()
        for growing, _ in self._open.values():
            growing.cancel()


def may_answer_later(error: UserError) -> bool:
    """Is it a matter of the moment: busy, out of order, unreachable, broken off?"""
    if error.code == "endpoint.refused":
        status = error.problem.values.get("status", 0)
        return status in BUSY or status >= 500
    return error.code in ("endpoint.unreachable", "endpoint.cut", "endpoint.unread")
