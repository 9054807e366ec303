"""The Data face of the stage: a few rows with the learned part marked, other rows to look at, and what will be there at
the end.
"""

import gradio as gr
from gradio.components import Component

from ...base_models import facts_here
from ...errors import UserError
from ...preflight import examples_of
from ...recipe import Recipe
from ...training_data import DatasetChoice
from ..context import AppContext
from ..events import FAST, LAST, QUIET, Answer, Given
from ..guard import reads
from ..theme import plain
from .data_words import face_words, longest_and_shortest, promise_words
from .form import TrainForm
from .form_values import DATA, METHOD, TASK, Values, data_of
from .stage import Stage

MAX_STEPS = "training.max_steps"  # an end of its own: what an effort takes says nothing then
EXTREMES = {"longest": 0, "shortest": 1}


class DataFace:
    """Its components and what they do. The rows themselves are the form's, which knows when other data is on it."""

    def __init__(self, page: AppContext, form: TrainForm, stage: Stage) -> None:
        self.page = page
        self.form = form
        self.stage = stage

    # ---- components

    def build_promise(self) -> None:
        """What will be there at the end."""
        first = self.form.controls.first
        words = self._promise(first, self.form.logic.effort_of(first))
        self.promise = plain(words, elem_id="promise")

    @property
    def view(self) -> list[Component]:
        """What `showing` fills."""
        return [self.promise]

    def wire(self, upload: gr.UploadButton) -> None:
        """Data that is chosen or brought turns the stage to it."""
        form, control = self.form, self.form.controls.controls
        form.data_line.look(self.look, form.controls.inputs, form.data_line, **FAST)
        form.data_card.see(self.turn, None, self.stage.outputs, **FAST)
        gr.on([control[DATA].input, upload.upload], self.turn, None, self.stage.outputs, **FAST)
        changed = [form.touched.change, form.effort.change, control[TASK].change, control[METHOD].change]
        gr.on(changed, self.foresee, form.inputs, self.promise, **QUIET, **LAST)

    # ---- handlers

    def showing(self, recipe: Recipe) -> Answer:
        """What stands there with a recipe on the form."""
        effort = None if recipe.training.max_steps else self.form.logic.effort_of(recipe)
        return {self.promise: self._promise(recipe, effort)}

    @reads
    def turn(self) -> Answer:
        """The data is what is looked at."""
        return self.stage.turned("data")

    @reads
    def look(self, given: Given, event: gr.EventData) -> Answer:
        """Other rows: from a place on, or the longest or the shortest alone."""
        choice = data_of(self.form.values(given))
        sent = str((event._data or {}).get("at", ""))
        if sent in EXTREMES and self.page.may_show(choice):
            place = longest_and_shortest(examples_of(choice, self.page.settings.data))[EXTREMES[sent]]
            return {self.form.data_line: self._face(choice, place, alone=True)}
        if not sent.isdecimal() or len(sent) > 9:
            raise UserError("dataset.no_such_example", "There is no such example.")
        return {self.form.data_line: self._face(choice, int(sent))}

    @reads
    def foresee(self, given: Given) -> Answer:
        """What will be there at the end of what is on the form now."""
        state = self.form.state(given)
        effort = None if state.values.get(MAX_STEPS) else state.effort
        return {self.promise: self._promise(self.form.logic.advice_for(state), effort, self._task(state.values))}

    # ---- words

    def _face(self, choice: DatasetChoice, at: int, alone: bool = False) -> str:
        return face_words(choice, self.page.settings.data, self.page.may_show, at, alone)

    def _task(self, values: Values) -> str:
        """Which task was chosen; empty where the model decides."""
        named = str(values.get(TASK) or "auto")
        return "" if named == "auto" else named

    def _promise(self, recipe: Recipe, effort: str | None, task: str = "") -> str:
        """Empty where the data asks something, or is not here."""
        try:
            examples = examples_of(recipe.dataset, self.page.settings.data)
        except (UserError, OSError):
            return ""
        facts = facts_here(recipe.base_model)
        task = task or recipe.task_on(facts.tasks if facts else ())
        if task in ("", "chat") and examples.train[0][-1]["role"] == "text":
            task = "text"
        time = self.form.time_of(recipe, effort) if effort else ""
        return promise_words(recipe, task, time)
