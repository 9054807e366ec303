"""What a program finds by name with gradio_client, and an assistant as tools: /chat, /runs and /train."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from pydantic import ValidationError

from ..errors import UserError
from ..inference.session import Decoding
from ..launch.prices import check_agreed
from ..messages import Conversation
from ..overrides import as_typed, with_changes
from ..preflight import ready
from ..runs import Run
from ..runs.finding import find_run
from ..runs.labels import labels_of
from .chat.history import LONGEST_ANSWER, LONGEST_MESSAGE
from .chat.line import Line, NobodyListensError
from .context import AppContext
from .door.admission import ANSWERING, MOST_ANSWERS
from .guard import changes, reads

MOST_RUNS = 100


class Endpoints:
    """Functions with names; a visitor of a demonstration has all but the one that trains."""

    def __init__(self, page: AppContext, line: Line) -> None:
        """line: the one in which questions wait for a model."""
        self.page, self.line = page, line

    def build(self) -> None:
        gr.api(self.chat, api_name="chat", concurrency_id=ANSWERING, concurrency_limit=MOST_ANSWERS)
        gr.api(self.runs, api_name="runs")
        if self.page.may_change:
            gr.api(self.train, api_name="train")

    @reads
    def chat(
        self,
        message: str,
        run: str = "latest",
        history: list[dict[str, str]] | None = None,
        base: bool = False,
        temperature: float = 0.0,
        max_new_tokens: int = 256,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> Iterator[str]:
        """Ask a run's adapter, and read its answer as it grows.

        Args:
            message: the question
            run: the name of a run, the beginning of it, or latest
            history: the turns before it, each with role (system, user, assistant) and content
            base: ask the model that the run began with
            temperature: 0 takes the likeliest word each time
            max_new_tokens: an answer ends there at the latest
        """
        if not message.strip():
            raise UserError("chat.no_message", "Write a message first.")
        conversation = [*_turns(history), *_turns([{"role": "user", "content": message}])]
        decoding = _decoding(temperature, max_new_tokens)
        job = find_run(run, self.page.store, with_adapter=True)
        place = self.line.enter(request)
        try:
            for _ in self.line.wait(place, lambda: False):
                pass
            session = self.page.sessions.get(job)
            if not session.task.is_chat:
                session.task.check_asked(message)
                yield session.respond(message, base)
                return
            writing = session.write(
                session.as_trained(conversation),
                session.sampling(decoding, base),
                longest=decoding.max_new_tokens,
                base=base,
            )
            for said in writing:
                if not self.page.visitors.hears(request.session_hash):
                    writing.cancel()
                yield str(said)
        except NobodyListensError:
            return
        finally:
            self.line.leave(place)

    @reads
    def runs(self) -> list[dict[str, Any]]:
        """The newest runs: their id, name, state, step, steps in all, and what they say."""
        return [self._row(self.page.store.at(id)) for id in self.page.store.ids()[:MOST_RUNS]]

    @changes
    def train(self, preset: str = "starter", settings: dict[str, str] | None = None, most_dollars: float = 0.0) -> str:
        """Start a training, which waits where another one trains, and return the id of its run.

        Args:
            preset: the name of a preset, such as starter
            settings: other values for some of its settings, by their dotted names: {"training.epochs": "2"}
            most_dollars: what it may cost at most on a rented machine; a call that allows less says the price instead
        """
        if settings is not None and not isinstance(settings, dict):
            raise UserError(
                "train.no_settings", "settings: an object, such as {example}.", example='{"training.epochs": "2"}'
            )
        changed = {str(name): as_typed(value) for name, value in (settings or {}).items()}
        recipe = with_changes(self.page.presets.load(preset), changed)
        recipe = ready(recipe, self.page.settings).recipe
        check_agreed(recipe.launch, self.page.settings, most_dollars)
        self.page.make_room()
        run = self.page.store.create(recipe)
        self.page.start(run)
        return run.id

    def _row(self, run: Run) -> dict[str, Any]:
        status = run.status()
        return {
            "id": run.id,
            "name": labels_of(run).name,
            "state": status.state,
            "step": status.step,
            "total": status.total,
            "sentence": str(status.sentence) if self.page.may_open(run) else "",
        }


def _decoding(temperature: Any, longest: Any) -> Decoding:
    """Raises UserError where one of them is out of its bounds."""
    try:
        return Decoding(temperature=temperature, base_temperature=temperature, max_new_tokens=longest)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UserError("chat.decoding", "{name}: {why}.", name=first["loc"][0], why=first["msg"]) from None


def _turns(history: Any) -> Conversation:
    """Raises UserError where a turn is none."""
    turns: Conversation = []
    rows = history if isinstance(history, list | None) else [history]
    for turn in rows or []:
        role = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        most = LONGEST_ANSWER if role == "assistant" else LONGEST_MESSAGE
        if role not in ("system", "user", "assistant") or not isinstance(content, str) or len(content) > most:
            raise UserError(
                "chat.turn",
                "A turn has a role (system, user or assistant) and a content, a text of at most {most:,} characters.",
                most=most,
            )
        turns.append({"role": role, "content": content})
    return turns
