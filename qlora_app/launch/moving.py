"""Which jobs wait or are worked on. To look at thousands of folders takes time, so they are looked at only when
somebody said that something is new.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..jobs import Job
from ..jobs.turn import ASKED_FILE
from ..storage.reading import is_short_of_means

SCAN_EVERY = 300.0  # seconds after which all jobs are looked at though nobody said that anything is new

logger = logging.getLogger(__name__)


class Jobs(Protocol):
    """A store of jobs, as the queue sees it."""

    root: Path

    def every(self) -> list[Job]:
        """All jobs that are to be looked after, newest first."""

    def sweep(self) -> None:
        """Remove what is left of jobs that were being made or deleted when a program ended."""


class Moving:
    """The jobs of some stores that wait or are worked on. Any thread may ask."""

    def __init__(self, stores: Sequence[Jobs]) -> None:
        self._stores = list(stores)
        self._lock = threading.Lock()
        self._jobs: list[Job] = []
        self._marks: list[int] = []  # of the stores when all jobs were looked at
        self._scanned_at = -math.inf

    def jobs(self) -> list[Job]:
        """Newest first."""
        with self._lock:
            self._scan_if_new()
            self._jobs = [job for job in self._jobs if _is_moving(job)]
            return list(self._jobs)

    def add(self, stores: Sequence[Jobs]) -> None:
        """Those of other stores too."""
        with self._lock:
            self._stores += stores

    def look_anew(self) -> None:
        """Look at all jobs the next time."""
        self._scanned_at = -math.inf

    def _scan_if_new(self) -> None:
        marks = [_mark(store.root) for store in self._stores]
        now = time.monotonic()
        if marks == self._marks and now - self._scanned_at < SCAN_EVERY:
            return
        self._marks, self._scanned_at = marks, now
        self._jobs = [job for store in self._stores for job in store.every()]


def _is_moving(job: Job) -> bool:
    """Does it wait, or is somebody at it? False also of a job that cannot be read: no other waits for it. True where
    that cannot be told for a while.
    """
    try:
        return job.is_asked("start") or job.is_alive() or job.is_at_engine()
    except Exception as error:  # whatever lies in one folder
        if is_short_of_means(error):
            return True
        logger.exception("%s cannot be looked at", job.folder)
        return False


def _mark(root: Path) -> int:
    """Another one whenever a job below `root` was asked to start, or begun."""
    mark = root / ASKED_FILE
    try:
        return mark.stat().st_mtime_ns
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            mark.touch(mode=0o600)
        return 0
    except OSError:
        return 0
