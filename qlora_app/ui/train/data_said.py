"""What is said of the chosen data, in one piece, so that it is always said of the same data: on its card how many rows
there are, on its face a few of them and what will be there at the end. While data is read that is all that is said:
no figure of the data before is to be seen.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ...base_models import facts_here
from ...errors import UserError
from ...preflight import examples_of
from ...recipe import Recipe
from ...training_data import DatasetChoice
from ..context import AppContext
from ..events import FAST, Answer
from ..language import texts_in
from ..scripts import shared
from ..theme import on_click, plain
from .data_words import card_words, face_words, promise_words, waits_words
from .form_state import FormLogic, FormState
from .form_values import MAX_STEPS, TASK

FOLDER = Path(__file__).parent
DATA_CARD = (FOLDER / "data_card.js").read_text(encoding="utf-8")
TimeOf = Callable[[Recipe, str], str]


def _in_browser(name: str) -> str:
    """A script with the texts it says, as an event takes it."""
    words = (FOLDER.parent / "runs" / "words.js").read_text(encoding="utf-8")
    script = "\n".join((FOLDER / part).read_text(encoding="utf-8") for part in ("suggested_for.js", name))
    texts = json.dumps(texts_in(script), ensure_ascii=False)
    return shared(f"(...given) => {{ const TEXTS = {texts};\n{words}\n{script} }}")


BEGIN = _in_browser("reading_begins.js")
READ = _in_browser("file_is_read.js")
END = _in_browser("reading_ends.js")


class DataSaid:
    """Its components, and the words in them."""

    def __init__(self, page: AppContext, logic: FormLogic, time_of: TimeOf) -> None:
        """`time_of`: how long a recipe takes with an effort, in words."""
        self.page = page
        self.logic = logic
        self.time_of = time_of

    # ---- components

    def build_card(self, first: Recipe) -> None:
        """In a line: how much data there is."""
        self.reading = plain(elem_id="data-reading")
        self.card = plain(self._card(first.dataset), js_on_load=DATA_CARD, elem_id="data-card")

    def build_line(self, first: Recipe) -> None:
        """A few rows of the data, and what is known of it."""
        self.reading_face = plain(elem_id="face-reading")
        self.line = plain(
            self.face(first.dataset),
            js_on_load=on_click("look", "at") + on_click("tokens", "tokens"),
            elem_id="data-line",
        )

    def build_promise(self, first: Recipe) -> None:
        """What will be there at the end."""
        self.promise = plain(self._promise(first, self.logic.effort_of(first)), elem_id="promise")

    @property
    def outputs(self) -> list[Component]:
        """What `about` fills."""
        return [self.card, self.line, self.promise]

    @property
    def readings(self) -> list[Component]:
        """What says that data is being read, while it is."""
        return [self.reading, self.reading_face]

    def begin(self, events: Sequence[Any], chosen: list[Component], start: gr.Button) -> None:
        """Whatever of the earlier data is shown goes in the moment other data is `chosen`; `start` waits for it.
        `chosen`: files, or the list of data and what the settings on the form were suggested for.
        """
        gr.on(list(events), None, chosen, [*self.readings, start], js=BEGIN, **FAST)

    def read_after(self, event: Any) -> None:
        """The file that was being read is what stands on the form now."""
        event.then(None, self.readings, self.readings, js=READ, **FAST)

    def end_after(self, event: Any, chosen: Component, suggested: Component) -> None:
        """What was read is said, where what stands there belongs to what is `chosen`: the form says what its settings
        were `suggested` for. A file that is being read is done with where it has been brought, and never before.
        """
        event.then(None, [chosen, suggested, *self.readings], self.readings, js=END, **FAST)

    # ---- words

    def about(self, state: FormState) -> Answer:
        """All that is said of the data on a form."""
        return {self.card: self._card(state.data), self.line: self.face(state.data), self.promise: self.foreseen(state)}

    def face(self, choice: DatasetChoice, at: int = 0, alone: bool = False) -> str:
        """Rows from a place on, or that one alone."""
        return face_words(choice, self.page.settings.data, self.page.may_show, at, alone)

    def waits(self, choice: DatasetChoice) -> str:
        """Why a run cannot start with these data; empty where it can."""
        return waits_words(choice, self.page.settings.data)

    def foreseen(self, state: FormState) -> str:
        """What will be there at the end of what is on the form now."""
        effort = None if state.values.get(MAX_STEPS) else state.effort
        named = str(state.values.get(TASK) or "auto")
        return self._promise(self.logic.advice_for(state), effort, "" if named == "auto" else named)

    def _card(self, choice: DatasetChoice) -> str:
        return card_words(choice, self.page.settings.data, self.page.may_show)

    def _promise(self, recipe: Recipe, effort: str | None, task: str = "") -> str:
        """Empty where the data asks something, or is not here. `task`: which was chosen; empty where the model
        decides.
        """
        try:
            examples = examples_of(recipe.dataset, self.page.settings.data)
        except (UserError, OSError):
            return ""
        facts = facts_here(recipe.base_model)
        task = task or recipe.task_on(facts.tasks if facts else ())
        if task in ("", "chat") and examples.train[0][-1]["role"] == "text":
            task = "text"
        time = self.time_of(recipe, effort) if effort else ""
        return promise_words(recipe, task, time)
