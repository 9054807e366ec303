"""What many pages ask alike, again and again: how a run stands, what moves. Of those who ask the same within a moment
the first is answered by its function, the others with the same bytes, and none of them on Gradio's own way, which takes
several times as long as the answer.

Where many look, each is told to look less often: what all of them take is bounded.
"""

import asyncio
import json
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

import anyio
import orjson
from fastapi.encoders import jsonable_encoder
from gradio.context import LocalContext
from starlette.requests import Request

from ...errors import Problem, UserError
from ..audit import at_the_door
from ..language import language_of, problem_in
from ..scripts import version
from . import bodies, routes
from .origins import neighbourhood
from .visitors import LONGEST_SESSION

LASTS = 0.5  # seconds for which an answer is good for others too
MOST_A_SECOND = 80  # looks that all pages are to take together
LONGEST_PAUSE = 5.0  # seconds between two looks of a page, however many look
HOUSEHOLD = 40  # of what one address looks at, so much counts for others: nobody slows their pages down alone
FORGOTTEN = 20.0  # seconds after which somebody who did not look again is gone
MOST_AT_WORK = 60  # different looks that are worked on at once: more would hold up every click
PAUSE = b"x-pause"  # a header: ms between two looks of the same kind, at least
VERSION = b"x-version"  # a header: of the page that this server has
CROWDED = Problem("page.crowded", "Very many are looking at once. This page asks again in a moment.")

Scope = MutableMapping[str, Any]
Look = Callable[[Any], dict[str, Any]]


class Question(NamedTuple):
    """A look, and who may share its answer."""

    component: int
    function: str
    asked: bytes  # JSON
    language: str
    user: str  # who has logged in, "" for nobody


class Looks:
    """ASGI middleware of one page, behind the door, which lets through only who may ask. Only the server's own thread
    calls it.
    """

    def __init__(self, app: Callable, clock: Callable[[], float] = time.monotonic) -> None:
        self.app, self.clock = app, clock
        self._answers: OrderedDict[Question, tuple[float, asyncio.Future[bytes]]] = OrderedDict()
        self._at_work: set[asyncio.Future[bytes]] = set()
        self._last: OrderedDict[tuple[str, str, int], float] = OrderedDict()  # {(address, session, component): when}
        self._of_address: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Callable, send: Callable) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        if is_post and scope["path"].rstrip("/") == f"{routes.API}/component_server":
            content = await _read(receive)
            if await self._answered(scope, content, send):
                return
            receive = bodies.again(content, receive)
        try:
            await self.app(scope, receive, send)
        finally:
            if is_post:  # it may have changed something: who looks now is to see it
                self._answers.clear()

    async def _answered(self, scope: Scope, content: bytes, send: Callable) -> bool:
        """False for what is no look that many share: Gradio answers that."""
        body = _json_in(content)
        look = _shared_look(scope["app"], body)
        if look is None:
            return False
        request = Request(scope)
        language = language_of(request.headers.get("accept-language"))
        asker = at_the_door.get()
        address = neighbourhood(asker.address) if asker else ""
        self._note(address, str(body.get("session_hash"))[:LONGEST_SESSION], body["component_id"])
        asked = orjson.dumps(body.get("data"))
        question = Question(body["component_id"], body["fn_name"], asked, language, asker.user if asker else "")
        try:
            told = await asyncio.shield(self._shared(question, look, body.get("data"), request))
        except UserError as error:
            told = json.dumps({"error": problem_in(error.problem, language)}).encode()
            await _send(send, 503, told, [(b"retry-after", b"2")])
        else:
            pause = str(round(1000 * self.pause(address))).encode()
            await _send(send, 200, told, [(PAUSE, pause), (VERSION, version().encode())])
        return True

    def pause(self, address: str) -> float:
        """Seconds that a page of an address is to wait between two looks of the same kind, at least."""
        self._forget(self.clock() - FORGOTTEN)
        own = self._of_address[address]
        others = sum(min(HOUSEHOLD, count) for count in self._of_address.values()) - min(HOUSEHOLD, own)
        return min(LONGEST_PAUSE, (own + others) / MOST_A_SECOND)

    def _note(self, address: str, session: str, component: int) -> None:
        who = (address, session, component)
        if who not in self._last:
            self._of_address[address] += 1
        self._last[who] = self.clock()
        self._last.move_to_end(who)

    def _forget(self, oldest: float) -> None:
        while self._last and next(iter(self._last.values())) < oldest:
            (address, _, _), _ = self._last.popitem(last=False)
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _shared(self, question: Question, look: Look, given: Any, request: Request) -> asyncio.Future[bytes]:
        """Raises UserError where too much is worked on to look once more."""
        oldest = self.clock() - LASTS
        while self._answers and next(iter(self._answers.values()))[0] < oldest:
            self._answers.popitem(last=False)
        if question not in self._answers:
            if len(self._at_work) >= MOST_AT_WORK:
                raise UserError.of(CROWDED)
            answer = asyncio.ensure_future(_worked_out(look, given, request))
            self._at_work.add(answer)
            answer.add_done_callback(self._at_work.discard)
            self._answers[question] = (self.clock(), answer)
        return self._answers[question][1]


async def _worked_out(look: Look, given: Any, request: Request) -> bytes:
    LocalContext.request.set(request)  # whose language it is
    return orjson.dumps(jsonable_encoder(await anyio.to_thread.run_sync(look, given)))


async def _read(receive: Callable[[], Awaitable[Scope]]) -> bytes:
    """A whole body; the door has seen to it that it is short enough."""
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body"):
            return content


def _json_in(content: bytes) -> Any:
    """None where it is no JSON: then Gradio says so."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _shared_look(app: Any, body: Any) -> Look | None:
    """The function that a body names, where all who ask alike are answered alike."""
    if not isinstance(body, dict) or not isinstance(body.get("component_id"), int):
        return None
    block = app.get_blocks().blocks.get(body["component_id"])
    function = getattr(block, str(body.get("fn_name")), None)
    is_shared = getattr(function, "_is_server_fn", False) and getattr(function, "is_shared", False)
    return function if is_shared else None


async def _send(send: Callable, status: int, content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    kind = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *headers]})
    await send({"type": "http.response.body", "body": content})
