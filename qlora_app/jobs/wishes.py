"""What somebody wants of a job: one small file a wish, left by the page or the command line, taken by the worker."""

import contextlib
import os
from pathlib import Path
from typing import Literal

from .turn import ASKED_FILE, next_turn, read_turn, write_turn

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
        """Leave it beside all others. A start that is there already keeps its turn."""
        self.folder.mkdir(exist_ok=True, mode=0o700)
        if self.is_asked(wish):
            return
        (self.folder / wish).touch()
        if wish == "start":
            with contextlib.suppress(OSError):  # a full disk has room for an empty file: then its time is its turn
                self.set_turn(next_turn(self._root()))

    def turn(self) -> int:
        """The smaller one's start comes first; 0 where none is asked for."""
        return read_turn(self.folder / "start")

    def set_turn(self, turn: int) -> None:
        """Another turn for a start that is still asked for; nothing where it was taken meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            file = os.open(self.folder / "start", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                write_turn(file, turn)
            finally:
                os.close(file)

    def _root(self) -> Path:
        """The folder of jobs in which turns are given: a job may be one of a run."""
        beside, above = self.folder.parents[1], self.folder.absolute().parents[2].parent
        return above if (above / ASKED_FILE).exists() else beside

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
