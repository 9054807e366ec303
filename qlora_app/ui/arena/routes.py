"""What the server answers at /arena and /arenas. The door has let in who asks; who rates is found out here, by the link
and by the browser's cookie.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ...choices import Choices
from ...errors import UserError
from ...evaluate.arena import Arena, Assignment, link_of
from ..guard import in_words
from ..language import language_of
from ..translate import said_to
from .homes import Arenas, no_link
from .owner import ArenaOwner
from .raters import LIVES, RaterLimits, cookie_name, near_of, new_cookie, rater_of
from .rating_page import NOT_KEPT, careful, rating_page, refused_page, shown

LONGEST = 200  # characters of an id
STATUS = {  # of an error, by its code; 400 for any other
    "arena.no_link": 404,
    "arena.no_cookie": 401,
    "arena.not_yours": 403,
    "arena.voted_already": 409,
    "arena.too_fast": 429,
    "arena.full": 507,
}


class Sent(Choices):
    """What a rater's browser may say, and nothing beside it: no model, no side, no rater."""

    token: str = Field(max_length=LONGEST)
    assignment: str = Field("", max_length=LONGEST)
    choice: str = Field("", max_length=LONGEST)
    comment: str = Field("", max_length=10_000)


class Opened(NamedTuple):
    """What a link opens: an arena, and whose."""

    arena: Arena
    home: Arenas

    def rater(self, request: Request) -> str:
        return rater_of(request, self.arena, is_named=not self.home.is_members)


class ArenaRoutes:
    """One per page. Links are answered by the server's own, whosever they are."""

    def __init__(self, own: Arenas, others: Callable[[], Iterable[Arenas]] = tuple) -> None:
        """own: of whom the page is for. others: of the members whose links open something now."""
        self.own, self.others = own, others
        self.limits = RaterLimits()

    def routes(self) -> list[Route]:
        """Their marks stand in door/routes.py."""
        return [
            Route("/arena/{name}", self.page, methods=["GET"]),
            Route("/arena/{name}/{deed}", self.deed, methods=["POST"]),
            *ArenaOwner(self.own).routes(),
        ]

    # ---- the page

    async def page(self, request: Request) -> Response:
        """The same for all; a browser that comes for the first time is given its cookie."""
        return await run_in_threadpool(self._page, request)

    def _page(self, request: Request) -> Response:
        language, nonce = language_of(request.headers.get("accept-language")), secrets.token_urlsafe(12)
        try:
            opened = self._opened(request.path_params["name"], request.query_params.get("token", ""))
            answer = HTMLResponse(rating_page(language, nonce), headers=careful(nonce))
            if not opened.rater(request):
                self.limits.come(request)
                secure, arena = request.url.scheme == "https", opened.arena
                answer.set_cookie(
                    cookie_name(arena), new_cookie(arena), LIVES, httponly=True, secure=secure, samesite="lax"
                )
            return answer
        except UserError as error:
            sentence = said_to(request, in_words(error, may_change=False))
            return HTMLResponse(refused_page(language, sentence, nonce), _status_of(error), careful(nonce))

    def _opened(self, name: str, token: str) -> Opened:
        """In whosever home: names may be the same in several, links are not. Raises UserError."""
        for home in (self.own, *self.others()):
            with contextlib.suppress(UserError):
                arena = home.get(name)
                if link_of(arena).opens(token):
                    return Opened(arena, home)
        raise no_link()

    # ---- what its script asks

    async def deed(self, request: Request) -> Response:
        """next, vote or skip: each is answered with the pair that comes then."""
        content = await request.body()
        return await run_in_threadpool(self._answer, request, content)

    def _answer(self, request: Request, content: bytes) -> Response:
        try:
            sent = _read(content)
            opened = self._opened(request.path_params["name"], sent.token)
            arena, rater = opened.arena, opened.rater(request)
            if not rater:
                raise UserError("arena.no_cookie", "Open the link again, in a browser that keeps cookies.")
            self.limits.ask(request, rater)
            opened.home.check_room()
            near = near_of(request, arena)
            self._deeds(request.path_params["deed"], near)(arena, rater, sent)
            return JSONResponse(_told(arena, rater, arena.give(rater)), headers=NOT_KEPT)
        except UserError as error:
            problem = in_words(error, may_change=False)
            told = {"problem": said_to(request, problem), "code": problem.code}
            return JSONResponse(told, _status_of(error), headers=NOT_KEPT)

    def _deeds(self, name: str, near: str) -> Callable[[Arena, str, Sent], Any]:
        deeds: dict[str, Callable[[Arena, str, Sent], Any]] = {
            "next": lambda arena, rater, sent: None,
            "vote": lambda arena, rater, sent: arena.vote(rater, sent.assignment, sent.choice, sent.comment, near),
            "skip": lambda arena, rater, sent: arena.skip(rater, sent.assignment),
        }
        if name not in deeds:
            raise no_link()
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


def _status_of(error: UserError) -> int:
    return STATUS.get(error.code, 400)
