"""The computing thread of a loaded base: everybody's rows in one batch, between them what needs the model alone."""

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from .adapters import ActiveAdapters
from .batching import TokenByToken, joins_between_tokens
from .prefixes import Prefixes
from .rows import Row, check_room
from .whole_answers import WholeAnswers

MOST_ROWS, MOST_WAITING = 8, 64
IDLE = 10.0  # seconds for which the thread waits for more
PAUSE, LONGEST_PAUSE = 3.5, 2.0  # times the last step, seconds: between two steps, where others train on this processor
LAST_STEP = 10.0  # seconds that the end of the program waits for a step
T = TypeVar("T")


class Steps(Protocol):
    """How rows are computed, a step at a time."""

    @property
    def rows(self) -> list[Row]: ...
    def has_room(self, row: Row) -> bool: ...
    def take(self, row: Row) -> None: ...
    def step(self) -> None: ...
    def drop(self, error: BaseException) -> None: ...


class Engine:
    """Answers rows of one model, as many at once as `most_rows`.

    `submit` a Row and take its events; nothing else is needed:

        row = engine.submit(Row(Asked(ids=prompt, room=64, ends=frozenset([eos]))))
        for event in row: ...     # Token, Token, ..., Ended
    """

    def __init__(self, model: Any, most_rows: int = MOST_ROWS, most_waiting: int = MOST_WAITING) -> None:
        self.active = ActiveAdapters(model)
        self.prefixes = Prefixes()
        self.most_rows, self.most_waiting = most_rows, most_waiting
        self.used = time.monotonic()  # when it last had something to do
        self.shares: Callable[[], bool] = lambda: False  # does something else need the processor more?
        self._steps: Steps | None = None
        self._waiting: deque[Row] = deque()
        self._works: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_wanted = True
        self._is_idle = True  # others may not look at its rows, which change while it computes
        self._ends = threading.Event()
        _engines.add(self)

    @property
    def model(self) -> Any:
        return self.active.model

    @property
    def is_busy(self) -> bool:
        """Is there anything that it computes or has to?"""
        with self._changed:
            return bool(self._waiting or self._works) or not self._is_idle

    def submit(self, row: Row) -> Row:
        """Its answer begins as soon as there is room. Raises UserError where too many wait."""
        with self._changed:
            check_room(self._waiting, self.most_waiting)
            self._wake()
            self._waiting.append(row)
        return row

    def alone(self, work: Callable[[], T], adapter: str | None = None) -> T:
        """What `work` returns, done between two tokens while nobody else uses the model.

        adapter: the one that is switched on meanwhile; None for as it is.
        """
        done: Future[T] = Future()
        with self._changed:
            self._wake()
            self._works.append((lambda: self._with(adapter, work), done))
        return done.result()

    def adapters_in_use(self) -> set[str]:
        """Those of the rows that are computed or wait."""
        with self._changed:
            return {row.asked.adapter for row in [*self._rows, *self._waiting]}

    def rest(self) -> None:
        """Let the thread go as soon as there is nothing to do; it comes back when something is asked."""
        with self._changed:
            self._is_wanted = False
            self._changed.notify_all()

    def end(self) -> None:
        """The program ends: what is being computed ends too, after its step."""
        with self._changed:
            self._is_wanted = False
            self._ends.set()
            self._changed.notify_all()
            thread = self._thread
        if thread:
            thread.join(LAST_STEP)

    # ---- the computing thread

    @property
    def _rows(self) -> list[Row]:
        return self._steps.rows if self._steps else []

    def _wake(self) -> None:
        """Before anything is put where it waits: where no thread can be started, whoever asked hears of it."""
        self._is_wanted = True
        if self._thread is None:
            thread = threading.Thread(target=self._compute, name="engine", daemon=True)
            thread.start()
            self._thread = thread
        self._changed.notify_all()

    def _compute(self) -> None:
        """Until there has been nothing to do for a while."""
        try:
            while self._has_something():
                self.used = time.monotonic()
                if self._ends.is_set():
                    self._cancel_all()
                self._work()
                self._answer()
                took, self.used = time.monotonic() - self.used, time.monotonic()
                if self.shares():
                    self._ends.wait(min(PAUSE * took, LONGEST_PAUSE))
        except BaseException as error:
            with self._changed:  # nobody may wait for a thread that is gone
                self._thread, self._is_idle = None, True
                self._fail_everybody(error)
            raise

    def _has_something(self) -> bool:
        deadline = time.monotonic() + IDLE
        with self._changed:
            while not (self._waiting or self._works or self._rows):
                self._is_idle = True
                left = deadline - time.monotonic()
                if left <= 0 or not self._is_wanted:
                    self._thread = None
                    return False
                self._changed.wait(left)
            self._is_idle = False
            return True

    def _cancel_all(self) -> None:
        with self._changed:
            for row in [*self._rows, *self._waiting]:
                row.cancel()

    def _work(self) -> None:
        """One thing that needs the model alone."""
        with self._changed:
            if not self._works:
                return
            work, done = self._works.popleft()
        try:
            made = work()
        except BaseException as error:  # whoever waits for it hears of it
            done.set_exception(error)
        else:
            done.set_result(made)

    def _with(self, adapter: str | None, work: Callable[[], T]) -> T:
        if adapter is not None:
            self.active.use([adapter])
        return work()

    def _answer(self) -> None:
        import torch

        if self._steps is None:
            self._steps = self._made()
        self._begin(self._steps)
        if not self._steps.rows:
            return
        try:
            with torch.inference_mode():
                self._steps.step()
        except Exception as error:  # a row that waits for ever is worse than an error
            self._steps.drop(error)
            self.prefixes.forget()
            self.active.rest()

    def _made(self) -> Steps:
        if joins_between_tokens(self.model):
            return TokenByToken(self.active, self.prefixes, self.most_rows)
        return WholeAnswers(self.active, self.most_rows)

    def _begin(self, steps: Steps) -> None:
        """Those who wait join, as far as there is room; those who have gone meanwhile do not."""
        with self._changed:
            for row in [row for row in self._waiting if row.is_cancelled]:
                self._waiting.remove(row)
                row.end("cancelled")
            while self._waiting and steps.has_room(self._waiting[0]):
                row = self._waiting.popleft()
                row.began = time.monotonic()
                try:
                    steps.take(row)
                except Exception as error:  # it waits no more and is not begun: nobody else would tell it
                    row.fail(error)

    def _fail_everybody(self, error: BaseException) -> None:
        for row in [*self._rows, *self._waiting]:
            row.fail(error)
        self._waiting.clear()
        self._steps = None
        while self._works:
            self._works.popleft()[1].set_exception(error)


_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """A thread that is cut off within a step of torch's takes the whole program down."""
    for engine in list(_engines):
        engine.end()
