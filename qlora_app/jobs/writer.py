"""Whatever is written into a job's folder while it is worked on. Only who holds the lock has one of these."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import Stopped, with_code
from ..storage.disk import is_full
from ..storage.files import append_line, open_for_writing, replace_in_place, write_json
from ..storage.process import ProcessFile
from .lock import HeldLock
from .status import State, Status
from .wishes import Wishes

STATUS_EVERY = 0.3  # seconds; people cannot read faster
LAUNCH_FILE = "launch.json"
WAITING_FILE = "waiting.json"  # why it could not be started so far
SPARE = "spare"  # a file that is given up for the last word, when the disk is full
_SPARE_BYTES = 64 * 1024


class JobWriter:
    """The one writer of a job's files. Job.hold() makes it, and its lock says how long it may write."""

    def __init__(self, folder: Path, lock: HeldLock, status: Status) -> None:
        self.folder = folder
        self.status = status  # as last said, or about to be
        self._lock = lock
        self._wishes = Wishes(folder)
        self._began = time.monotonic()
        self._last_news = 0.0
        self.said_at = self._began  # as time.monotonic() says it: the last time something was written
        self.may_be_left = False  # may the work be broken off at any moment?
        self.is_over = False  # is the last word being said, and are wishes no concern of this worker's any more?
        self.attempt = 0  # of an engine that started it; 0: of this machine
        # A stop that was there before the worker came is followed where the work asks for it itself, a training after
        # its first step: so one can be had that ends after a single one.
        self.stop_came_first = False

    # ---- what happens

    def say(self, sentence: str, **changes: Any) -> None:
        """Change the status at once: the sentence, and any other field of it by name."""
        self.status = replace(self.status, sentence=sentence, **changes)
        self.write_status()

    def progress(self, done: int, total: int, sentence: str = "") -> None:
        """So much of so much is done; written a few times a second. Raises Stopped when somebody asked for an end."""
        self.said_at = time.monotonic()
        seconds = self.said_at - self._began
        self.status = replace(
            self.status, state="running", step=done, total=total, sentence=sentence, seconds=round(seconds, 2)
        )
        if time.monotonic() - self._last_news > STATUS_EVERY:
            self._last_news = time.monotonic()
            self.write_status(lasting=False)
        self.check()

    def check(self) -> None:
        """Raises Stopped when somebody asked for an end."""
        if self.is_asked_to_stop():
            raise Stopped

    def is_asked_to_stop(self) -> bool:
        return self._wishes.wants_end()

    def is_superseded(self) -> bool:
        """Was a later worker sent? Where a lock is not seen from everywhere, this keeps two from writing."""
        return 0 < self.attempt < ProcessFile(self.folder / LAUNCH_FILE).attempt()

    def begin(self, before: Status, sentence: str) -> None:
        """Say that it is begun, with the figures of the part `before`. Raises OSError where nothing can be written."""
        self.status = replace(before, state="starting", sentence=sentence, seconds_left=None, warnings=[])
        self.write_status()
        (self.folder / WAITING_FILE).unlink(missing_ok=True)

    @contextlib.contextmanager
    def leaving(self) -> Iterator[None]:
        """Meanwhile a stop breaks off whatever is done, also in the middle: nothing that is kept is lost by it.

        Raises Stopped then. Work that takes long and does not ask itself, such as loading a model, belongs in here.
        """
        self.may_be_left = not self.stop_came_first
        self.leave_if_asked()
        try:
            yield
            self.leave_if_asked()
        finally:
            self.may_be_left = False

    def leave_if_asked(self) -> None:
        """Raises Stopped where the work may be left and somebody asked for an end."""
        if self.may_be_left:
            self.check()

    def end(self, state: State, sentence: str) -> None:
        """The last word: no time is left, whatever was expected."""
        self.may_be_left, self.is_over = False, True  # the last word is not interrupted
        with contextlib.suppress(OSError):
            self._wishes.forget_stop()
        self.status = replace(self.status, sentence=sentence, state=state, seconds_left=None)
        try:
            self.write_status()
        except OSError as error:
            if not is_full(error):
                raise
            self._write_last_word()

    def keep_spare(self) -> None:
        """Room for the last word. Raises OSError where there is none."""
        with os.fdopen(open_for_writing(self._mine(SPARE), os.O_WRONLY | os.O_TRUNC), "wb") as file:
            file.write(bytes(_SPARE_BYTES))

    def drop_spare(self) -> None:
        """It is not needed any more, or needed now."""
        with contextlib.suppress(OSError):
            (self.folder / SPARE).unlink()

    def _write_last_word(self) -> None:
        """On a full disk: in the room that was kept, else in the place of the word before."""
        self.drop_spare()
        try:
            self.write_status()
        except OSError:
            replace_in_place(self.folder / "status.json", json.dumps(with_code(asdict(self.status))))

    # ---- files

    def write_status(self, lasting: bool = True) -> None:
        """status.json as `self.status` is. `lasting` as in `replace_file`."""
        self.write("status", with_code(asdict(self.status)), lasting)

    def write(self, name: str, value: Any, lasting: bool = True) -> None:
        """Replace NAME.json whole."""
        write_json(self._mine(f"{name}.json"), value, lasting)

    def append(self, name: str, row: Mapping[str, Any]) -> int:
        """Add a line to NAME.jsonl; returns the file's size after it, where the next one begins."""
        return append_line(self._mine(f"{name}.jsonl"), row)

    def _mine(self, name: str) -> Path:
        if not self._lock.is_held:
            raise RuntimeError(f"{self.folder.name}: its lock was let go, so {name} is another worker's to write.")
        self.said_at = time.monotonic()
        return self.folder / name
