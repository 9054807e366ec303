"""The line of what waits: who is next, and how a person moves somebody in it. The turn is written into the
wish to start, so the line is there again after a restart or in a copy, and goes with the wish.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar, get_args

from ..errors import UserError
from ..jobs import Job
from ..storage.disk import said

# now: beside what is worked on already, however many that are
Way = Literal["up", "down", "first", "last", "now", "cancel"]
AnyJob = TypeVar("AnyJob", bound=Job)
WAYS: tuple[Way, ...] = get_args(Way)
Side = Literal["before", "after"]


def in_line(jobs: Sequence[AnyJob]) -> list[AnyJob]:
    """Those that wait to be started, the next one first. `jobs`: newest first, as stores list them."""
    turns = [(job.turn(), job) for job in reversed(jobs)]
    return [job for turn, job in sorted(turns, key=lambda one: one[0]) if turn]


def move(job: Job, way: Way, jobs: Sequence[Job]) -> None:
    """Give a job that waits another place in line, start it now, or take it out. `jobs`: as of `in_line`.

    Raises UserError where it does not wait, and where the disk refuses.
    """
    line = _waiting(jobs)
    place = _place_of(job, line)
    to = {"up": place - 1, "down": place + 1, "first": 0, "last": len(line) - 1}
    if way == "cancel":
        job.request("stop")
    elif way == "now":
        with said(job.folder):
            job.wishes.put("now")
        job.tell_queue()
    else:
        _put_at(job, to[way], line)


def move_beside(job: Job, other: Job, side: Side, jobs: Sequence[Job]) -> None:
    """Give a job that waits the place before or after another one. As `move`."""
    line = _waiting(jobs)
    _place_of(job, line)
    others = [one for one in line if one.folder != job.folder]
    _put_at(job, _place_of(other, others) + (side == "after"), line)


def _waiting(jobs: Sequence[Job]) -> list[Job]:
    return [one for one in in_line(jobs) if not one.is_on_its_way()]


def _place_of(job: Job, line: Sequence[Job]) -> int:
    folders = [one.folder for one in line]
    if job.folder not in folders:
        raise UserError("queue.not_waiting", "{id} does not wait in the queue any more.", id=job.id)
    return folders.index(job.folder)


def _put_at(job: Job, place: int, line: Sequence[Job]) -> None:
    """Move a job of a line to a place in it, from 0; beyond an end it stays at that."""
    before = [one for one in line if one.folder == job.folder]
    others = [one for one in line if one.folder != job.folder]
    place = max(0, min(place, len(others)))
    wanted = [*others[:place], *before, *others[place:]]
    turns = sorted(one.turn() for one in line)
    last = 0
    for one, turn in zip(wanted, turns, strict=True):
        last = max(turn, last + 1)
        with said(one.folder):
            one.wishes.set_turn(last)
