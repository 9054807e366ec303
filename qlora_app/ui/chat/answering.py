"""One question answered in every column: what the browser is told of it, while it waits and while they speak."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import UserError
from ...inference.llama_cpp import NAME as LLAMA_CPP
from ...inference.session import Decoding
from ...inference.sides import Replies, Side, Voice, voice_of
from ...inference.writing import Said
from ...messages import Conversation
from ...runs.recipes import recipe_of
from ..context import AppContext
from ..door.origins import neighbourhood
from ..guard import in_words
from ..translate import translate
from .blind import Blind
from .history import Asking
from .line import LOOK_AGAIN, Line, Newest, NobodyListensError, waiting_words
from .markdown import rendered
from .news import news

OFTEN = 0.1  # seconds between two pieces of news, at least
EARLY_STOPS = 1000  # that are remembered
SHARE = 10  # rendering takes at most one part of so many


@dataclass(frozen=True)
class Talk:
    """A question, whom it is asked, and how."""

    asking: Asking
    run: str  # the id of the one whose conversation it is
    system: str
    decoding: Decoding


class Answering:
    """Answers questions in the order of the line, and says how far that is: JSON for the script of the page."""

    def __init__(self, page: AppContext, line: Line) -> None:
        self.page, self.line = page, line
        self.blind = Blind(page)
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
        if (request.session_hash, name) in self._early:  # it may come after a newer question, which goes on
            yield news(name, "stopped")
            return
        self.page.tokens.check(self._asker(request))
        stop = self.newest.begin(request)
        self._names[request.session_hash] = name
        place = self.line.enter(request)
        try:
            for before in self.line.wait(place, stop.is_set):
                yield news(name, "waiting", translate(waiting_words(before)))
            for words in self.until_there(talk.asking.answering(talk.run).values(), stop, request):
                yield news(name, "loading", words)
            yield from self._said(talk, stop, request)
        except NobodyListensError:
            yield news(name, "stopped")
        except Exception as error:  # whatever it is, it is said at the question, which stays
            yield news(name, "failed", translate(in_words(error, self.page.may_change)))
        finally:
            stop.set()
            self.line.leave(place)
            if self.newest.end(request, stop):
                self._names.pop(request.session_hash, None)

    def _asker(self, request: Any) -> str:
        """Whose tokens are counted together: a member's page is one person's, visitors have an address each."""
        client = getattr(request, "client", None)
        return "" if self.page.may_change or client is None else neighbourhood(client.host)

    def until_there(self, sides: Iterable[Side], stop: threading.Event, request: Any) -> Iterator[str]:
        """Until all models are in memory: what each is waited for, in words. Raises NobodyListensError."""
        yield translate("Loading the model…")
        for one in [adapter for side in sides for adapter in side.adapters]:
            run = self.page.find(one.run)
            if run is None or run.adapter_at(one.checkpoint) is None:
                continue  # that column says so itself
            known = self.page.sessions.state(run, one.checkpoint)
            before = known.sentence if known.state == "absent" else ""  # why it is not there any more
            self.page.sessions.load(run, one.checkpoint)
            while (now := self.page.sessions.state(run, one.checkpoint)).state in ("waiting", "loading"):
                yield " ".join(translate(words) for words in (before, now.sentence) if words)
                if stop.wait(LOOK_AGAIN) or not self.page.visitors.hears(request.session_hash):
                    raise NobodyListensError

    def _said(self, talk: Talk, stop: threading.Event, request: Any) -> Iterator[str]:
        asking, name = talk.asking, talk.asking.name
        sides = asking.answering(talk.run)
        voices: dict[int, Voice] = {}
        for place, side in sides.items():
            voices[place] = voice_of(side, self.page.store, self.page.sessions, self.page.endpoints)
        yield news(name, "thinking", translate("Thinking…"))
        begun = dict(enumerate(asking.begun))
        first = {place: self.first_turn(talk, sides[place], voice) for place, voice in voices.items()}
        asked = [
            (voice, [*first[place], *asking.conversation(place)], begun.get(place, ""))
            for place, voice in voices.items()
        ]
        replies = Replies(asked, talk.decoding, stop)
        own = {place: text_of_first(turns) for place, turns in first.items() if self._is_own(talk, sides[place], turns)}
        columns, note, now_and_then = Columns(voices, self.page.may_change, own), translate(replies.note), NowAndThen()
        is_blind = asking.blind and self.blind.can_hide(sides)
        try:
            for said in replies:
                if not self.page.visitors.hears(request.session_hash):
                    stop.set()
                if not is_blind and now_and_then.is_time():  # how fast it speaks would tell who it is
                    with now_and_then:
                        told = news(name, "answering", note, columns.told(said))
                    yield told
        finally:  # also where somebody cancels it
            said = replies.said()
            self.page.tokens.add(self._asker(request), sum(one.tokens for one in said))
        answers = columns.told(said)
        if sentence := columns.wrong_with_all(said):
            yield news(name, "failed", sentence)
            return
        was_stopped = stop.is_set() and not all(one.is_whole or one.error for one in said)
        if is_blind and not was_stopped and not any(one.error for one in said):
            yield self.blind.news(asking, sides, note, answers)
            return
        yield news(name, "stopped" if was_stopped else "done", note, answers)

    def _is_own(self, talk: Talk, side: Side, turns: Conversation) -> bool:
        """Was it asked with another system text than that of the settings, which may be shown?"""
        run = self.page.find(side.mix[0].run if side.mix else side.run)
        recipe = recipe_of(run) if run else None
        is_shown = recipe is not None and self.page.may_show(recipe.dataset)
        return is_shown and text_of_first(turns) != talk.system.strip()

    def first_turn(self, talk: Talk, side: Side, voice: Voice) -> Conversation:
        """The system text as a turn. Raises UserError where the run of the conversation is gone."""
        return first_turn(self.page, talk, side, voice.system)


def first_turn(page: AppContext, talk: Talk, side: Side, trained: str) -> Conversation:
    """The system text as a turn; that of the examples for those who may not see it, and so cannot have changed it.

    One that was left as it is for the run of the conversation is left so for the others: each has its own. trained: the
    system text that a side was trained with. Raises UserError where the run of the conversation is gone.
    """
    text = talk.system.strip()
    run = page.store.get(talk.run)
    recipe = recipe_of(run)
    is_shown = recipe is not None and page.may_show(recipe.dataset)
    is_as_trained = side.run != run.id and text == str(run.trained_with().get("system", "")).strip()
    if not is_shown or is_as_trained:
        text = trained
    return [{"role": "system", "content": text}] if text else []


def text_of_first(turns: Conversation) -> str:
    """What `first_turn` says; "" for nothing."""
    return str(turns[0]["content"]) if turns else ""


class Columns:
    """What the columns of one question say, for the script of the page."""

    def __init__(self, voices: dict[int, Voice], may_change: bool, own: dict[int, str] | None = None) -> None:
        """voices: by the number of the column. own: system texts that are not as in the settings."""
        self.voices, self._may_change, self._own = voices, may_change, own or {}
        self.wrong: dict[int, str] = {}  # what went wrong in a column, in words

    def told(self, said: Sequence[Said]) -> dict[int, dict[str, Any]]:
        """By the number of the column; said: in their order."""
        columns = zip(self.voices.items(), said, strict=True)
        return {place: self._told(place, voice, one) for (place, voice), one in columns}

    def wrong_with_all(self, said: Sequence[Said]) -> str:
        """The sentence that is true of every column, where none has said anything."""
        sentences = {self.wrong.get(place, "") for place in self.voices}
        return sentences.pop() if len(sentences) == 1 and not any(said) else ""

    def _told(self, place: int, voice: Voice, said: Said) -> dict[str, Any]:
        if said.error and place not in self.wrong:
            self.wrong[place] = translate(in_words(said.error, self._may_change))
        told = {"text": str(said), "html": rendered(said), "tokens": said.tokens, "seconds": round(said.seconds, 2)}
        told |= {"checksum": voice.checksum, "problem": self.wrong.get(place, ""), "end": said.why or ""}
        if place in self._own:
            told["system"] = self._own[place]
        return told | ({"engine": said.engine} if said.engine == LLAMA_CPP else {})


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
