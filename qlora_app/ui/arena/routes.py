"""What the server answers at /arena and /arenas. The door has let in who asks; who rates is found out here, by the link
and by the browser's cookie.
"""

import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ...choices import Choices
from ...errors import UserError
from ...evaluate.arena import Arena, Assignment, link_of
from ...jobs import JobStore
from ...settings import Settings
from ..guard import in_words
from ..language import language_of
from ..translate import said_to
from .owner import ArenaOwner
from .raters import LIVES, RaterLimits, cookie_name, new_cookie, rater_of
from .rating_page import NOT_KEPT, careful, rating_page, refused_page, shown

MOST_KEPT = 50  # arenas whose votes are kept in memory
LONGEST = 200  # characters of an id
STATUS = {  # of an error, by its code; 400 for any other
    "arena.no_link": 404,
    "arena.no_cookie": 401,
    "arena.not_yours": 403,
    "arena.voted_already": 409,
    "arena.too_fast": 429,
}


class Sent(Choices):
    """What a rater's browser may say, and nothing beside it: no model, no side, no rater."""

    token: str = Field(max_length=LONGEST)
    assignment: str = Field("", max_length=LONGEST)
    choice: str = Field("", max_length=LONGEST)
    comment: str = Field("", max_length=10_000)


class ArenaRoutes:
    """One per app."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = RaterLimits()
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Arena] = OrderedDict()

    def routes(self) -> list[Route]:
        """Their marks stand in door/routes.py."""
        return [
            Route("/arena/{name}", self.page, methods=["GET"]),
            Route("/arena/{name}/{deed}", self.deed, methods=["POST"]),
            *ArenaOwner(self.settings, self.arena).routes(),
        ]

    def arena(self, name: str) -> Arena:
        """The one of exactly that name. Raises UserError."""
        job = JobStore(self.settings.evaluations).get(name)
        if job.kind != "arena":
            raise _no_link()
        with self._lock:
            arena = self._known.setdefault(name, Arena(job.folder))
            self._known.move_to_end(name)
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
            return arena

    # ---- the page

    async def page(self, request: Request) -> Response:
        """The same for all; a browser that comes for the first time is given its cookie."""
        return await run_in_threadpool(self._page, request)

    def _page(self, request: Request) -> Response:
        language, nonce = language_of(request.headers.get("accept-language")), secrets.token_urlsafe(12)
        try:
            arena = self._opened(request.path_params["name"], request.query_params.get("token", ""))
            answer = HTMLResponse(rating_page(language, nonce), headers=careful(nonce))
            if not rater_of(request, arena):
                self.limits.come(request)
                secure = request.url.scheme == "https"
                answer.set_cookie(
                    cookie_name(arena), new_cookie(arena), LIVES, httponly=True, secure=secure, samesite="lax"
                )
            return answer
        except UserError as error:
            sentence = said_to(request, in_words(error, may_change=False))
            return HTMLResponse(refused_page(language, sentence, nonce), _status_of(error), careful(nonce))

    def _opened(self, name: str, token: str) -> Arena:
        """Raises UserError, the same for an arena that is not there and for a wrong link to one that is."""
        with _as_no_link():
            arena = self.arena(name)
        if not link_of(arena).opens(token):
            raise _no_link()
        return arena

    # ---- what its script asks

    async def deed(self, request: Request) -> Response:
        """next, vote or skip: each is answered with the pair that comes then."""
        content = await request.body()
        return await run_in_threadpool(self._answer, request, content)

    def _answer(self, request: Request, content: bytes) -> Response:
        try:
            sent = _read(content)
            arena = self._opened(request.path_params["name"], sent.token)
            rater = rater_of(request, arena)
            if not rater:
                raise UserError("arena.no_cookie", "Open the link again, in a browser that keeps cookies.")
            self.limits.ask(request, rater)
            self._deeds(request.path_params["deed"])(arena, rater, sent)
            return JSONResponse(_told(arena, rater, arena.give(rater)), headers=NOT_KEPT)
        except UserError as error:
            problem = in_words(error, may_change=False)
            told = {"problem": said_to(request, problem), "code": problem.code}
            return JSONResponse(told, _status_of(error), headers=NOT_KEPT)

    def _deeds(self, name: str) -> Callable[[Arena, str, Sent], Any]:
        deeds: dict[str, Callable[[Arena, str, Sent], Any]] = {
            "next": lambda arena, rater, sent: None,
            "vote": lambda arena, rater, sent: arena.vote(rater, sent.assignment, sent.choice, sent.comment),
            "skip": lambda arena, rater, sent: arena.skip(rater, sent.assignment),
        }
        if name not in deeds:
            raise _no_link()
        return deeds[name]


def _told(arena: Arena, rater: str, given: Assignment | None) -> dict[str, Any]:
    """All that a rater's browser is told of a pair."""
    done, of = arena.progress(rater)
    if given is None:
        return {"done": done, "of": of}
    asked = arena.questions[given.question]
    texts = {"left": asked.answers[given.left], "right": asked.answers[given.right], "question": asked.text}
    return {"done": done, "of": of, "assignment": given.id, **{name: shown(text) for name, text in texts.items()}}


def _read(content: bytes) -> Sent:
    try:
        return Sent.model_validate_json(content)
    except ValidationError as error:
        raise UserError("arena.not_read", "That cannot be read. Load the page again.") from error


@contextlib.contextmanager
def _as_no_link() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise _no_link() from error


def _no_link() -> UserError:
    return UserError("arena.no_link", "This link opens nothing, or not any more. Ask whoever sent it for another one.")


def _status_of(error: UserError) -> int:
    return STATUS.get(error.code, 400)
