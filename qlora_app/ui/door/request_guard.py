"""The door: ASGI middleware in front of everything that Gradio serves."""

import asyncio
import json
import secrets
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

from starlette.requests import cookie_parser

from ...accounts import Person
from ...errors import UserError
from ...settings import Settings
from ...storage.outside import named_outside
from ..audit import Asker, Audit, at_the_door, remember
from ..frame.login import WRONG, login_page
from ..guard import DEMONSTRATION, VISITING
from ..language import language_of, problem_in
from . import bodies, logins, routes, sent, visitors
from .answer import HEADERS, Answer, Send, cookie, set_cookie
from .bodies import Body, Held, Received, TooMuchError
from .document import Documents, as_accepted
from .logins import TOO_MANY, LoginLimiter
from .origins import Came, Origins, neighbourhood
from .people import People
from .visitors import Visitors

NOT_LOGGED_IN = "Log in first."
NOT_KNOWN = "You are logged in at the proxy, and have no account here. Ask the owner of this page for one."
NOT_YOURS = "That names a file of this machine that is not yours. Upload what you need."
NOTHING_HERE = "There is nothing at this address."
LIVES = 30 * 86_400  # seconds a browser keeps its mark

LOOKED_AFTER = 2.0  # seconds between looks whether who listens may still do so

Message = MutableMapping[str, Any]


class Asked(NamedTuple):
    """A request at the door."""

    scope: MutableMapping[str, Any]  # as those behind the door get it
    came: Came
    headers: dict[bytes, str]
    cookies: dict[str, str]
    person: Person | None = None  # who asks; None before a login

    @property
    def may_change(self) -> bool:
        """Is it somebody with a page of their own?"""
        return self.person is not None and self.person.role != "visitor"

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
        people: People | None = None,
        pages: Any = None,  # of ui.pages.Pages
    ) -> None:
        """`own_name`: the public host where the settings name none, as on a Space, which is shown in a frame. `pages`:
        where others have pages of their own beside the one that is served to all else.
        """
        self.app = app
        self.people = people or People(settings)
        self.pages = pages
        self.audit = audit or Audit(None)
        self.settings = settings
        self.origins = Origins(settings, [own_name], self.people.has_login)
        self.visitors = visitors or Visitors()
        self.guesses = LoginLimiter(settings.home / ".devices")
        self.in_frame = bool(own_name)
        self.documents = Documents()
        self.refused = str(VISITING if self.people.has_login else DEMONSTRATION)
        self._inner_tokens: dict[str, str] = {}  # {name: of whoever a proxy has logged in}; no browser has one
        is_for_visitors = not self.people.has_login and settings.is_demonstration
        self.held = Held(bodies.OF_ADDRESS_VISITING if is_for_visitors else bodies.OF_ADDRESS)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # the page uses none
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = sent.joined(scope["headers"])
        came = self.origins.read(scope, headers)
        asked = Asked(self.origins.told(scope, came), came, headers, cookie_parser(headers.get(b"cookie", "")))
        asked = asked._replace(person=self._person(asked))
        problem = self.origins.refusal(scope, headers, came)
        status, problem = (403, problem) if problem else self._refused_route(asked)
        receive = Received(receive)
        if problem:
            await _refuse(asked, receive, send, status, problem)
            return
        asker = Asker(asked.person.name if asked.person else "", came.client)
        at_the_door.set(asker)
        if routes.who_may(asked.path) == "owner" and asked.scope["method"] == "POST" and not asked.is_upload:
            self.audit.note(asked.path, asker=asker)
        if asked.path.rstrip("/") == "/logout":
            self._forget_login(asked)
        answer = Answer(send, self._cookies_for(asked), self.in_frame, came.scheme == "https")
        if asked.is_page and self._is_to_log_in(asked):
            query = asked.scope.get("query_string", b"").decode("latin-1")
            await answer.page(200, self._login_page(asked, query=query))
            return
        try:
            await self._let_in(asked, receive, answer)
        except TooMuchError as error:
            if answer.has_begun:
                return
            if asked.is_login and asked.wants_page:
                await answer.page(error.status, self._login_page(asked, error.sentence))
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
        if asked.person is None:
            return self._refused_before_login(asked, who)
        is_program = who == "program" and self.people.has_login  # shows a key, whoever's browser it runs in
        if not is_program and not routes.may(who, asked.person.role):
            return 403, self.refused
        if asked.has_files and not asked.may_change and not is_program:
            return 403, self.refused
        return 0, ""

    def _refused_before_login(self, asked: Asked, who: routes.Who) -> tuple[int, str]:
        if who not in ("anybody", "program", "rater"):
            return 401, NOT_LOGGED_IN
        if asked.is_page and not (self.people.has_passwords or self.people.hub_owner):
            return 403, NOT_KNOWN
        return 0, ""

    def _login_page(self, asked: Asked, wrong: str = "", user: str = "", query: str = "") -> str:
        return login_page(asked.language, wrong, user, query, has_hub=bool(self.people.hub_owner))

    def _forget_login(self, asked: Asked) -> None:
        """What this browser showed opens nothing any more; Gradio takes its cookies away."""
        app: Any = asked.scope.get("app")
        for token in _tokens(app, asked) if hasattr(app, "cookie_id") else []:
            if app.tokens.pop(token, None):
                self.audit.note("logged out")

    def _is_to_log_in(self, asked: Asked) -> bool:
        """Also a visitor who asks for the form."""
        if not (self.people.has_passwords or self.people.hub_owner):
            return False
        is_nameless = asked.person is not None and not asked.person.name
        return asked.person is None or (is_nameless and self.people.has_login and asked.path.rstrip("/") == "/login")

    def _person(self, asked: Asked) -> Person | None:
        """Who asks. Gradio keeps who has logged in; not all of its routes ask."""
        app = asked.scope.get("app")
        if app is None or not hasattr(app, "cookie_id"):
            return self.people.person(asked.came, asked.headers, [], {})
        session = asked.scope.get("session")
        return self.people.person(asked.came, asked.headers, _tokens(app, asked), app.tokens, session)

    async def _let_in(self, asked: Asked, receive: Callable, answer: Answer) -> None:
        """To the page of whoever asks, or to the server's own."""
        page = await self._page_of(asked)
        if page is None:
            await self._admit(self._believed(asked), receive, answer, self.app)
            return
        try:
            await self._admit(asked, receive, answer, page.answer)
        finally:
            page.open -= 1

    def _believed(self, asked: Asked) -> Asked:
        """As those see it who ask Gradio's own login: whom the door knows by a proxy's word has one there too."""
        app: Any = asked.scope.get("app")
        name = asked.person.name if asked.person and asked.person.role == "owner" else ""
        if not name or getattr(app, "auth", None) is None or any(one in app.tokens for one in _tokens(app, asked)):
            return asked
        token = self._inner_tokens.setdefault(name, secrets.token_urlsafe(32))
        app.tokens[token] = name
        self.people.begin(app.tokens)
        kept = [one for one in asked.scope["headers"] if one[0] != b"cookie"]
        others = [f"{one}={value}" for one, value in asked.cookies.items() if not one.startswith("access-token")]
        cookie = "; ".join([*others, f"access-token-unsecure-{app.cookie_id}={token}"]).encode("latin-1")
        return asked._replace(scope={**asked.scope, "headers": [*kept, (b"cookie", cookie)]})

    async def _page_of(self, asked: Asked) -> Any:
        """None for the page that the server began with, and for what is no part of a page."""
        if self.pages is None or asked.person is None or not routes.is_of_a_page(asked.path):
            return None
        if asked.person.role == "owner":
            return None
        return await self.pages.of(asked.person)

    async def _admit(self, asked: Asked, receive: Callable, answer: Answer, app: Callable) -> None:
        if routes.who_may(asked.path) == "program":  # shows a key behind the door, before anything it sends is read
            await app(asked.scope, receive, answer)
            return
        is_before_login = routes.who_may(asked.path) in ("anybody", "rater")
        role = asked.person.role if asked.person else None
        limit = bodies.most(self.settings, asked.is_upload, is_before_login, role)
        bodies.check_length(asked.headers, limit, asked.is_upload)
        if routes.is_stream(asked.path):
            await self._listen(asked, receive, answer, app)
        elif asked.opens:
            await self._open(asked, receive, answer, app)
        elif asked.is_upload:
            await self._check_space(asked)
            await app(asked.scope, bodies.counted(receive, limit), answer)
        elif asked.scope["method"] == "POST":
            is_patient = not is_before_login and asked.may_change
            with Body(self.held, neighbourhood(asked.came.client)) as body:
                content = await body.read(receive, limit, is_patient)
                await self._pass_on(asked, content, receive, answer, app)
        else:
            await app(asked.scope, receive, answer)

    async def _check_space(self, asked: Asked) -> None:
        """Raises TooMuchError for files that a member's home has no room for."""
        quota = self.pages.quota_of(asked.person) if self.pages is not None and asked.person else None
        if quota is None:
            return
        said = asked.headers.get(b"content-length", "0")
        try:
            await asyncio.to_thread(quota.check_space, int(said) if said.isdecimal() else 0)
        except UserError as error:
            raise TooMuchError(507, problem_in(error.problem, asked.language)) from error

    async def _pass_on(self, asked: Asked, content: bytes, receive: Callable, answer: Answer, app: Callable) -> None:
        """What was sent is all there."""
        if asked.is_login:
            await self._log_in(asked, content, receive, answer)
            return
        given = sent.json_in(content)
        self._claim(asked, sent.session_in(given))
        theirs = self.pages.theirs(asked.person) if self.pages is not None and asked.person else None
        if theirs is not None and named_outside(given, theirs):
            raise TooMuchError(403, NOT_YOURS)
        await app(asked.scope, bodies.again(content, receive), answer)

    async def _open(self, asked: Asked, receive: Callable, answer: Answer, app: Callable) -> None:
        """The page. With a login Gradio writes into it who it is for, and is asked each time."""
        person = asked.person
        place = (asked.came.scheme, asked.came.host, person.role if person else "")
        packed = None if person is None or person.name else self.documents.known(place)
        if packed is None:
            answer.withheld = True
            await app(asked.scope, receive, answer)
            if answer.status != 200:
                await answer.release()
                return
            packed = await asyncio.to_thread(self.documents.packed, place, answer.body())
        await answer.whole(200, *as_accepted(packed, asked.headers.get(b"accept-encoding", "")))

    # ---- logins

    async def _log_in(self, asked: Asked, content: bytes, receive: Callable, answer: Answer) -> None:
        """A script is answered as Gradio does it; whoever filled in the form is led on, or shown it again."""
        client = asked.came.client
        if not await self.guesses.may_try(client, asked.device):
            raise TooMuchError(429, TOO_MANY)
        is_right = False
        try:
            answer.withheld = True
            await self.app(asked.scope, bodies.again(content, receive), answer)
            is_right = answer.status in (200, 302)  # without a login every try leads to the page
            self.people.begin(getattr(asked.scope.get("app"), "tokens", {}))
        finally:
            was_beyond = self.guesses.ended(client, asked.device, is_right)
            if self.people.has_login:  # without one every try leads to the page, and says nothing of who it is
                named = Asker(sent.field(content, "username") if is_right else "", client)
                self.audit.note("logged in" if is_right else "a wrong password", asker=named)
        if answer.status == 400 and was_beyond:
            raise TooMuchError(429, TOO_MANY)
        if answer.status == 200 and not self.guesses.knows(asked.device):
            answer.cookies.append(cookie(logins.COOKIE, self.guesses.new_device(), answer, logins.DEVICE_DAYS * 86_400))
        if not asked.wants_page:
            await answer.release()
        elif is_right:
            await answer.lead_on(f"./{sent.query_of(content)}")
        else:
            await answer.page(
                401, self._login_page(asked, WRONG, sent.field(content, "username"), sent.query_of(content)[1:])
            )

    # ---- sessions

    async def _listen(self, asked: Asked, receive: Callable, answer: Answer, app: Callable) -> None:
        session = sent.session_of_stream(asked.path, asked.scope.get("query_string", b""))
        self._claim(asked, session)
        if problem := self.visitors.listen(session, asked.came.client):
            raise TooMuchError(429, problem)
        try:
            await app(asked.scope, self._until_gone(asked, receive), answer)
        finally:
            self.visitors.leave(session, asked.came.client)

    def _until_gone(self, asked: Asked, receive: Callable) -> Callable:
        """`receive`, to which somebody has left once they are no account any more, or another one."""

        if not self.people.has_login:
            return receive

        async def received() -> Message:
            coming = asyncio.ensure_future(receive())
            try:
                while not coming.done():
                    await asyncio.wait({coming}, timeout=LOOKED_AFTER)
                    if self._person(asked) != asked.person:
                        return {"type": "http.disconnect"}
                return coming.result()
            finally:
                coming.cancel()

        return received

    def _claim(self, asked: Asked, session: str) -> None:
        """Raises TooMuchError for a session of somebody else."""
        if session and (problem := self.visitors.claim(session, asked.mark, asked.came.client)):
            raise TooMuchError(403, problem)
        if session:
            remember(session, asked.person.name if asked.person else "")

    def _cookies_for(self, asked: Asked) -> list[bytes]:
        """Whoever opens the page is given a mark, or keeps their own for longer."""
        if asked.path != "/" or asked.scope["method"] != "GET":
            return []
        secure = asked.came.scheme == "https"
        mark = asked.mark if visitors.is_mark(asked.mark) else self.visitors.new_mark()
        return [set_cookie(visitors.COOKIE, mark, secure, self.in_frame, LIVES)]


def _tokens(app: Any, asked: Asked) -> list[str]:
    """What a browser shows that has logged in."""
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return [asked.cookies[name] for name in names if name in asked.cookies]


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
