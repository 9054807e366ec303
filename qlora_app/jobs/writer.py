"""Whatever is written into a job's folder while it is worked on. Only who holds the lock has one of these."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import Stopped, with_code
from ..storage.files import append_line, write_json
from .lock import HeldLock
from .status import State, Status
from .wishes import Wishes

STATUS_EVERY = 0.3  # seconds; people cannot read faster


class JobWriter:
    """The one writer of a job's files. Job.hold() makes it, and its lock says how long it may write."""

    def __init__(self, folder: Path, lock: HeldLock, status: Status) -> None:
        self.folder = folder
        self.status = status  # as last said, or about to be
        self._lock = lock
        self._wishes = Wishes(folder)
        self._began = time.monotonic()
        self._last_news = 0.0

    # ---- what happens

    def say(self, sentence: str, **changes: Any) -> None:
        """Change the status at once: the sentence, and any other field of it by name."""
        self.status = replace(self.status, sentence=sentence, **changes)
        self.write_status()

    def progress(self, done: int, total: int, sentence: str = "") -> None:
        """So much of so much is done; written a few times a second. Raises Stopped when somebody asked for an end."""
        seconds = time.monotonic() - self._began
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

    def end(self, state: State, sentence: str) -> None:
        """The last word: no time is left, whatever was expected."""
        self._wishes.forget_stop()
        self.say(sentence, state=state, seconds_left=None)

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
        return self.folder / name
