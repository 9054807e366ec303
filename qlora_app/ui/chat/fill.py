"""How full a model's context would be with a question, before it is asked."""

from collections.abc import Callable
from typing import Any

from ...errors import UserError
from ...inference.session import ChatSession
from ...inference.sides import Here, Side
from ...tasks.generate import Prompt, context_of
from ..context import AppContext
from ..guard import served
from ..translate import translate
from .answering import Answering, Talk
from .history import Asking, decoding_of, system_of, text_of


class Fill:
    """Asks the models that are in memory, and loads none."""

    def __init__(self, page: AppContext, answering: Answering) -> None:
        self.page, self.answering = page, answering

    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        """What the script of the chat calls."""
        return [served(self.measure)]

    def measure(self, asked: Any) -> dict[str, Any]:
        """A question as it would be asked, with {"run", "how"} -> {"used", "context": tokens, "note": what would be
        left out, in words} of the fullest column; {} where no model is there to say so.
        """
        asked = asked if isinstance(asked, dict) else {}
        how = asked.get("how") if isinstance(asked.get("how"), dict) else {}
        talk = Talk(Asking.of(asked), text_of(asked.get("run"), 200), system_of(how.get("system")), decoding_of(how))
        found: dict[str, Any] = {}
        try:
            for place, side in talk.asking.answering(talk.run).items():
                told = self._of(talk, place, side)
                if told and told["used"] * found.get("context", 1) >= found.get("used", 0) * told["context"]:
                    found = told
        except UserError:  # it is said when it is asked
            return {}
        return found

    def _of(self, talk: Talk, place: int, side: Side) -> dict[str, Any]:
        session = self._session(side)
        context = context_of(session.model) if session else None
        if session is None or context is None:
            return {}
        voice = Here(session, side.is_base)
        turns = [*self.answering.first_turn(talk, side, voice), *talk.asking.conversation(place)]
        prompt: Prompt = session.prompt(turns, talk.decoding)
        return {"used": prompt.whole, "context": context, "note": translate(prompt.note)}

    def _session(self, side: Side) -> ChatSession | None:
        run = self.page.find(side.run)
        if side.who not in ("run", "base") or run is None:
            return None
        if not run.task().is_chat or self.page.sessions.state(run, side.checkpoint).state != "ready":
            return None
        session: ChatSession = self.page.sessions.get(run, side.checkpoint)
        return session
