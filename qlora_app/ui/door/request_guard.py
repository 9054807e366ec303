"""The door: ASGI middleware in front of everything that Gradio serves."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from starlette.requests import cookie_parser

from ...settings import Settings
from ..audit import Asker, Audit, at_the_door
from ..frame.login import KEPT_QUERY, WRONG, login_page
from ..guard import DEMONSTRATION
from ..language import language_of
from . import bodies, logins, routes, visitors
from .bodies import Body, Held, Received, TooMuchError
from .document import Documents, as_accepted
from .logins import TOO_MANY, LoginLimiter
from .origins import Came, Origins, neighbourhood
from .visitors import Visitors

# Where a Hugging Face Space is shown inside a frame.
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'self' https://huggingface.co https://*.hf.space"),
]
NOT_LOGGED_IN = "Log in first."
NOTHING_HERE = "There is nothing at this address."
LONGEST_FIELD = 500  # characters of a login form
A_QUERY = re.compile(r"[\w.~%&=+-]+", re.ASCII)
LIVES = 30 * 86_400  # seconds a browser keeps its mark

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Asked(NamedTuple):
    """A request at the door."""

    scope: MutableMapping[str, Any]  # as those behind the door get it
    came: Came
    headers: dict[bytes, str]
    cookies: dict[str, str]

    @property
    def path(self) -> str:
        path: str = self.scope["path"]
        return path

    @property
    def is_login(self) -> bool:
        return self.path.rstrip("/") == "/login" and self.scope["method"] == "POST"

    @property
    def is_page(self) -> bool:
        """Does a browser open the page, or the address its login was sent to?"""
        return self.path.rstrip("/") in ("", "/login") and self.scope["method"] in ("GET", "HEAD")

    @property
    def opens(self) -> bool:
        """Does a browser fetch the page itself?"""
        return self.path == "/" and self.scope["method"] == "GET"

    @property
    def wants_page(self) -> bool:
        """Is it a browser that shows what comes, and no script?"""
        return "text/html" in self.headers.get(b"accept", "").lower()

    @property
    def language(self) -> str:
        return language_of(self.headers.get(b"accept-language"))

    @property
    def has_files(self) -> bool:
        return "multipart" in self.headers.get(b"content-type", "").lower()

    @property
    def is_upload(self) -> bool:
        return self.has_files and self.path.rstrip("/") == routes.UPLOAD

    @property
    def mark(self) -> str:
        return self.cookies.get(visitors.COOKIE, "")

    @property
    def device(self) -> str:
        return self.cookies.get(logins.COOKIE, "")


class RequestGuard:
    """Answers what may not come in with a refusal, lets the rest pass, and adds careful headers."""

    def __init__(
        self,
        app: Callable,
        settings: Settings,
        own_name: str = "",
        visitors: Visitors | None = None,
        audit: Audit | None = None,
    ) -> None:
        """`own_name`: the public host where the settings name none, as on a Space, which is shown in a frame."""
        self.app = app
        self.audit = audit or Audit(None)
        self.settings = settings
        self.origins = Origins(settings, [own_name])
        self.visitors = visitors or Visitors()
        self.guesses = LoginLimiter(settings.home / ".devices")
        self.in_frame = bool(own_name)
        self.documents = Documents()
        self.held = Held(bodies.OF_ADDRESS_VISITING if settings.is_demonstration else bodies.OF_ADDRESS)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # the page uses none
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = _joined(scope["headers"])
        came = self.origins.read(scope, headers)
        asked = Asked(self.origins.told(scope, came), came, headers, cookie_parser(headers.get(b"cookie", "")))
        problem = self.origins.refusal(scope, headers, came)
        status, problem = (403, problem) if problem else self._refused_route(asked)
        receive = Received(receive)
        if problem:
            await _refuse(asked, receive, send, status, problem)
            return
        asker = Asker(self._logged_in_as(asked), came.client)
        at_the_door.set(asker)
        if routes.who_may(asked.path) == "owner" and asked.scope["method"] == "POST" and not asked.is_upload:
            self.audit.note(asked.path, asker=asker)
        answer = _Answer(send, self._cookies_for(asked), self.in_frame, came.scheme == "https")
        if asked.is_page and self.settings.login and not self._is_logged_in(asked):
            query = asked.scope.get("query_string", b"").decode("latin-1")
            await answer.page(200, login_page(asked.language, query=query))
            return
        try:
            await self._let_in(asked, receive, answer)
        except TooMuchError as error:
            if answer.has_begun:
                return
            if asked.is_login and asked.wants_page:
                await answer.page(error.status, login_page(asked.language, error.sentence))
                return
            await _refuse(asked, receive, send, error.status, error.sentence)

    def _refused_route(self, asked: Asked) -> tuple[int, str]:
        """(status, why the address is refused), (0, "") where it is not.

        Files come as multipart requests, at several addresses of Gradio's, which keeps them on the disk before any
        handler is asked.
        """
        who = routes.who_may(asked.path)
        if who == "assistant" and not self.settings.mcp:
            return 404, NOTHING_HERE
        if who == "nobody" or routes.asks_for_kept_state(asked.scope.get("query_string", b"")):
            return 404, NOTHING_HERE
        if self.settings.is_demonstration and (who in ("owner", "program") or asked.has_files):
            return 403, DEMONSTRATION
        if who not in ("anybody", "program", "rater") and self.settings.login and not self._is_logged_in(asked):
            return 401, NOT_LOGGED_IN
        return 0, ""

    def _is_logged_in(self, asked: Asked) -> bool:
        """As Gradio has it; not all of its routes ask."""
        app = asked.scope.get("app")
        if app is None or not hasattr(app, "cookie_id"):
            return True
        return any(token in app.tokens for token in _tokens(app, asked))

    def _logged_in_as(self, asked: Asked) -> str:
        """The name somebody has logged in with; "" where nobody has."""
        app = asked.scope.get("app")
        if app is None or not hasattr(app, "cookie_id"):
            return ""
        return next((str(app.tokens[token]) for token in _tokens(app, asked) if token in app.tokens), "")

    async def _let_in(self, asked: Asked, receive: Callable, answer: "_Answer") -> None:
        if routes.who_may(asked.path) == "program":  # shows a key behind the door, before anything it sends is read
            await self.app(asked.scope, receive, answer)
            return
        is_before_login = routes.who_may(asked.path) in ("anybody", "rater")
        limit = bodies.most(self.settings, asked.is_upload, is_before_login)
        bodies.check_length(asked.headers, limit, asked.is_upload)
        if routes.is_stream(asked.path):
            await self._listen(asked, receive, answer)
        elif asked.opens:
            await self._open(asked, receive, answer)
        elif asked.is_upload:
            await self.app(asked.scope, bodies.counted(receive, limit), answer)
        elif asked.scope["method"] == "POST":
            is_patient = not is_before_login and not self.settings.is_demonstration
            with Body(self.held, neighbourhood(asked.came.client)) as body:
                content = await body.read(receive, limit, is_patient)
                await self._pass_on(asked, content, receive, answer)
        else:
            await self.app(asked.scope, receive, answer)

    async def _pass_on(self, asked: Asked, content: bytes, receive: Callable, answer: "_Answer") -> None:
        """What was sent is all there."""
        if asked.is_login:
            await self._log_in(asked, content, receive, answer)
            return
        self._claim(asked, _session_in(content))
        await self.app(asked.scope, bodies.again(content, receive), answer)

    async def _open(self, asked: Asked, receive: Callable, answer: "_Answer") -> None:
        """The page. With a login Gradio writes into it who it is for, and is asked each time."""
        place = (asked.came.scheme, asked.came.host)
        packed = None if self.settings.login else self.documents.known(place)
        if packed is None:
            answer.withheld = True
            await self.app(asked.scope, receive, answer)
            if answer.status != 200:
                await answer.release()
                return
            packed = await asyncio.to_thread(self.documents.packed, place, answer.body())
        await answer.whole(200, *as_accepted(packed, asked.headers.get(b"accept-encoding", "")))

    # ---- logins

    async def _log_in(self, asked: Asked, content: bytes, receive: Callable, answer: "_Answer") -> None:
        """A script is answered as Gradio does it; whoever filled in the form is led on, or shown it again."""
        client = asked.came.client
        if not await self.guesses.may_try(client, asked.device):
            raise TooMuchError(429, TOO_MANY)
        is_right = False
        try:
            answer.withheld = True
            await self.app(asked.scope, bodies.again(content, receive), answer)
            is_right = answer.status in (200, 302)  # without a login every try leads to the page
        finally:
            was_beyond = self.guesses.ended(client, asked.device, is_right)
            if self.settings.login:  # without one every try leads to the page, and says nothing of who it is
                named = Asker(_field(content, "username") if is_right else "", client)
                self.audit.note("logged in" if is_right else "a wrong password", asker=named)
        if answer.status == 400 and was_beyond:
            raise TooMuchError(429, TOO_MANY)
        if answer.status == 200 and not self.guesses.knows(asked.device):
            answer.cookies.append(
                _cookie(logins.COOKIE, self.guesses.new_device(), answer, logins.DEVICE_DAYS * 86_400)
            )
        if not asked.wants_page:
            await answer.release()
        elif is_right:
            await answer.lead_on(f"./{_query_of(content)}")
        else:
            await answer.page(
                401, login_page(asked.language, WRONG, _field(content, "username"), _query_of(content)[1:])
            )

    # ---- sessions

    async def _listen(self, asked: Asked, receive: Callable, answer: "_Answer") -> None:
        session = _session_of_stream(asked)
        self._claim(asked, session)
        if problem := self.visitors.listen(session, asked.came.client):
            raise TooMuchError(429, problem)
        try:
            await self.app(asked.scope, receive, answer)
        finally:
            self.visitors.leave(session, asked.came.client)

    def _claim(self, asked: Asked, session: str) -> None:
        """Raises TooMuchError for a session of somebody else."""
        if session and (problem := self.visitors.claim(session, asked.mark, asked.came.client)):
            raise TooMuchError(403, problem)

    def _cookies_for(self, asked: Asked) -> list[bytes]:
        """Whoever opens the page is given a mark, or keeps their own for longer."""
        if asked.path != "/" or asked.scope["method"] != "GET":
            return []
        secure = asked.came.scheme == "https"
        mark = asked.mark if visitors.is_mark(asked.mark) else self.visitors.new_mark()
        return [_set_cookie(visitors.COOKIE, mark, secure, self.in_frame, LIVES)]


def _tokens(app: Any, asked: Asked) -> list[str]:
    """What a browser shows that has logged in."""
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return [asked.cookies[name] for name in names if name in asked.cookies]


class _Answer:
    """`send`, with headers of ours. With `withheld` nothing is sent before `release`."""

    def __init__(self, send: Send, cookies: Sequence[bytes], in_frame: bool, is_secure: bool) -> None:
        self.send, self.cookies = send, list(cookies)
        self.in_frame, self.is_secure = in_frame, is_secure
        self.has_begun, self.withheld = False, False
        self.status = 0
        self._kept: list[MutableMapping[str, Any]] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        if self.withheld:
            self._kept.append(message)
        else:
            await self._pass_on(message)

    async def release(self) -> None:
        """Send what was withheld."""
        self.withheld = False
        for message in self._kept:
            await self._pass_on(message)

    async def page(self, status: int, html: str) -> None:
        """Our own answer, instead of what was withheld."""
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        await self.whole(status, html.encode(), headers)

    def body(self) -> bytes:
        """What was withheld, without its headers."""
        return b"".join(message.get("body", b"") for message in self._kept)

    async def whole(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """An answer in one piece, instead of what was withheld."""
        self.withheld = False
        headers = [*headers, (b"content-length", str(len(body)).encode())]
        await self._pass_on({"type": "http.response.start", "status": status, "headers": headers})
        await self._pass_on({"type": "http.response.body", "body": body})

    async def lead_on(self, place: str) -> None:
        """Go there, with the cookies of what was withheld."""
        self.withheld = False
        start = next(one for one in self._kept if one["type"] == "http.response.start")
        cookies = [one for one in start.get("headers", []) if one[0].lower() == b"set-cookie"]
        headers = [*cookies, (b"location", place.encode()), (b"content-length", b"0")]
        await self._pass_on({"type": "http.response.start", "status": 303, "headers": headers})
        await self._pass_on({"type": "http.response.body", "body": b""})

    async def _pass_on(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            given = [
                (name, self._careful(value) if name.lower() == b"set-cookie" else value)
                for name, value in message.get("headers", [])
            ]
            ours = [(b"set-cookie", one) for one in self.cookies]
            message = {**message, "headers": [one for one in given if one[1]] + ours + HEADERS}
        await self.send(message)

    def _careful(self, cookie: bytes) -> bytes:
        """Gradio sets its login twice: for other sites' frames, and for connections without encryption. Kept is the
        one that is needed here ("" for none).
        """
        is_for_frames = b"samesite=none" in cookie.lower()
        if not cookie.startswith(b"access-token") or b"max-age=0" in cookie.lower():
            return cookie
        if is_for_frames:
            return cookie if self.in_frame else b""
        if self.in_frame:
            return b""
        bare = b"; ".join(part for part in cookie.split(b"; ") if not part.lower().startswith(b"samesite"))
        return bare + b"; SameSite=Lax" + (b"; Secure" if self.is_secure else b"")


def _cookie(name: str, value: str, answer: _Answer, lives: int) -> bytes:
    return _set_cookie(name, value, answer.is_secure, answer.in_frame, lives)


def _set_cookie(name: str, value: str, secure: bool, in_frame: bool, lives: int) -> bytes:
    where = "SameSite=None; Secure; Partitioned" if in_frame else "SameSite=Lax" + ("; Secure" if secure else "")
    return f"{name}={value}; Path=/; Max-Age={lives}; HttpOnly; {where}".encode()


def _joined(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """One sent twice counts with all its values: who reads it next may take either."""
    joined: dict[bytes, str] = {}
    for name, value in headers:
        text = value.decode("latin-1")
        between = "; " if name == b"cookie" else ", "
        joined[name] = f"{joined[name]}{between}{text}" if name in joined else text
    return joined


def _field(content: bytes, name: str) -> str:
    """A field of a form; "" where it has none."""
    found = parse_qs(content.decode("utf-8", "replace")).get(name)
    return found[0][:LONGEST_FIELD] if found else ""


def _query_of(content: bytes) -> str:
    """The address that somebody wanted before the login, as the form kept it; "" for anything but a query."""
    query = _field(content, KEPT_QUERY)
    return f"?{query}" if query and A_QUERY.fullmatch(query) else ""


def _session_in(body: bytes) -> str:
    """The session a request names; "" where it names none, or is no JSON: then Gradio says so."""
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return ""
    named = given.get("session_hash") if isinstance(given, dict) else None
    return named if isinstance(named, str) else ""


def _session_of_stream(asked: Asked) -> str:
    query = parse_qs(asked.scope.get("query_string", b"").decode("latin-1"))
    named = query.get("session_hash") or query.get("upload_id") or [asked.path.rstrip("/").rpartition("/")[2]]
    return named[-1][:200]


async def _refuse(asked: Asked, receive: Received, send: Send, status: int, problem: str) -> None:
    """A page is answered with a sentence; a script of the page as Gradio says what is wrong."""
    is_script = asked.path.startswith(routes.API)
    body = json.dumps({"detail": problem, "error": problem}) if is_script else problem
    kind = b"application/json" if is_script else b"text/plain; charset=utf-8"
    headers = [(b"content-type", kind), (b"connection", b"close"), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode(), "more_body": True})
    await bodies.drained(receive)
    await send({"type": "http.response.body", "body": b""})
