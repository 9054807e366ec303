"""One question answered by base and adapter: what the browser is told of it, while it waits and while they speak."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import UserError
from ...inference.session import ChatSession, Decoding
from ...inference.writing import Said
from ...messages import Conversation
from ...runs import Run
from ...runs.recipes import recipe_of
from ..context import AppContext
from ..guard import in_words
from ..translate import translate
from .history import Asking
from .line import Line, Newest, NobodyListensError, waiting_words
from .markdown import rendered

OFTEN = 0.1  # seconds between two pieces of news, at least
EARLY_STOPS = 1000  # that are remembered
SHARE = 10  # rendering takes at most one part of so many


@dataclass(frozen=True)
class Talk:
    """A question, to whom, and how it is asked."""

    asking: Asking
    run: str  # its id
    system: str
    decoding: Decoding


class Answering:
    """Answers questions in the order of the line, and says how far that is: JSON for the script of the page."""

    def __init__(self, page: AppContext, line: Line) -> None:
        self.page, self.line = page, line
        self.newest = Newest()
        self._names: dict[str, str] = {}  # of what is under way, by browser session
        self._early: deque[tuple[str, str]] = deque(maxlen=EARLY_STOPS)

    def stop(self, request: Any, name: str = "") -> None:
        """What is under way there ends within a token; with a name only the question of that name,
        also where it comes after its stop: the two take different ways.
        """
        if not name or self._names.get(request.session_hash) == name:
            self.newest.stop(request)
        else:
            self._early.append((request.session_hash, name))

    def answer(self, talk: Talk, request: Any) -> Iterator[str]:
        """What is new of one row of the chat, until it is whole. The browser of whoever stopped listening is told
        nothing more."""
        if not talk.asking.question:
            raise UserError("chat.no_message", "Write a message first.")
        name = talk.asking.name
        stop = self.newest.begin(request)
        self._names[request.session_hash] = name
        if (request.session_hash, name) in self._early:
            stop.set()
        place = self.line.enter(request)
        try:
            for before in self.line.wait(place, stop.is_set):
                yield news(name, "waiting", translate(waiting_words(before)))
            yield news(name, "loading", translate("Loading the model…"))
            yield from self._both(talk, stop, request)
        except NobodyListensError:
            yield news(name, "stopped")
        except Exception as error:  # whatever it is, it is said at the question, which stays
            yield news(name, "failed", translate(in_words(error, self.page.may_change)))
        finally:
            stop.set()
            self.line.leave(place)
            if self.newest.end(request, stop):
                self._names.pop(request.session_hash, None)

    def _both(self, talk: Talk, stop: threading.Event, request: Any) -> Iterator[str]:
        run = self.page.store.get(talk.run)
        session = self.page.sessions.get(run)
        name = talk.asking.name
        yield news(name, "thinking", translate("Thinking…"))
        first = self._first_turn(run, session, talk.system)
        for_base, for_adapter = ([*first, *talk.asking.conversation(side)] for side in ("base", "tuned"))
        note = translate(session.prompt(for_adapter, talk.decoding).note or "")
        said, now_and_then = (Said(""), Said("")), NowAndThen()
        for said in session.reply(for_base, for_adapter, talk.decoding, stop):
            if not self.page.visitors.hears(request.session_hash):
                stop.set()
            if now_and_then.is_time():
                with now_and_then:
                    told = news(name, "answering", note, said)
                yield told
        was_stopped = stop.is_set() and not self._has_ended(said)
        yield news(name, "stopped" if was_stopped else "done", note, said)

    @staticmethod
    def _has_ended(said: tuple[Said, Said]) -> bool:
        return all(one.is_whole for one in said)

    def _first_turn(self, run: Run, session: ChatSession, system: str) -> Conversation:
        """The system text as a turn; that of the examples for those who may not see it, and so cannot have changed
        it.
        """
        recipe = recipe_of(run)
        is_shown = recipe is not None and self.page.may_show(recipe.dataset)
        text = (system or "").strip() if is_shown else session.template.system
        return [{"role": "system", "content": text}] if text else []


def news(name: str, state: str, note: str = "", said: tuple[Said, Said] | None = None) -> str:
    """Of the question of that name: what the script of the page puts into its row."""
    told: dict[str, Any] = {"asking": name, "state": state, "note": note}
    if said:
        told |= {"base": _side(said[0]), "tuned": _side(said[1])}
    return json.dumps(told)


def _side(said: Said) -> dict[str, Any]:
    return {"text": str(said), "html": rendered(said), "tokens": said.tokens, "seconds": round(said.seconds, 2)}


class NowAndThen:
    """Lets through what is new some ten times a second, less often where drawing it takes long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = self._began = 0.0

    def is_time(self) -> bool:
        return self._clock() >= self._next

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(self, *_: object) -> None:
        took = self._clock() - self._began
        self._next = self._began + max(OFTEN, SHARE * took)
