"""Passwords are tried slowly: every try is counted before it is passed on, wrong ones of an address make the next wait.

Nobody is locked out by others: a browser that has logged in before has a place of its own, known by a signed cookie,
and an address that has used up its free tries waits for the next one instead of being refused, while few wait with it.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path

from .origins import neighbourhood

COOKIE = "guanaco-device"
FREE = 5  # tries of an address, and of a known device, before the next one waits
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds; each wrong password doubles it
REMEMBERED = 900.0  # seconds after which wrong passwords are forgotten
WAITING = 4  # of one address at once, further ones are refused
OVERALL = 60  # tries a minute of all that are not known devices
DEVICE_DAYS = 180
MOST_ASKERS = 10_000
TOO_MANY = "Too many wrong passwords. Wait a minute, then try again."


@dataclass
class Tries:
    """Of one address, or one known device."""

    wrong: int = 0
    under_way: int = 0  # passed on, and not answered yet
    waiting: int = 0
    last: float = field(default_factory=time.monotonic)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def wait(self) -> float:
        """Seconds between the last wrong password and the next try."""
        beyond = self.wrong - FREE
        return 0.0 if beyond < 0 else min(LONGEST_WAIT, FIRST_WAIT * 2**beyond)


class LoginLimiter:
    """Lets tries through one at a time where there were many wrong ones."""

    def __init__(self, key_file: Path | None = None) -> None:
        """`key_file`: keeps the key that known devices are signed with, so that they stay known."""
        self._tries: OrderedDict[str, Tries] = OrderedDict()
        self._recent: deque[float] = deque()
        self._key_file = key_file
        self._key = b""

    # ---- tries

    async def may_try(self, client: str, device: str) -> bool:
        """Waits until a password may be tried, and counts it; False where it may not be tried at all. `ended` must
        follow where it may.
        """
        is_known = self.knows(device)
        tries = self._of(client, device if is_known else "")
        if not is_known and self._overall() >= OVERALL:
            return False
        if tries.wrong + tries.under_way < FREE:
            return self._begin(tries, is_known)
        if tries.waiting >= WAITING or (tries.wait >= LONGEST_WAIT and tries.waiting):
            return False
        tries.waiting += 1
        try:
            async with tries.turn:
                await asyncio.sleep(max(0.0, tries.last + tries.wait - time.monotonic()))
                return self._begin(tries, is_known)
        finally:
            tries.waiting -= 1

    def _begin(self, tries: Tries, is_known: bool) -> bool:
        tries.under_way += 1
        tries.last = time.monotonic()
        if not is_known:
            self._recent.append(tries.last)
        return True

    def ended(self, client: str, device: str, is_right: bool) -> bool:
        """A try was answered. Says whether its address has used up its free ones."""
        tries = self._of(client, device if self.knows(device) else "")
        tries.under_way = max(0, tries.under_way - 1)
        was_beyond = tries.wrong >= FREE
        if not is_right:
            tries.wrong += 1
            tries.last = time.monotonic()
        return was_beyond

    def _overall(self) -> int:
        """Tries of the last minute."""
        while self._recent and time.monotonic() - self._recent[0] > 60:
            self._recent.popleft()
        return len(self._recent)

    def _of(self, client: str, device: str) -> Tries:
        key = f"device {device}" if device else neighbourhood(client)
        tries = self._tries.pop(key, None)
        if tries is None or (not tries.under_way and time.monotonic() - tries.last > REMEMBERED):
            tries = Tries()
        self._tries[key] = tries
        while len(self._tries) > MOST_ASKERS:
            self._tries.popitem(last=False)
        return tries

    # ---- devices that have logged in

    def new_device(self) -> str:
        """What a browser is given once its password was right: a name, until when, and both signed."""
        named = f"{secrets.token_urlsafe(12)}.{int(time.time()) + DEVICE_DAYS * 86_400}"
        return f"{named}.{self._signature(named)}"

    def knows(self, device: str) -> bool:
        """Was this given by us, and not too long ago?"""
        named, _, signature = device.rpartition(".")
        until = named.rpartition(".")[2]
        if not until.isdecimal() or not hmac.compare_digest(signature.encode(), self._signature(named).encode()):
            return False
        return int(until) > time.time()

    def _signature(self, named: str) -> str:
        return hmac.new(self._secret(), named.encode(), hashlib.sha256).hexdigest()

    def _secret(self) -> bytes:
        if not self._key:
            self._key = self._kept_key()
        return self._key

    def _kept_key(self) -> bytes:
        made = secrets.token_bytes(32)
        if self._key_file is None:
            return made
        try:
            if self._key_file.is_file() and len(kept := self._key_file.read_bytes()) == 32:
                return kept
            self._key_file.touch(mode=0o600)
            self._key_file.write_bytes(made)
        except OSError:  # devices are known until the app ends
            pass
        return made
