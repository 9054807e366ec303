"""Start what waits: one job at a time of those that need the machine, the light ones beside it."""

import fcntl
import logging
import os
import threading
from pathlib import Path
from typing import Protocol

from ..jobs import Job
from ..jobs.job import NEEDS, Needs
from .local import LocalLauncher

LOOK_EVERY = 1.0  # seconds between looks at the queue when nobody wakes the supervisor

logger = logging.getLogger(__name__)


class Jobs(Protocol):
    """A store of jobs, as the queue sees it."""

    root: Path

    def every(self) -> list[Job]:
        """All jobs that are to be looked after, newest first."""


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
        self._woken, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(store.root / ".app.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

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
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
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
        waiting = [job for job in reversed(jobs) if job.is_asked("start")]
        needing: dict[Needs, list[Job]] = {needs: [] for needs in NEEDS}
        for job in waiting:
            needing[job.needs].append(job)
        for job in needing["little"]:
            self._start(job)
        for needs in ("torch", "machine"):
            first = next(iter(needing[needs]), None)
            if first and not self._is_taken(needs, at_work, jobs):
                self._start(first)
        is_idle = not needing["machine"] and not at_work and not self._is_taken("machine", [], jobs)
        if is_idle and not self.launcher.has_standby:
            # Not while something needs the machine: importing would take one of its cores for five seconds.
            self.launcher.keep_warm()

    def _is_taken(self, needs: Needs, at_work: list[Job], jobs: list[Job]) -> bool:
        """Is a worker at a job with these needs, also one of an earlier app or of the command line?"""
        if any(job.needs == needs for job in at_work):
            return True
        return any(job.needs == needs for job in jobs if job.status().is_active)

    def _start(self, job: Job) -> None:
        self.launcher.start(job)
        job.take("start")  # after launch.json is there, so that no reader sees a job that neither waits nor starts
