"""What somebody wants of a job: one small file a wish, left by the page or the command line, taken by the worker."""

import contextlib
import os
import time
from pathlib import Path
from typing import Literal

# now: start it beside what is worked on. stop: finish what was begun and save; stop-now: nothing is saved; discard:
# delete it when it has ended
Wish = Literal["start", "now", "stop", "stop-now", "discard"]


class Wishes:
    """The requests/ folder of a job."""

    def __init__(self, job: Path) -> None:
        self.folder = job / "requests"

    def leave(self, wish: Wish) -> bool:
        """The last wish wins: a stop takes back a start nobody has followed yet, a start takes back an old stop.

        Returns whether that is all: a start was taken back, and no stop was left.
        """
        self.take("now")
        if wish == "start":
            self.forget_stop()
            self.take("discard")
        elif self.take("start"):
            return True
        self.put(wish)
        return False

    def put(self, wish: Wish) -> None:
        """Leave it beside all others. One that is there already keeps its time, and so its turn."""
        self.folder.mkdir(exist_ok=True, mode=0o700)
        if not self.is_asked(wish):
            (self.folder / wish).touch()
            self._set_time(wish, time.time_ns())  # finer than the file system's own clock: it tells who came first

    def turn(self) -> int:
        """When a start was asked for, in nanoseconds, unless somebody gave it another turn; 0 where none is."""
        try:
            return (self.folder / "start").stat().st_mtime_ns
        except OSError:
            return 0

    def set_turn(self, turn: int) -> None:
        """Another turn for a start that is still asked for; nothing where it was taken meanwhile."""
        self._set_time("start", turn)

    def _set_time(self, wish: Wish, at: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.folder / wish, ns=(at, at))

    def is_asked(self, wish: Wish) -> bool:
        return (self.folder / wish).exists()

    def wants_end(self) -> bool:
        """Did somebody ask for a stop, of either kind?"""
        return self.is_asked("stop") or self.is_asked("stop-now")

    def take(self, wish: Wish) -> bool:
        """Remove a wish; True for exactly one of all who try."""
        try:
            (self.folder / wish).unlink()
        except FileNotFoundError:
            return False
        return True

    def forget_stop(self) -> None:
        """Take back every wish to stop."""
        self.take("stop")
        self.take("stop-now")
