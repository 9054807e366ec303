"""Whose turn it is: the runs that are being trained, and those that wait, in their order and with about when."""

import functools

from ...effort import expected_seconds
from ...errors import UserError
from ...runs import Run
from ...runs.recipes import recipe_of
from ..context import AppContext
from .card_queue import Waiting, starts

A_WHILE = 120  # looks, for which an estimate is kept: it reads other runs


class Turns:
    """Asked by all cards; what is asked in the same moment is looked up once. `now`: which moment."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._moving = functools.lru_cache(maxsize=1)(self._read)
        self._expected = functools.lru_cache(maxsize=100)(self._estimate)

    def alive(self, now: int) -> list[Run]:
        """The newest first."""
        return self._moving(now)[0]

    def waiting(self, now: int) -> list[Waiting]:
        """The next one first."""
        return self._moving(now)[1]

    def _read(self, now: int) -> tuple[list[Run], list[Waiting]]:
        runs = [job for job in self.page.supervisor.moving() if isinstance(job, Run)]
        alive = [run for run in runs if run.is_alive()]
        waiting = [run for run in reversed(runs) if run.is_asked("start") and run not in alive]
        takes = [(run, self._expected(run.id, now // A_WHILE)) for run in waiting]
        until = alive[0].status().seconds_left if alive else None
        return alive, starts(takes, until)

    def _estimate(self, id: str, when: int) -> float | None:
        """Seconds that a run will take; None where nothing tells."""
        try:
            recipe = recipe_of(self.page.store.get(id))
            return expected_seconds(recipe, self.page.store, self.page.settings.data) if recipe else None
        except (UserError, OSError):  # whoever starts it says what is wrong with it
            return None
