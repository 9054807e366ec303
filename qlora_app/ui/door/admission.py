"""How much one visitor may ask of the queue at once. Gradio's own bound counts everybody together: one visitor could
fill it alone.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.server_messages import ProcessCompletedMessage

from ...errors import Problem
from ..translate import said_to
from .origins import neighbourhood
from .visitors import Visitors

ANSWERING = "model"  # what waits for a model's answer: these share a place in Gradio's queue
WARMING = "warming"  # what has a model loaded before anything is asked: no question is refused because of it
MOST_ANSWERS, MOST_WARMED = 16, 8  # asked for at once, in all
MOST_EVENTS, EVENTS_OF_ADDRESS, EVENTS_OF_SESSION = 300, 100, 20
WAITING_FOR = {  # {what they wait for: how many at once in all, of one address, of one session}
    ANSWERING: (MOST_ANSWERS, 6, 2),
    WARMING: (2 * MOST_WARMED, 12, 5),
}
A_MOMENT = 0.2  # seconds
LAST_WORDS = 5.0  # seconds for answers under way when the app is ended; a container is killed after ten
LOOKS_EVERY = 0.01  # seconds between the queue's looks at what waits; Gradio's 0.001 takes 4 % of a processor at rest
KEPT_MESSAGES = 1000  # sessions of which Gradio keeps what nobody has fetched
ENOUGH_ASKED = Problem(
    "page.enough_asked", "Your last question is still being answered. Wait for it, or press Stop first."
)
ENOUGH_FROM_HERE = Problem(
    "page.enough_from_here", "Several questions from your address are being answered. Ask again in a moment."
)
NOBODY_LISTENED = Problem(
    "page.nobody_listened",
    "Your question was dropped: others were waiting, and nobody listened for its answer. Ask again.",
)
CLOSING = Problem("page.closing", "The app is being ended or started anew. Ask again in a moment.")
CUT = Problem(
    "page.cut", "The app was ended before this answer was whole. Ask again as soon as it is back; trainings go on."
)
BUSY = Problem("page.busy", "Many are asking at once. Ask again in a moment.")

Push = Callable[..., Any]


class Admission:
    """Decides about every event that is to wait in the queue of a page; those of all pages are counted together."""

    def __init__(self, visitors: Visitors) -> None:
        self.queues: list[Any] = []
        self.visitors = visitors

    def install(self, demo: gr.Blocks, most: Callable[[], int] | None = None) -> None:
        """From now on the queue of a page asks here first. most: questions of this page for models at once, now."""
        queue = demo._queue
        queue.sleep_when_free = LOOKS_EVERY
        queue.most_answers = most  # type: ignore[attr-defined]
        self.queues = [one for one in self.queues if not one.stopped] + [queue]
        queue.push = self._asking_first(queue, queue.push)  # type: ignore[method-assign]

    def _asking_first(self, queue: Any, push: Push) -> Push:
        async def admitted(body: Any, request: Any, username: str | None) -> Any:
            self.visitors.asked(body.session_hash or "")
            problem = await self._refusal(queue, body, request)
            if problem:  # what was answered just now may still be counted
                await asyncio.sleep(A_MOMENT)
                problem = await self._refusal(queue, body, request)
            if problem:
                return False, said_to(request, problem), "error"
            self._forget_unheard(queue)
            return await push(body=body, request=request, username=username)

        return admitted

    def under_way(self) -> int:
        """Questions for models that wait or are answered."""
        return sum(one.fn.concurrency_id == ANSWERING for one in self._under_way())

    def asked_by(self, demo: gr.Blocks) -> int:
        """The same, of one page."""
        return self._asked_of(demo._queue)

    def _asked_of(self, queue: Any) -> int:
        known = queue.event_ids_to_events
        return sum(one.fn.concurrency_id == ANSWERING and one._id in known for one in self._under_way())

    def close(self, patience: float = LAST_WORDS) -> None:
        """Nothing is let in from now on. What is under way has so many seconds to come to its end; whoever is cut off
        then is told so. Asked from another thread than the server's.
        """
        self.visitors.is_closing = True
        until = time.monotonic() + patience
        while self._under_way() and time.monotonic() < until:
            time.sleep(A_MOMENT)
        for event in self._under_way():
            said = {"error": str(said_to(event.request, CUT)), "visible": True}
            queue = next(one for one in self.queues if event._id in one.event_ids_to_events)
            queue.send_message(event, ProcessCompletedMessage(output=said, success=False))
        time.sleep(A_MOMENT)  # until it was sent

    async def _refusal(self, queue: Any, body: Any, request: Any) -> Problem | None:
        if self.visitors.is_closing:
            return CLOSING
        fn = queue.blocks.fns.get(body.fn_index)
        if fn is None:
            return None  # Gradio says so
        address = address_of(request)
        events = self._under_way()
        if len(events) >= MOST_EVENTS:
            return BUSY
        of_address = [one for one in events if address_of(one.request) == address]
        of_session = [one for one in of_address if one.session_hash == body.session_hash]
        if len(of_session) >= EVENTS_OF_SESSION or len(of_address) >= EVENTS_OF_ADDRESS:
            return ENOUGH_FROM_HERE
        if fn.concurrency_id not in WAITING_FOR:
            return None
        is_limited = fn.concurrency_id == ANSWERING and queue.most_answers is not None
        if is_limited and self._asked_of(queue) >= queue.most_answers():
            return ENOUGH_ASKED
        alike = [one for one in events if one.fn.concurrency_id == fn.concurrency_id]
        return await self._refused_answer(alike, address, body.session_hash, WAITING_FOR[fn.concurrency_id])

    def _under_way(self) -> list[Any]:
        """What waits or is worked on: Gradio keeps an event a little longer than until its answer was sent."""
        found = []
        for queue in self.queues:
            unsent = queue.pending_event_ids_session
            every = list(queue.event_ids_to_events.items())
            found += [event for id, event in every if id in unsent.get(event.session_hash, ())]
        return found

    async def _refused_answer(
        self, asked: list[Any], address: str, session: str, most: tuple[int, int, int]
    ) -> Problem | None:
        of_all, of_one_address, of_one_session = most
        of_address = [one for one in asked if address_of(one.request) == address]
        if sum(one.session_hash == session for one in of_address) >= of_one_session:
            return ENOUGH_ASKED
        if len(of_address) >= of_one_address and not await self._drop_unheard(of_address):
            return ENOUGH_FROM_HERE
        if len(asked) >= of_all and not await self._drop_unheard(asked):
            return BUSY
        return None

    async def _drop_unheard(self, events: list[Any]) -> bool:
        """Make room for one: of the questions whose answers nobody listens for the oldest of whoever has most of them
        is dropped. Was there one?
        """
        silent = [one for one in events if not self.visitors.listens(one.session_hash)]
        if not silent:
            return False
        owners = Counter(self.visitors.owner_of(one.session_hash) for one in silent)
        dropped = max(silent, key=lambda one: owners[self.visitors.owner_of(one.session_hash)])
        self.visitors.drop(dropped.session_hash)
        said = {"error": str(NOBODY_LISTENED), "visible": True}
        queue = next(one for one in self.queues if dropped._id in one.event_ids_to_events)
        queue.send_message(dropped, ProcessCompletedMessage(output=said, success=False))
        await queue.clean_events(event_id=dropped._id)
        queue.pending_event_ids_session.get(dropped.session_hash, set()).discard(dropped._id)
        return True

    def _forget_unheard(self, queue: Any) -> None:
        """Of sessions that ask and never fetch an answer Gradio keeps something for ever."""
        kept = queue.pending_event_ids_session
        if len(kept) <= KEPT_MESSAGES:
            return
        waiting = {one.session_hash for one in queue.event_ids_to_events.values()}
        for session in [name for name in kept if name not in waiting and not self.visitors.listens(name)]:
            kept.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)


def address_of(request: Any) -> str:
    """Who asks; "" where that is not known."""
    client = getattr(request, "client", None)
    return neighbourhood(client.host) if client else ""
