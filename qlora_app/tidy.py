"""What lies on the disk, and what of it may go: what can be made again at any time, finished jobs of no run, and
answers that no evaluation reads any more.

A run, data, models, presets, and jobs that could go on are never touched.
"""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError
from .evaluate.kept_answers import unread
from .jobs import Job, JobStore
from .settings import Settings
from .storage.cache import bytes_of, remove
from .training_data.read_cache import FOLDER as READINGS

IN_USE = 600.0  # seconds since a cache was last used, within which somebody may still write to it


@dataclass(frozen=True)
class Usage:
    """What takes room in the home, in bytes."""

    total: int  # of the disk
    free: int
    runs: int
    tidied: int  # what `tidy` would free now

    @property
    def taken(self) -> int:
        """By whoever uses this disk."""
        return self.total - self.free


def usage(settings: Settings) -> Usage:
    """Looks at every file of the runs: it may take seconds."""
    disk = shutil.disk_usage(settings.home)
    tidied = sum(bytes_of(entry) for entry in _no_longer_used(settings)) + sum(_size(job) for job in _done(settings))
    return Usage(disk.total, disk.free, bytes_of(settings.runs) if settings.runs.is_dir() else 0, tidied)


def tidy(settings: Settings) -> int:
    """Removes what may go. Returns how many bytes that were."""
    freed = 0
    for entry in _no_longer_used(settings):
        count = bytes_of(entry)
        remove(entry)
        freed += count
    store = JobStore(settings.jobs)
    for job in _done(settings):
        count = _size(job)
        with contextlib.suppress(UserError, OSError):  # somebody was faster, or begins it again right now
            store.delete(job.id)
            freed += count
    return freed


def _no_longer_used(settings: Settings) -> list[Path]:
    """The lock of a file of answers stays: somebody may be about to take it, and it is empty."""
    return [*_old_caches(settings), *(file for file in unread(settings.evaluations) if _is_old(file))]


def _old_caches(settings: Settings) -> list[Path]:
    """Each a reading or the tokens of one dataset."""
    found = []
    for folder in (settings.tokens, settings.data / READINGS):
        with contextlib.suppress(OSError):
            found += [entry for entry in folder.iterdir() if _is_old(entry)]
    return found


def _is_old(entry: Path) -> bool:
    with contextlib.suppress(OSError):
        files = [entry, *entry.iterdir()] if entry.is_dir() else [entry]
        return time.time() - max(os.stat(file).st_mtime for file in files) > IN_USE
    return False


def _done(settings: Settings) -> list[Job]:
    return [job for job in JobStore(settings.jobs).list() if job.status().state == "done"]


def _size(job: Job) -> int:
    return bytes_of(job.folder)
