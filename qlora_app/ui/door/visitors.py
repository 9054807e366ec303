"""Who is on the page: which browser a session belongs to, and whether anybody listens to what is answered there."""

import hashlib
import re
import secrets
import threading
import time
from collections import Counter, OrderedDict
from typing import NamedTuple

from .origins import neighbourhood

COOKIE = "guanaco-visitor"
MOST_SESSIONS = 5000
MOST_OF_ONE = 500  # sessions of one address
MOST_STREAMS = 120  # that one address listens to at once
LONGEST_SESSION = 128  # characters of its name
PATIENCE = 6.0  # seconds between a question and the first ear for its answer


class Session(NamedTuple):
    """A page in a browser."""

    owner: str  # mark of the browser it belongs to
    address: str


class Visitors:
    """Sessions are named by the browsers themselves, so the first that uses a name keeps it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._of_address: Counter[str] = Counter()
        self._listening: Counter[str] = Counter()
        self._heard: dict[str, float] = {}  # when a session was last listened to, or began
        self._unheard: set[str] = set()  # sessions that have asked, and not listened since
        self._streams: Counter[str] = Counter()
        self.is_closing = False  # nobody is let in any more
        self.is_watched = False  # has a door in front that sees who listens

    def new_mark(self) -> str:
        """What a browser without one is given, as a cookie."""
        return secrets.token_urlsafe(16)

    def claim(self, session: str, mark: str, client: str) -> str:
        """Why somebody may not use a session, "" if they may. `mark`: the browser's cookie, "" without one."""
        if len(session) > LONGEST_SESSION:
            return "That is no session."
        address = neighbourhood(client)
        owner, nameless = _hashed(mark or address), _hashed(address)
        with self._lock:
            known = self._sessions.get(session)
            if known is None:
                return self._enter(session, Session(owner, address))
            self._sessions.move_to_end(session)
            if known.owner == nameless:  # its browser was given a mark meanwhile, by another page
                known = self._sessions[session] = known._replace(owner=owner)
        return "" if known.owner == owner else "That session belongs to somebody else. Load the page again."

    def _enter(self, session: str, new: Session) -> str:
        self.is_watched = True
        if self._of_address[new.address] >= MOST_OF_ONE:
            self._forget_idle(new.address)
        if self._of_address[new.address] >= MOST_OF_ONE:
            return "Too many pages are open from your address. Close some, then load this one again."
        while len(self._sessions) >= MOST_SESSIONS:
            self._forget(next(iter(self._sessions)))
        self._sessions[session] = new
        self._of_address[new.address] += 1
        self._heard[session] = time.monotonic()
        return ""

    def _forget_idle(self, address: str) -> None:
        mine = [name for name, one in self._sessions.items() if one.address == address]
        idle = [name for name in mine if not self._listening[name]]
        for name in idle[: MOST_OF_ONE // 2]:
            self._forget(name)

    def _forget(self, session: str) -> None:
        one = self._sessions.pop(session)
        self._of_address[one.address] -= 1
        if not self._of_address[one.address]:
            del self._of_address[one.address]
        self._heard.pop(session, None)
        self._unheard.discard(session)

    # ---- who listens

    def listen(self, session: str, client: str) -> str:
        """Somebody begins to listen. Why they may not, "" if they may: then `leave` must follow."""
        address = neighbourhood(client)
        with self._lock:
            if self._streams[address] >= MOST_STREAMS:
                return "Too many pages are open from your address. Close some, then load this one again."
            self._streams[address] += 1
            self._listening[session] += 1
            self._unheard.discard(session)
            self._heard[session] = time.monotonic()
        return ""

    def leave(self, session: str, client: str) -> None:
        """Somebody has stopped listening."""
        address = neighbourhood(client)
        with self._lock:
            for counter, key in ((self._streams, address), (self._listening, session)):
                counter[key] -= 1
                if counter[key] <= 0:
                    del counter[key]
            if session in self._sessions:
                self._heard[session] = time.monotonic()
            else:
                self._heard.pop(session, None)

    def asked(self, session: str) -> None:
        """A question has come: there is a moment to begin to listen, once."""
        with self._lock:
            if session in self._sessions and session not in self._unheard:
                self._unheard.add(session)
                self._heard[session] = time.monotonic()

    def owner_of(self, session: str) -> str:
        """The mark of the browser that a session belongs to."""
        known = self._sessions.get(session)
        return known.owner if known else ""

    def pages(self) -> int:
        """How many are open: somebody listens there."""
        with self._lock:
            return sum(count > 0 for count in self._listening.values())

    def listens(self, session: str) -> bool:
        """Does anybody listen to a session now?"""
        return not self.is_watched or self._listening[session] > 0

    def drop(self, session: str) -> None:
        """What is asked there is not answered, unless somebody begins to listen."""
        with self._lock:
            self._heard.pop(session, None)

    def hears(self, session: str) -> bool:
        """Does anybody listen to a session, or did so a moment ago?"""
        if not self.is_watched:
            return True
        with self._lock:
            return self._listening[session] > 0 or time.monotonic() - self._heard.get(session, 0.0) < PATIENCE


def is_mark(text: str) -> bool:
    """Does it look like one of ours? Anything else is not written into an answer again."""
    return re.fullmatch(r"[\w-]{22}", text, re.ASCII) is not None


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
