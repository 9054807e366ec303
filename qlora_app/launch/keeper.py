"""The process that sends what changes to the repository that keeps the runs, for as long as the page lives."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable

AGAIN = 60.0  # seconds between two starts
LONGEST_END = 60.0  # seconds in which the last of it is sent; that process goes on by itself after them


class Keeper:
    """It is started anew where it ends before the page does: the system may have taken it for its memory."""

    def __init__(self, say: Callable[[str], None], again: float = AGAIN) -> None:
        self._say, self._again = say, again
        self._start()

    def look(self) -> None:
        """Again and again, while the page lives."""
        code = self.process.poll()
        if code is not None and time.monotonic() - self._began >= self._again:
            self._say(f"What keeps the runs on the Hub ended with {code}, and is started again.")
            self._start()

    def close(self) -> None:
        """What has changed is sent once more."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(LONGEST_END)

    def _start(self) -> None:
        self._began = time.monotonic()
        self.process = subprocess.Popen([sys.executable, "-m", "qlora_app", "keep", "--while", str(os.getpid())])
