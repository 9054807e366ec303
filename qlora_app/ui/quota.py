"""How much a member may have at work and keep, and how much of the models' time one may take: said before it begins."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from ..errors import UserError
from ..jobs import Job
from ..settings import GB, PREFIX, Settings
from ..storage.disk import size_of

A_MINUTE = 60.0
COUNTED = 10.0  # seconds for which the size of a home is remembered


class Quota:
    """Of one member. What waits and what is kept is counted in their home, so that a restart changes nothing."""

    def __init__(self, settings: Settings, moving: Callable[[], Sequence[Job]]) -> None:
        self._settings, self._moving = settings, moving
        self._size, self._counted = 0, float("-inf")

    def check(self, more: int = 1) -> None:
        """Raises UserError where so many more jobs are too many, or the home holds too much already."""
        most, has = self._settings.member_jobs, len(self._moving())
        if has + more > most:
            raise UserError(
                "member.too_many_jobs",
                "{has} of your jobs wait or are worked on, and {more} more would pass {most}, the most that a member "
                "may have. Wait for one, or take one out. The owner sets {prefix}MEMBER_JOBS.",
                has=has,
                more=more,
                most=most,
                prefix=PREFIX,
            )
        self.check_space()

    def check_space(self, bytes_more: int = 0) -> None:
        """Raises UserError where the home holds, or would hold, more than it may."""
        size, most = self.size() + bytes_more, self._settings.member_gb
        if size > most * GB:
            raise UserError(
                "member.no_room",
                "Your home would hold {size:.1f} GB, and {most} GB is the most that a member may keep. Delete runs or "
                "data that you need no longer. The owner sets {prefix}MEMBER_GB.",
                size=size / GB,
                most=most,
                prefix=PREFIX,
            )

    def size(self) -> int:
        """Bytes in the home, as of some seconds ago."""
        if time.monotonic() - self._counted > COUNTED:
            self._size, self._counted = size_of(self._settings.home), time.monotonic()
        return self._size


class Tokens:
    """Those that models wrote in the last minute, for each who asked."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """most: a minute; 0 for any number."""
        self.most, self._clock = most, clock
        self._lock = threading.Lock()
        self._written: deque[tuple[float, str, int]] = deque()
        self._sums: Counter[str] = Counter()

    def check(self, who: str) -> None:
        """Raises UserError for whoever has had as many as one may have."""
        with self._lock:
            self._forget()
            has = self._sums[who]
        if self.most and has >= self.most:
            raise UserError(
                "chat.tokens_used",
                "The models wrote {has:,} tokens for you within a minute, and {most:,} is the most. Ask again in a "
                "moment.",
                has=has,
                most=self.most,
            )

    def add(self, who: str, count: int) -> None:
        """So many were written."""
        with self._lock:
            self._forget()
            self._written.append((self._clock(), who, count))
            self._sums[who] += count

    def _forget(self) -> None:
        while self._written and self._clock() - self._written[0][0] > A_MINUTE:
            _, who, count = self._written.popleft()
            self._sums[who] -= count
            if self._sums[who] <= 0:
                del self._sums[who]
