"""What is known of this machine, looked at in the background: whoever opens the drawer never waits for it."""

import functools
import logging
import threading
import time
from collections.abc import Callable

from ...doctor import BROKEN, GOOD, Finding, examine, looked_at
from ...settings import Settings
from ...tidy import Usage, tidy, usage

LOOKED_AT_AGAIN = 300.0  # seconds between looks that nobody asked for
MEASURED_AGAIN = 60.0  # seconds after which the disk is measured anew, while somebody looks

log = logging.getLogger(__name__)


class Checkup:
    """The findings of the doctor and what lies on the disk, as they were last seen. One look at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._looking = ""  # what is being done now: "look", "examine", "measure" or "tidy"
        self._wished: dict[str, Callable[[], None]] = {}  # {what is done next: the work}
        self._looked = self._measured = -LOOKED_AT_AGAIN
        self.findings: list[Finding] = []
        self.is_whole = False  # was everything tried, also what takes seconds?
        self.usage: Usage | None = None
        self.freed: int | None = None  # bytes, by the last tidying

    @property
    def is_examining(self) -> bool:
        return "examine" in (self._looking, *self._wished)

    @property
    def is_tidying(self) -> bool:
        return "tidy" in (self._looking, *self._wished)

    def mended(self) -> list[Finding]:
        """What is not as it should be, the worst first."""
        return sorted((one for one in self.findings if one.level != GOOD), key=lambda one: one.level != BROKEN)

    @property
    def level(self) -> str:
        """The worst that was found, of what hinders a training."""
        return BROKEN if any(one.level == BROKEN for one in self.findings) else ""

    def look_if_old(self) -> None:
        """Begin a quick look, and to measure the disk, where the last one was long ago."""
        now = time.monotonic()
        if now - self._looked > LOOKED_AT_AGAIN:
            self._begin("look", self._look)
        elif now - self._measured > MEASURED_AGAIN:
            self._begin("measure", self._measure)

    def examine(self) -> None:
        """Begin to look at everything and to try it out, at once or after what is done now."""
        self._wish("examine", self._examine)

    def tidy(self) -> None:
        """Begin to remove what may go, at once or after what is done now."""
        self._wish("tidy", self._tidy)

    def wait(self) -> None:
        """Until nothing is being looked at. For tests."""
        while self._looking:
            time.sleep(0.01)

    # ---- in a thread of its own

    def _wish(self, name: str, work: Callable[[], None]) -> None:
        """Somebody asked for it: where something else is being done now, it comes after that."""
        with self._lock:
            if self._looking and self._looking != name:
                self._wished[name] = work
        self._begin(name, work)

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        with self._lock:
            if self._looking:
                return
            self._wished.pop(name, None)
            self._looking = name
        threading.Thread(target=functools.partial(self._do, work), name=f"checkup {name}", daemon=True).start()

    def _do(self, work: Callable[[], None]) -> None:
        following: Callable[[], None] | None = work
        while following:
            try:
                following()
            except Exception:  # whatever a disk or a driver does: the page goes on, with what was known before
                log.exception("This machine could not be looked at")
            following = self._next()

    def _next(self) -> Callable[[], None] | None:
        """What was asked for meanwhile, the oldest first; None where nothing was."""
        with self._lock:
            self._looking = next(iter(self._wished), "")
            return self._wished.pop(self._looking, None)

    def _look(self) -> None:
        self._looked = time.monotonic()
        seen = list(looked_at(self._settings))
        self.findings = _with_older(seen, self.findings)
        self._measure()

    def _examine(self) -> None:
        self.is_whole = False
        found: list[Finding] = []
        for finding in examine(self._settings):
            found.append(finding)
            self.findings = _with_older(found, self.findings)
        self.findings, self.is_whole = found, True
        self._looked = time.monotonic()

    def _measure(self) -> None:
        self.usage = usage(self._settings)
        self._measured = time.monotonic()

    def _tidy(self) -> None:
        self.freed = tidy(self._settings)
        self._measure()


def _with_older(new: list[Finding], old: list[Finding]) -> list[Finding]:
    """What was found now, and what was found before of everything else."""
    names = {one.name for one in new}
    return [*new, *(one for one in old if one.name not in names)]
