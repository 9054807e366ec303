"""The Data face of the stage: a few rows with the learned part marked, other rows to look at, and what will be there at
the end.
"""

import gradio as gr

from ...errors import UserError
from ...preflight import examples_of
from ..context import AppContext
from ..events import FAST, Answer, Given
from ..guard import reads
from .data_words import longest_and_shortest
from .form import TrainForm
from .form_values import DATA, data_of
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

    def wire(self, upload: gr.UploadButton) -> None:
        """Data that is chosen or brought turns the stage to it."""
        form, control = self.form, self.form.controls.controls
        form.data.line.look(self.look, form.controls.data_inputs, form.data.line, **FAST)
        form.data.card.see(self.turn, None, self.stage.outputs, **FAST)
        # Not on `input`: a dropdown says that too when it is left, and the stage turned back from a run just begun.
        gr.on([control[DATA].select, upload.upload], self.turn, None, self.stage.outputs, **FAST)

    # ---- handlers

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
            return {self.form.data.line: self.form.data.face(choice, place, alone=True)}
        if not sent.isdecimal() or len(sent) > 9:
            raise UserError("dataset.no_such_example", "There is no such example.")
        return {self.form.data.line: self.form.data.face(choice, int(sent))}
