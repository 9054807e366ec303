"""Who did what on a page that others reach: a line of JSON for all that changes something, and for each login."""

import json
import logging
import time
from collections import OrderedDict
from contextvars import ContextVar
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.context import LocalContext

FILE = "audit.jsonl"
LARGEST, KEPT = 5_000_000, 4  # bytes of a file; the older ones that are kept beside it
LONGEST = 200  # characters of anything in it that somebody sent


class Asker(NamedTuple):
    """Who sent a request: the name they logged in with, or "", and their address."""

    user: str
    address: str


# Set at the door for what is answered at once; what waits in the queue is answered elsewhere: Gradio knows it there.
at_the_door: ContextVar[Asker | None] = ContextVar("at_the_door", default=None)


# {session: the name that its browser was known by}: Gradio knows only of those who logged in with it. The oldest go.
_sessions: OrderedDict[str, str] = OrderedDict()
MOST_SESSIONS = 5000


def remember(session: str, name: str) -> None:
    """Whose a session is, as the door has found out."""
    _sessions[session] = name
    _sessions.move_to_end(session)
    while len(_sessions) > MOST_SESSIONS:
        _sessions.popitem(last=False)


class Audit:
    """Lines are added, never changed. Without a folder nothing is written."""

    def __init__(self, folder: Path | None) -> None:
        self._log = logging.Logger("audit")
        if folder is not None:
            self._log.addHandler(_File(folder / FILE, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8", delay=True))

    def note(self, deed: str, about: Any = "", asker: Asker | None = None) -> None:
        """deed: what it is called here; about: the run or the name that it was done to."""
        if not self._log.handlers:
            return
        user, address = asker or who_asks()
        line = {"time": _now(), "user": user, "address": address, "deed": deed, "about": str(about)[:LONGEST]}
        self._log.info(json.dumps(line, ensure_ascii=False))


class _File(RotatingFileHandler):
    """For its owner's eyes only."""

    def _open(self) -> Any:
        Path(self.baseFilename).touch(mode=0o600)
        return super()._open()


def who_asks() -> Asker:
    """Of the request that is being answered; of nobody where it is none of a browser."""
    request = LocalContext.request.get(None)
    if not isinstance(request, gr.Request):  # it did not wait in the queue
        return at_the_door.get() or Asker("", "")
    name = request.username or _sessions.get(request.session_hash or "", "")
    return Asker(name, request.client.host if request.client else "")


def _now() -> str:
    """UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
