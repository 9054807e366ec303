"""Whose turn it is: what is trained, and what waits, in its order and with about when each begins."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..effort import expected_seconds
from ..errors import UserError
from ..jobs import Job
from ..runs import Run, RunStore
from ..runs.recipes import recipe_of
from .line import in_line

A_WHILE = 120  # looks, for which an estimate is kept: it reads other runs


class Waiting(NamedTuple):
    """A job in line, and in how many seconds it begins; None where that cannot be said."""

    job: Job
    starts_in: float | None


class Turns:
    """Asked by all pages; what is asked in the same moment is looked up once. `now`: which moment."""

    def __init__(
        self,
        moving: Callable[[], Sequence[Job]],
        runs: RunStore,
        data: Path,
        at_once: int = 1,
        is_shown: Callable[[Job], bool] = lambda _: True,
    ) -> None:
        """moving: what waits or is worked on, newest first. at_once: so many trainings have room. is_shown: of whom is
        told; the others only take their turns.
        """
        self._jobs, self._runs, self._data, self._at_once = moving, runs, data, at_once
        self._is_shown = is_shown
        self._moving = functools.lru_cache(maxsize=1)(self._read)
        self._expected = functools.lru_cache(maxsize=100)(self._estimate)

    def alive(self, now: int) -> list[Run]:
        """The runs that are trained, newest first."""
        return self._moving(now)[0]

    def waiting(self, now: int) -> list[Waiting]:
        """The next one first."""
        return self._moving(now)[1]

    def _read(self, now: int) -> tuple[list[Run], list[Waiting]]:
        jobs = self._jobs()
        alive = [job for job in jobs if isinstance(job, Run) and job.is_alive()]
        at_work = {run.folder for run in alive}
        waiting = [job for job in in_line(jobs) if job.folder not in at_work and not job.is_on_its_way()]
        until = [run.status().seconds_left for run in alive]
        runs = [job for job in waiting if isinstance(job, Run)]
        times = start_times([self._expected(run.id, now // A_WHILE) for run in runs], until, self._at_once)
        begins = {run.folder: time for run, time in zip(runs, times, strict=True)}
        shown = [job for job in waiting if self._is_shown(job)]
        return list(filter(self._is_shown, alive)), [Waiting(job, begins.get(job.folder)) for job in shown]

    def _estimate(self, id: str, when: int) -> float | None:
        """Seconds that a run will take; None where nothing tells."""
        try:
            recipe = recipe_of(self._runs.get(id))
            return expected_seconds(recipe, self._runs, self._data) if recipe else None
        except (UserError, OSError):  # whoever starts it says what is wrong with it
            return None


def start_times(takes: Sequence[float | None], until: Sequence[float | None], at_once: int = 1) -> list[float | None]:
    """In how many seconds each of those that wait begins; None where that depends on what is not known.

    takes: how long each takes, the next one first. until: seconds until what is trained now has ended. at_once: so many
    have room.
    """
    ends = sorted(math.inf if one is None else one for one in until)
    slots = ends[-at_once:] if len(ends) > at_once else [*ends, *[0.0] * (at_once - len(ends))]
    begins: list[float | None] = []
    for each in takes:
        first = min(slots)
        begins.append(first if math.isfinite(first) else None)
        slots.remove(first)
        slots.append(math.inf if each is None else first + each)
    return begins
