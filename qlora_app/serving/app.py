"""The routes: /models, /chat/completions, /completions; /embeddings is refused in words. Mounted at /v1."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..settings import HERE
from .answering import Answers
from .keys import ApiKeys
from .models import ServedModels
from .problems import ApiError
from .requests import ChatWish, TextWish, Wish, read

LARGEST = 2_000_000  # bytes of a request
SLOWEST = 60.0  # seconds for it to come
AT_ONCE = 72  # requests that are being answered or wait; the next are asked to come back
HEARSAY = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
STREAM = {"cache-control": "no-cache", "x-accel-buffering": "no"}

log = logging.getLogger(__name__)
Handler = Callable[[Request], Awaitable[Response]]


class Endpoint:
    """What stands behind the routes."""

    def __init__(self, models: ServedModels, keys: ApiKeys, is_open: bool) -> None:
        """is_open: answers without a key too, as long as none has been made."""
        self.models, self.keys, self.is_open = models, keys, is_open
        self._threads: anyio.CapacityLimiter | None = None  # of its own: waiting for answers must not hold up the page
        self._beginning = 0  # requests whose model may still be loading
        self._begun: list[Answers] = []  # those of which something may still be computed

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
        return JSONResponse({"object": "list", "data": await self._in_thread(self.models.rows)})

    async def get_model(self, request: Request) -> Response:
        return JSONResponse(await self._in_thread(partial(self.models.get, request.path_params["name"])))

    async def refuse_embeddings(self, request: Request) -> Response:
        words = "The models here are trained to answer, and make no embeddings."
        raise ApiError(400, words, code="unsupported_endpoint")

    async def nothing_here(self, request: Request) -> Response:
        raise ApiError(404, "There are /v1/models, /v1/chat/completions and /v1/completions.", code="unknown_url")

    async def answer(self, kind: type[Wish], request: Request) -> Response:
        """One request, whole or as a stream."""
        wish = read(kind, await _body(request))
        self._begun = [one for one in self._begun if not one.is_over]
        if self._beginning + len(self._begun) >= AT_ONCE:
            raise ApiError(503, "Many are being answered. Ask again in a moment.", code="busy")
        self._beginning += 1
        try:
            answers = await self._in_thread(partial(self._begin, wish))
        finally:
            self._beginning -= 1
        self._begun.append(answers)
        if wish.stream:
            return StreamingResponse(self._events(answers), media_type="text/event-stream", headers=STREAM)
        return await self._whole(answers, request)

    def _begin(self, wish: Wish) -> Answers:
        asked = self.models.find(wish.model)
        return Answers(wish, asked, self.models.session(asked))

    async def _whole(self, answers: Answers, request: Request) -> Response:
        """Where the program goes away meanwhile, its answers end."""
        try:
            async with anyio.create_task_group() as both:
                both.start_soon(_end_when_gone, request, answers)
                said = await self._in_thread(answers.last)
                both.cancel_scope.cancel()
            return JSONResponse(answers.whole(said))
        finally:
            answers.cancel()

    async def _events(self, answers: Answers) -> AsyncIterator[str]:
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

    # ---- who may ask

    def careful(self, handler: Handler) -> Handler:
        """A route of programs: it asks for a key first, and says what is wrong as OpenAI does."""

        async def answered(request: Request) -> Response:
            try:
                _check_browser(request)
                self._check_key(request)
                return await handler(request)
            except ApiError as error:
                return error.response()
            except ClientDisconnect:
                return Response(status_code=499)
            except Exception as error:  # no traceback reaches a program
                return _unexpected(error).response()

        return answered

    def _check_key(self, request: Request) -> None:
        if self.is_open and not self.keys.are_asked_for and _is_of_this_machine(request):
            return
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        found = self.keys.find(key.strip()) if kind.lower() == "bearer" else None
        if found is None:
            words = "Show a key of this workshop: Authorization: Bearer gw-…"
            if not self.keys.are_asked_for:
                words = "No key has been made yet. `python -m qlora_app keys make NAME` makes one."
            raise ApiError(401, words, code="invalid_api_key")
        if not self.keys.may_ask(found):
            words = f"The key {found.name} may ask {found.per_minute} times a minute."
            raise ApiError(429, words, code="rate_limit_exceeded")

    async def _in_thread(self, work: Callable[[], Any], may_leave: bool = False) -> Any:
        """may_leave: is not waited for when the program has gone; whoever asks sees to it that it ends."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(AT_ONCE + 8)
        return await anyio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=may_leave)


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
