"""The pulse of a worker: a thread of it that says every second that the process runs, and when its work last moved.

A held lock proves that a process is there, not that it does anything: it may be halted, wait for itself, or for a disk.
The times are those of the machine's own clock, which nobody sets.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import Problem
from ..storage.files import open_for_writing
from ..storage.process import process_start
from ..storage.reading import read_text
from .lock import ALREADY_RUNNING
from .writer import JobWriter

PULSE = "pulse"  # the file in a job's folder, while somebody works there
EVERY = 1.0  # seconds
SILENT_AFTER = 6.0  # seconds without a beat
STILL_AFTER = 8.0  # seconds without anything new
PATIENCE = 6.0  # seconds that a worker has to follow a stop where nothing is lost by ending it
_SOME_WORK = 0.03  # processor seconds between two beats that are more than the pulse itself
_LARGEST = 1000  # bytes of the file
_LENGTH = 128  # bytes, so that it is always written in its own place, also on a full disk


@dataclass(frozen=True)
class Sign:
    """What a worker last said of itself; times as of time.monotonic()."""

    beat: float  # when its pulse last beat
    worked: float  # when it last computed, or said something new
    said: float  # when it last said something new
    pid: int
    started: float

    def words(self) -> str:
        """The sentence of a worker that is silent, or long at one thing; empty while it says something new."""
        now = time.monotonic()
        silent = now - (self.beat if now - self.beat > SILENT_AFTER else self.worked)
        if silent > SILENT_AFTER:
            return no_sign_of_life(silent)
        seconds = now - self.said
        if seconds <= STILL_AFTER:
            return ""
        return Problem("job.long_at_one_thing", "Nothing new for {seconds:.0f} s, but it works.", seconds=seconds)


def no_sign_of_life(seconds: float) -> Problem:
    """The sentence of a worker that does nothing."""
    return Problem(
        "job.no_sign_of_life",
        'No sign of life for {seconds:.0f} s. If that does not change, press "End it now".',
        seconds=seconds,
    )


def last_sign(folder: Path) -> Sign | None:
    """What the worker of the job in `folder` last said of itself; None where it said nothing."""
    try:
        beat, worked, said, pid, started = read_text(folder / PULSE, _LARGEST).split()
        sign = Sign(float(beat), float(worked), float(said), int(pid), float(started))
    except (OSError, ValueError):
        return None
    return sign if process_start(sign.pid) == sign.started else None  # else it is of a worker before


class Pulse:
    """Beats in the `with`, and sees to it that a stop is followed where the work may be left at any moment.

    It must be made in the main thread. `words` says what becomes of a job that is ended by force, because it did not
    follow.
    """

    def __init__(self, out: JobWriter, words: Callable[[], str]) -> None:
        self.out, self._words = out, words
        self._path = out.folder / PULSE
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="pulse", daemon=True)
        self._me = f"{os.getpid()} {process_start(os.getpid())}"
        self._used, self._used_by_children, self._worked = time.process_time(), 0.0, time.monotonic()
        self._asked_at: float | None = None

    def __enter__(self) -> "Pulse":
        self._before = signal.signal(signal.SIGUSR1, lambda *_: self.out.leave_if_asked())
        self._beat_quietly()  # at once: the one before may have left its own
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join(timeout=5)
        signal.signal(signal.SIGUSR1, self._before)
        self._path.unlink(missing_ok=True)

    def _beat_on(self) -> None:
        while True:
            self._beat_quietly()
            self._leave_to_a_later_one()
            self._hurry()
            if self._ended.wait(EVERY):
                return

    def _beat_quietly(self) -> None:
        with contextlib.suppress(OSError):  # a full disk, say: then nobody hears it for a while
            self._beat()

    def _beat(self) -> None:
        now = time.monotonic()
        if self._has_worked():
            self._worked = now
        said = self.out.said_at
        text = f"{now:.2f} {max(said, self._worked):.2f} {said:.2f} {self._me}\n"
        file = open_for_writing(self._path, os.O_WRONLY)
        try:
            os.pwrite(file, text.encode().ljust(_LENGTH), 0)
        finally:
            os.close(file)

    def _leave_to_a_later_one(self) -> None:
        """End this process without a word where another one was sent."""
        if self.out.is_superseded():
            print("A later worker was sent, so this one ends.", flush=True)
            os._exit(ALREADY_RUNNING)

    def _has_worked(self) -> bool:
        """Has this process computed since the last beat, this thread left out, or one that it started?"""
        used = time.process_time() - time.thread_time()
        has_worked, self._used = used - self._used > _SOME_WORK, used
        if has_worked:
            return True
        used = _used_by_children()
        has_worked, self._used_by_children = used - self._used_by_children > _SOME_WORK, used
        return has_worked

    def _hurry(self) -> None:
        """Interrupt the main thread where somebody asked for an end; where even that does not help, end the process."""
        if not (self.out.may_be_left and self.out.is_asked_to_stop()):
            self._asked_at = None
            return
        now = time.monotonic()
        self._asked_at = self._asked_at or now
        if now - self._asked_at < PATIENCE:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            return
        self.out.end("stopped", self._words())
        self._path.unlink(missing_ok=True)
        os._exit(0)


def _used_by_children() -> float:
    """Processor seconds of all living processes that this one has started, and they in turn."""
    import psutil

    used = 0.0
    with contextlib.suppress(psutil.Error):  # one has ended meanwhile: the next beat tells
        for child in psutil.Process().children(recursive=True):
            times = child.cpu_times()
            used += times.user + times.system
    return used
