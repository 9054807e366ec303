"""Who rates: a login name, or a browser by a cookie that the server signed. And how often each may ask."""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from typing import Any

from starlette.requests import Request

from ...errors import UserError
from ...evaluate.arena import Arena, link_of
from ..door.origins import neighbourhood

COOKIE = "guanaco-rater"
LIVES = 180 * 86_400  # seconds
A_MINUTE = 60.0
MOST_ASKED = 60  # a minute, of one rater
MOST_OF_ADDRESS = 600  # a minute, of all raters of one address: a class sits behind one
MOST_NEW = 60  # raters a minute of one address
MOST_KNOWN = 20_000  # of whom it is remembered how much they asked


class RaterLimits:
    """Counts what was asked within the last minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, deque[float]] = OrderedDict()

    def ask(self, request: Request, rater: str) -> None:
        """Raises UserError where it is too much."""
        address = _address_of(request)
        self._count(f"rater {rater}", MOST_ASKED)
        self._count(f"address {address}", MOST_OF_ADDRESS)

    def come(self, request: Request) -> None:
        """Somebody new. Raises UserError as `ask` does."""
        self._count(f"new {_address_of(request)}", MOST_NEW)

    def _count(self, key: str, most: int) -> None:
        now = time.monotonic()
        with self._lock:
            asked = self._asked.setdefault(key, deque(maxlen=most))
            self._asked.move_to_end(key)
            while len(self._asked) > MOST_KNOWN:
                self._asked.popitem(last=False)
            if len(asked) == most and now - asked[0] < A_MINUTE:
                raise UserError("arena.too_fast", "That was very quick. Wait a minute, then go on.")
            asked.append(now)


def cookie_name(arena: Arena) -> str:
    """Of one arena: its votes cannot be told from those in another."""
    return f"{COOKIE}-{hashlib.sha256(arena.id.encode()).hexdigest()[:8]}"


def new_cookie(arena: Arena) -> str:
    """A random rater, signed, so that nobody makes up raters."""
    id = secrets.token_urlsafe(12)
    return f"{id}.{_signature(arena, id)}"


def rater_of(request: Request, arena: Arena, is_named: bool = True) -> str:
    """The login name, else a name made of the browser's cookie; "" for a browser that has none of ours.

    is_named: may whose arena it is know the login names of others? Else each is called by a word of that arena.
    """
    user = _logged_in(request)
    if user:
        return f"login:{user if is_named else _signature(arena, f'login {user}')[:12]}"
    id, _, signature = request.cookies.get(cookie_name(arena), "").rpartition(".")
    if not id or not hmac.compare_digest(signature.encode(), _signature(arena, id).encode()):
        return ""
    return f"visitor:{hashlib.sha256(id.encode()).hexdigest()[:12]}"


def _logged_in(request: Request) -> str:
    """As Gradio keeps it."""
    app: Any = request.scope.get("app")
    names = [f"access-token-{kind}{getattr(app, 'cookie_id', '')}" for kind in ("", "unsecure-")]
    tokens = getattr(app, "tokens", {})
    return next((str(tokens[request.cookies[name]]) for name in names if request.cookies.get(name) in tokens), "")


def _signature(arena: Arena, id: str) -> str:
    return hmac.new(link_of(arena).key.encode(), id.encode(), hashlib.sha256).hexdigest()[:32]


def near_of(request: Request, arena: Arena) -> str:
    """The same word for all raters of one neighbourhood of the network in one arena; it tells no address."""
    address = _address_of(request)
    return _signature(arena, f"near {address}")[:12] if address else ""


def _address_of(request: Request) -> str:
    return neighbourhood(request.client.host) if request.client else ""
