"""What many pages ask alike, again and again: how a run stands, what moves. Of those who ask the same within a moment
the first is answered by its function, the others with the same bytes, and none of them on Gradio's own way, which takes
several times as long as the answer.

Where many look, each is told to look less often: what all of them take is bounded.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import anyio
import orjson
from fastapi.encoders import jsonable_encoder
from gradio.context import LocalContext
from starlette.requests import Request

from ...errors import Problem, UserError
from ..audit import at_the_door
from ..language import language_of
from . import routes

LASTS = 0.5  # seconds for which an answer is good for others too
MOST_A_SECOND = 80  # looks that all pages are to take together
FORGOTTEN = 20.0  # seconds after which somebody who did not look again is gone
MOST_AT_WORK = 60  # different looks that are worked on at once; as many as Gradio has threads would hold up clicks
PAUSE = b"x-pause"  # a header: ms between two looks of the same kind, at least
CROWDED = Problem("page.crowded", "Very many are looking at once. This page asks again in a moment.")


class Question(NamedTuple):
    """A look, and who may share its answer."""

    component: int
    function: str
    asked: bytes  # JSON
    language: str
    user: str  # who has logged in, "" for nobody


class Looks:
    """One for all pages. Only the server's own thread calls it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._answers: OrderedDict[Question, tuple[float, asyncio.Future[bytes]]] = OrderedDict()
        self._last: OrderedDict[tuple[str, int], float] = OrderedDict()  # {(session, component): when it looked}

    async def answer(self, app: Any, scope: Any, body: Any) -> bytes | None:
        """JSON for a request's body; None where it is no look that is shared: Gradio answers that. Raises
        UserError where too much is worked on.
        """
        function = _shared_function(app, body)
        if function is None:
            return None
        self._note((str(body.get("session_hash")), body["component_id"]))
        request = Request(scope)
        asker = at_the_door.get()
        language, user = language_of(request.headers.get("accept-language")), asker.user if asker else ""
        asked = orjson.dumps(body.get("data"))
        question = Question(body["component_id"], body["fn_name"], asked, language, user)
        return await asyncio.shield(self._shared(question, function, body.get("data"), request))

    def forget(self) -> None:
        """Somebody may have changed something: who looks now is to see it."""
        self._answers.clear()

    def pause(self) -> float:
        """Seconds that each is to wait between two looks of the same kind, at least."""
        oldest = self.clock() - FORGOTTEN
        while self._last and next(iter(self._last.values())) < oldest:
            self._last.popitem(last=False)
        return len(self._last) / MOST_A_SECOND

    def _note(self, who: tuple[str, int]) -> None:
        self._last[who] = self.clock()
        self._last.move_to_end(who)

    def _shared(
        self, question: Question, function: Callable[[Any], Any], given: Any, request: Request
    ) -> asyncio.Future[bytes]:
        oldest = self.clock() - LASTS
        while self._answers and next(iter(self._answers.values()))[0] < oldest:
            self._answers.popitem(last=False)
        known = self._answers.get(question)
        if known is None:
            if sum(not one.done() for _, one in self._answers.values()) >= MOST_AT_WORK:
                raise UserError.of(CROWDED)
            known = (self.clock(), asyncio.ensure_future(self._worked_out(function, given, request)))
            self._answers[question] = known
        return known[1]

    async def _worked_out(self, function: Callable[[Any], Any], given: Any, request: Request) -> bytes:
        LocalContext.request.set(request)  # whose language it is
        return orjson.dumps(jsonable_encoder(await anyio.to_thread.run_sync(function, given)))


def is_look(path: str) -> bool:
    """Does a script of the page ask something there?"""
    return path.rstrip("/") == f"{routes.API}/component_server"


def _shared_function(app: Any, body: Any) -> Callable[[Any], Any] | None:
    """The function that a body names, where all who ask alike are answered alike."""
    if not isinstance(body, dict) or not isinstance(body.get("component_id"), int):
        return None
    block = app.get_blocks().blocks.get(body["component_id"])
    function = getattr(block, str(body.get("fn_name")), None)
    is_shared = getattr(function, "_is_server_fn", False) and getattr(function, "is_shared", False)
    return function if is_shared else None
