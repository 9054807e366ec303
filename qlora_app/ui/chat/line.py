"""Who is answered next: some at a time, everybody in turn, and nobody who has stopped listening."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...inference.engine import MOST_ROWS
from ..door.admission import address_of
from ..door.visitors import Visitors

LOOK_AGAIN = 0.25  # seconds
AT_ONCE = MOST_ROWS // 2  # questions: base and adapter answer each


class NobodyListensError(Exception):
    """Whoever asked is gone: what they asked is not answered."""


@dataclass(eq=False)
class Place:
    """A question in the line."""

    session: str
    address: str


class Line:
    """One for all that a model is asked. Addresses take turns: many questions of one do not put others behind them."""

    def __init__(self, visitors: Visitors, at_once: int = AT_ONCE) -> None:
        self.visitors, self.at_once = visitors, at_once
        self._changed = threading.Condition()
        self._waiting: list[Place] = []
        self._answered: list[Place] = []

    def enter(self, request: Any) -> Place:
        """A place at the end; `leave` must follow."""
        place = Place(str(request.session_hash or ""), address_of(request))
        with self._changed:
            self._waiting.append(place)
        return place

    def leave(self, place: Place) -> None:
        """It was answered, or is not to be any more."""
        with self._changed:
            if place in self._waiting:
                self._waiting.remove(place)
            if place in self._answered:
                self._answered.remove(place)
            self._changed.notify_all()

    def wait(self, place: Place, is_stopped: Callable[[], bool]) -> Iterator[int]:
        """Until it is its turn: how many are before it, whenever that changes. Raises NobodyListensError."""
        said = 0
        while True:
            with self._changed:
                if is_stopped() or not self.visitors.hears(place.session):
                    raise NobodyListensError
                before = self._before(place)
                if before == 0:
                    self._waiting.remove(place)
                    self._answered.append(place)
                    return
                if before == said:
                    self._changed.wait(LOOK_AGAIN)
                    continue
            said = before
            yield before

    def _before(self, place: Place) -> int:
        free = self.at_once - len(self._answered)
        return max(0, self._order().index(place) + 1 - free)

    def _order(self) -> list[Place]:
        """Who is next: the first of every address, then the second of every one, and so on. Whose address is being
        answered has had its turn.
        """
        count: Counter[str] = Counter(place.address for place in self._answered)
        rounds: list[tuple[int, int, Place]] = []
        for number, place in enumerate(self._waiting):
            rounds.append((count[place.address], number, place))
            count[place.address] += 1
        return [place for _, _, place in sorted(rounds, key=lambda one: one[:2])]


class Newest:
    """Of what a page has asked for only the newest goes on: each has an event that is set when it is to end."""

    def __init__(self) -> None:
        self._under_way: dict[str, threading.Event] = {}  # by browser session

    def begin(self, request: Any) -> threading.Event:
        """What was under way there is to end; `end` must follow."""
        self.stop(request)
        stop = self._under_way[request.session_hash] = threading.Event()
        return stop

    def stop(self, request: Any) -> None:
        """Whatever is under way there is to end."""
        if older := self._under_way.get(request.session_hash):
            older.set()

    def end(self, request: Any, stop: threading.Event) -> bool:
        """It has ended. Was it still the newest?"""
        is_newest = self._under_way.get(request.session_hash) is stop
        if is_newest:
            del self._under_way[request.session_hash]
        return is_newest


def waiting_words(before: int) -> str:
    """What somebody reads while others are answered."""
    if before == 1:
        return "One question is before yours. You are answered next."
    return f"{before:,} questions are before yours."
