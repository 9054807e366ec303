"""What is wrong with the form, as a list below it and at each field."""

from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import UserError
from ..events import FAST, Answer
from ..guard import reads
from ..theme import plain
from .form import TrainForm
from .stage import Stage
from .words import BEFORE_START, face_of, problem_words

SCRIPT = (Path(__file__).parent / "mistakes.js").read_text(encoding="utf-8")


class Mistakes:
    """The list, and the face of the stage that it turns to."""

    def __init__(self, form: TrainForm, stage: Stage) -> None:
        self.form = form
        self.stage = stage

    def build(self) -> None:
        """Nothing is wrong yet."""
        self.alert = plain(js_on_load=SCRIPT, elem_id="alert")

    def wire(self) -> None:
        """A mistake that is chosen in the list is gone to: its face is shown, and the script puts the focus there."""
        self.alert.turn(self.turn, None, self.stage.outputs, **FAST)

    @property
    def outputs(self) -> list[Any]:
        """What the answers below fill."""
        return [self.alert, *self.stage.outputs]

    def listed(self, error: UserError, heading: str = BEFORE_START) -> Answer:
        """The mistakes named, and the face of the stage shown where the first of them is."""
        answer: Answer = {self.alert: problem_words(error, heading)}
        faces = [face for face in map(face_of, error.problems) if face]
        return answer | self.stage.turned(faces[0]) if faces else answer

    def none(self) -> Answer:
        """Nothing is wrong any more."""
        return {self.alert: ""}

    # ---- handlers

    @reads
    def turn(self, event: gr.EventData) -> Answer:
        """The face on which a mistake is."""
        name = str((event._data or {}).get("field", ""))
        face = face_of(name)
        return self.stage.turned(face) if face else {}
