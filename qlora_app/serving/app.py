"""The routes: /models, /chat/completions, /completions; /embeddings is refused in words. Mounted at /v1."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..settings import HERE
from ..storage.outside import confined
from .answering import Answers
from .homes import Home
from .problems import ApiError
from .requests import ChatWish, TextWish, Wish, read

LARGEST = 2_000_000  # bytes of a request
SLOWEST = 60.0  # seconds for it to come
AT_ONCE = 72  # requests of all that are being answered or wait; the next are asked to come back
HEARSAY = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
STREAM = {"cache-control": "no-cache", "x-accel-buffering": "no"}

log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]


class Endpoint:
    """What stands behind the routes."""

    def __init__(self, home: Home, is_open: bool, others: Callable[[], Sequence[Home]] = tuple) -> None:
        """home: the owner's. is_open: answers without a key too, as long as none has been made. others: the homes of
        those who may have keys of their own now.
        """
        self.home, self.is_open, self.others = home, is_open, others
        self._threads: anyio.CapacityLimiter | None = None  # of its own: waiting for answers must not hold up the page

    def app(self) -> Starlette:
        """To be mounted at /v1."""
        routes = [
            Route("/models", self.careful(self.list_models)),
            Route("/models/{name:path}", self.careful(self.get_model)),
            Route("/chat/completions", self.careful(partial(self.answer, ChatWish)), methods=["POST"]),
            Route("/completions", self.careful(partial(self.answer, TextWish)), methods=["POST"]),
            Route("/embeddings", self.careful(self.refuse_embeddings), methods=["POST"]),
            Route("/{rest:path}", self.careful(self.nothing_here), methods=["GET", "POST", "PUT", "DELETE"]),
        ]
        return Starlette(routes=routes)

    # ---- routes

    async def list_models(self, request: Request) -> Response:
        rows = await self._in_thread(partial(_within, _home_of(request), lambda home: home.models.rows()))
        return JSONResponse({"object": "list", "data": rows})

    async def get_model(self, request: Request) -> Response:
        name = request.path_params["name"]
        return JSONResponse(
            await self._in_thread(partial(_within, _home_of(request), lambda home: home.models.get(name)))
        )

    async def refuse_embeddings(self, request: Request) -> Response:
        words = "The models here are trained to answer, and make no embeddings."
        raise ApiError(400, words, code="unsupported_endpoint")

    async def nothing_here(self, request: Request) -> Response:
        raise ApiError(404, "There are /v1/models, /v1/chat/completions and /v1/completions.", code="unknown_url")

    async def answer(self, kind: type[Wish], request: Request) -> Response:
        """One request, whole or as a stream."""
        wish, home = read(kind, await _body(request)), _home_of(request)
        if sum(one.requests() for one in (self.home, *self.others())) >= AT_ONCE:
            raise ApiError(503, "Many are being answered. Ask again in a moment.", code="busy")
        with home.beginning(wish.answers):
            answers = await self._in_thread(partial(_within, home, lambda home: _begin(home, wish)))
            home.begun.append(answers)
        if wish.stream:
            return StreamingResponse(self._events(answers, home), media_type="text/event-stream", headers=STREAM)
        return await self._whole(answers, home, request)

    async def _whole(self, answers: Answers, home: Home, request: Request) -> Response:
        """Where the program goes away meanwhile, its answers end."""
        try:
            async with anyio.create_task_group() as both:
                both.start_soon(_end_when_gone, request, answers)
                said = await self._in_thread(answers.last)
                both.cancel_scope.cancel()
            return JSONResponse(answers.whole(said))
        finally:
            answers.cancel()
            home.count(answers)

    async def _events(self, answers: Answers, home: Home) -> AsyncIterator[str]:
        """Server-sent events; an error that comes after the first of them is one too."""
        growing = answers.growing()
        chunks = answers.chunks(lambda: next(growing, None))
        try:
            while (chunk := await self._in_thread(partial(next, chunks, None), may_leave=True)) is not None:
                yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
            yield "data: [DONE]\n\n"
        except Exception as error:  # the program is to hear of it, whatever it is
            yield f"data: {json.dumps(_unexpected(error).content())}\n\n"
        finally:
            answers.cancel()
            home.count(answers)

    # ---- who may ask

    def careful(self, handler: Handler, is_owners: bool = False) -> Handler:
        """A route of programs: it asks for a key first, and says what is wrong as OpenAI does. is_owners: it tells what
        is the owner's alone.
        """

        async def answered(request: Request) -> Response:
            try:
                _check_browser(request)
                request.state.home = await self._in_thread(partial(self._opened_home, request, is_owners))
                return await handler(request)
            except ApiError as error:
                return error.response()
            except ClientDisconnect:
                return Response(status_code=499)
            except Exception as error:  # no traceback reaches a program
                return _unexpected(error).response()

        return answered

    def _opened_home(self, request: Request, is_owners: bool) -> Home:
        """The one that a request's key opens. Raises ApiError where it opens none, or has asked too often."""
        if self.is_open and not self.home.keys.are_asked_for and _is_of_this_machine(request):
            return self.home
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        shown = key.strip() if kind.lower() == "bearer" else ""
        homes = [self.home] if is_owners or not shown else [self.home, *self.others()]
        opened = [(home, found) for home in homes if shown and (found := home.keys.find(shown))]
        if not opened:
            words = "Show a key of this workshop: Authorization: Bearer gw-…"
            if not self.home.keys.are_asked_for:
                words = "No key has been made yet. `python -m qlora_app keys make NAME` makes one."
            raise ApiError(401, words, code="invalid_api_key")
        home, found = opened[0]
        if not home.keys.may_ask(found):
            words = f"The key {found.name} may ask {found.per_minute} times a minute."
            raise ApiError(429, words, code="rate_limit_exceeded")
        return home

    async def _in_thread(self, work: Callable[[], Any], may_leave: bool = False) -> Any:
        """may_leave: is not waited for when the program has gone; whoever asks sees to it that it ends."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(AT_ONCE + 8)
        return await anyio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=may_leave)


def _home_of(request: Request) -> Home:
    home: Home = request.state.home
    return home


def _within(home: Home, work: Callable[[Home], Any]) -> Any:
    """Done so that it opens nothing beyond that home."""
    with confined(home.own):
        return work(home)


def _begin(home: Home, wish: Wish) -> Answers:
    asked = home.models.find(wish.model)
    return Answers(wish, asked, home.models.session(asked))


def _is_of_this_machine(request: Request) -> bool:
    """Not from elsewhere through a proxy or a tunnel: such say so, speak HTTP/1.0, or keep the name they go by."""
    is_brought = request.scope.get("http_version") == "1.0" or any(name in request.headers for name in HEARSAY)
    return request.url.hostname in HERE and not is_brought


def _check_browser(request: Request) -> None:
    """A page of another site may not ask through somebody's browser. Raises ApiError."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ApiError(403, "Programs may ask, pages of other sites may not.", code="other_origin")


async def _body(request: Request) -> Any:
    """Raises ApiError for what is no JSON, too much of it, or comes too slowly."""
    content = bytearray()
    try:
        with anyio.fail_after(SLOWEST):
            async for piece in request.stream():
                content += piece
                if len(content) > LARGEST:
                    raise ApiError(413, f"A request has at most {LARGEST:,} bytes.", code="too_large")
    except TimeoutError:
        raise ApiError(408, f"The request did not come within {SLOWEST:.0f} seconds.", code="too_slow") from None
    try:
        body = json.loads(content)
        json.dumps(body, ensure_ascii=False).encode()  # half a character is none that a tokenizer takes
        return body
    except (ValueError, RecursionError):
        raise ApiError(400, "The body of the request is no JSON.", code="invalid_json") from None


async def _end_when_gone(request: Request, answers: Answers) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            answers.cancel()
            return


def _unexpected(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    log.error("A request of a program failed", exc_info=error)
    return ApiError(500, "Something went wrong here. The terminal of the workshop says what.", code="internal_error")
