"""Start what waits: one job at a time of those that need the machine, the light ones beside it."""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import UserError
from ..jobs import Job
from ..jobs.job import NEEDS, Needs
from .local import LocalLauncher

LOOK_EVERY = 1.0  # seconds between looks at the queue when nobody wakes the supervisor
LONGEST_PAUSE = 60.0  # seconds until a job that could not be started is tried again

logger = logging.getLogger(__name__)


class Jobs(Protocol):
    """A store of jobs, as the queue sees it."""

    root: Path

    def every(self) -> list[Job]:
        """All jobs that are to be looked after, newest first."""


@contextlib.contextmanager
def unled(root: Path) -> Iterator[bool]:
    """False where an app starts what waits in this store; else none begins to before the end of the `with`."""
    lock = _open_lock(root)
    try:
        yield _is_mine(lock)
    finally:
        os.close(lock)


@dataclass(frozen=True)
class _Trouble:
    """Why a job could not be started, and when it is tried again."""

    said: str
    pause: float
    until: float  # as time.monotonic() says it


class Supervisor:
    """A thread of the app that starts queued jobs, reaps ended workers and keeps one standby. It never works itself.

    Only one supervisor leads a store: that of the app holding its lock. Others leave the queue alone.
    """

    def __init__(self, store: Jobs, *others: Jobs) -> None:
        """The lock lies in the folder of the first store; all are looked after."""
        self.stores = (store, *others)
        self.leads = False
        self.launcher = LocalLauncher()
        self._last_error = ""  # the last trouble that was logged
        self._troubles: dict[Path, _Trouble] = {}  # of the jobs that could not be started, by their folders
        self._woken, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _open_lock(store.root)

    def start(self) -> None:
        self._try_to_lead()
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        self._woken.set()

    def close(self) -> None:
        """End the thread and the idle standby. Jobs go on."""
        self._closing.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.launcher.close()
        os.close(self._lock)

    def wait_until_ready(self) -> bool:
        """Block until the standby has imported everything; False when there is none. For tests and measurements."""
        return self.launcher.wait_until_ready()

    def _try_to_lead(self) -> None:
        if _is_mine(self._lock):
            self.leads = True
            self.launcher.keep_warm()

    def _loop(self) -> None:
        while not self._closing.is_set():
            try:
                if not self.leads:
                    self._try_to_lead()
                if self.leads:
                    self._look()
            except Exception as error:  # whatever is wrong with one job or the disk for a while, this thread must go on
                if str(error) != self._last_error:
                    logger.exception("The queue could not be looked after")
                self._last_error = str(error)
            self._woken.wait(LOOK_EVERY)
            self._woken.clear()

    def _look(self) -> None:
        """Oldest first, so that nobody is overtaken by one who came later.

        What needs little starts at once. Of what needs torch one works at a time, beside a training.
        """
        at_work = self.launcher.reap()
        jobs = [job for store in self.stores for job in store.every()]
        needing: dict[Needs, list[Job]] = {needs: [] for needs in NEEDS}
        for job in reversed(jobs):
            if job.is_asked("start") and self._may_try(job):
                needing[job.needs].append(job)
        for job in needing["little"]:
            self._start(job)
        for needs in ("torch", "machine"):
            if needing[needs] and not self._is_taken(needs, at_work, jobs):
                next(filter(self._start, needing[needs]), None)  # the first that can be started
        if self.launcher.has_standby or needing["machine"] or at_work:
            return  # asked first: to look at all jobs takes time, every second
        if not self._is_taken("machine", [], jobs):
            # Not while something needs the machine: importing would take one of its cores for five seconds.
            self.launcher.keep_warm()

    def _is_taken(self, needs: Needs, at_work: list[Job], jobs: list[Job]) -> bool:
        """Is a worker at a job with these needs, also one of an earlier app or of the command line?"""
        if any(job.needs == needs for job in at_work):
            return True
        return any(job.needs == needs for job in jobs if _is_active(job))

    def _may_try(self, job: Job) -> bool:
        trouble = self._troubles.get(job.folder)
        return trouble is None or time.monotonic() >= trouble.until

    def _start(self, job: Job) -> bool:
        """Send a worker to a job. False where that cannot be, or is not wanted any more: then it is another's turn.

        A job that cannot be started goes on waiting and is tried again after a pause, longer each time.
        """
        if not job.is_asked("start"):
            return False
        try:
            self._send(job)
        except Exception as error:  # its folder or its log, say: nothing that others should wait for
            before = self._troubles.get(job.folder)
            if before is None or str(error) != before.said:
                logger.exception("%s could not be started, and goes on waiting", job.folder)
            pause = min(2 * before.pause, LONGEST_PAUSE) if before else LOOK_EVERY
            self._troubles[job.folder] = _Trouble(str(error), pause, time.monotonic() + pause)
            return False
        self._troubles.pop(job.folder, None)
        return True

    def _send(self, job: Job) -> None:
        # A standby that cannot write the log would die of it without a word.
        os.close(os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        self.launcher.start(job)
        # Only after launch.json is there, so that no reader sees a job that neither waits nor starts.
        if not job.take("start") and _is_on_its_way(job):
            job.request("stop")  # somebody took the start back, and could not know that a worker was sent already


def _is_on_its_way(job: Job) -> bool:
    """Was a worker sent that has not come yet? One that has holds the lock, or has had its last word."""
    return not job.is_alive() and job.status().state == "starting"


def _is_active(job: Job) -> bool:
    """False also of a job that cannot be read: no other waits for it."""
    try:
        return job.status().is_active
    except Exception:  # whatever lies in one folder
        logger.exception("%s cannot be looked at", job.folder)
        return False


def _open_lock(root: Path) -> int:
    try:
        return os.open(root / ".app.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(
            "queue.no_lock",
            "{file} cannot be opened ({reason}). Delete it, and start again.",
            file=root / ".app.lock",
            reason=error.strerror,
        ) from error


def _is_mine(lock: int) -> bool:
    """Take the lock, unless another app has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
