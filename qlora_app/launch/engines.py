"""Programs elsewhere are asked beside the queue: one that takes its time, or never answers, holds up nobody else; and
one that answers what nobody understands has said nothing of its jobs.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from ..errors import UserError
from ..jobs import Job
from . import places
from .beside import beside
from .launcher import EngineLauncher

ASKED_EVERY = 5.0  # seconds between two questions to an engine

logger = logging.getLogger(__name__)


class Engines:
    """Of one queue, whose thread alone calls this."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], tuple[float, Future[None]]] = {}  # (engine, what for): when, what came of it
        self._sent: dict[Path, tuple[Job, Future[None]]] = {}

    def look_at(self, moving: Sequence[Job]) -> None:
        """Have every engine be asked now and then how its jobs stand, and what they wrote be brought. Returns at once;
        an engine that has not answered yet is not asked again.
        """
        for name, launcher in places.ELSEWHERE.items():
            jobs = [job for job in moving if _is_at(name, job) and not self.is_sending(job)]
            if jobs:
                self._now_and_then(name, "look", _looking(launcher, jobs))
                self._now_and_then(name, "sync", _syncing(launcher, jobs))

    def send(self, launcher: EngineLauncher, job: Job, cold: bool) -> None:
        """Have an engine take a job. Returns at once; `sent` tells what came of it."""
        self._sent[job.folder] = (job, beside(lambda: launcher.start(job, cold=cold)))

    def is_sending(self, job: Job) -> bool:
        return job.folder in self._sent

    def sent(self) -> list[tuple[Job, BaseException | None]]:
        """Those that were sent since this was asked last, each with what it failed with."""
        over = [(job, future) for job, future in self._sent.values() if future.done()]
        for job, _ in over:
            del self._sent[job.folder]
        return [(job, future.exception()) for job, future in over]

    def _now_and_then(self, engine: str, what: str, ask: Callable[[], None]) -> None:
        asked_at, answer = self._asked.get((engine, what), (0.0, None))
        if answer is not None and (not answer.done() or time.monotonic() - asked_at < ASKED_EVERY):
            return
        self._asked[engine, what] = (time.monotonic(), beside(ask))


@contextlib.contextmanager
def asked_about(job: Job) -> Iterator[None]:
    """Meanwhile the engine that works on a job is asked how it stands, and what is written there is brought, also where
    no page is open that does it.
    """
    over = threading.Event()

    def ask() -> None:
        while not over.wait(ASKED_EVERY):
            engine = job.launch_file.engine()
            if engine is None or not _is_at(engine.name, job):
                continue
            launcher = places.ELSEWHERE[engine.name]
            _looking(launcher, [job])()
            _syncing(launcher, [job])()

    threading.Thread(target=ask, name="engine", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _is_at(engine: str, job: Job) -> bool:
    known = job.launch_file.engine()
    return known is not None and known.name == engine and known.is_there and known.id != ""


def _looking(launcher: EngineLauncher, jobs: Sequence[Job]) -> Callable[[], None]:
    """Where it cannot even be asked, how its jobs stand is not known."""

    def look() -> None:
        try:
            launcher.look_at(jobs)
        except Exception as error:  # whatever it answers, no job has failed by that
            _log(launcher, "asked", error)
            for job in jobs:
                engine = job.launch_file.engine()
                if engine is not None and engine.is_there:
                    with contextlib.suppress(OSError):
                        job.launch_file.note_engine(engine.as_seen("unknown", str(error)))

    return look


def _syncing(launcher: EngineLauncher, jobs: Sequence[Job]) -> Callable[[], None]:
    def sync() -> None:
        for job in jobs:
            try:
                launcher.sync(job)
            except Exception as error:  # of one job; the others are brought, and this one is tried again
                _log(launcher, f"brought {job.id}", error)

    return sync


def _log(launcher: EngineLauncher, what: str, error: Exception) -> None:
    """In full only what nobody expects: an engine that is away for an hour fills no log."""
    if not isinstance(error, UserError):
        logger.warning("%s could not be %s", launcher.name, what, exc_info=error)
