"""What the form does by itself: which settings it suggests, what a person's own stay, what an effort means. No Gradio.

A form is at rest when its settings were suggested for the model, the data and the method that stand on it. `Suggested`
travels with the values it belongs to, so that each picture of a form can be judged alone: whichever answer comes last,
and whichever never comes, a form that is not at rest is seen to be so and is put at rest.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...base_models import ModelChoice
from ...choices import variant_of
from ...effort import effort_of, epochs_meant
from ...errors import UserError
from ...presets import suggested
from ...recipe import Recipe
from ...training_data import DatasetChoice
from . import form_values as form
from .form_values import ANSWERS_BY, BATCH_SIZE, COLUMNS, DATA, EPOCHS, METHOD, MODEL, PAIRS, Values

BALANCED = "balanced"
CHOSEN = (MODEL, DATA, METHOD)  # what settings are suggested for
UNSEEN = (*PAIRS, "name", "note")  # not named among a person's own settings


@dataclass(frozen=True)
class Suggested:
    """What the settings of a form were suggested for, and what a person answered about data chosen before."""

    model: Any = ""  # values of the controls
    data: Any = ""
    method: Any = ""
    answers: dict[str, Values] = field(default_factory=dict)  # {data: {setting that says something of it: value}}

    @classmethod
    def of(cls, values: Values, answers: dict[str, Values] | None = None) -> "Suggested":
        """For what stands on the form now."""
        return cls(model=values[MODEL], data=values[DATA], method=values[METHOD], answers=answers or {})

    def is_for(self, values: Values) -> bool:
        """Do model, data and method stand on the form?"""
        return (self.model, self.data, self.method) == tuple(values[name] for name in CHOSEN)

    def to_json(self) -> str:
        """As the browser keeps it beside the values."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: Any) -> "Suggested":
        """What `to_json` wrote; what anybody else may have sent counts as a form nothing was suggested for."""
        try:
            given = json.loads(text)
            return cls(given["model"], given["data"], given["method"], dict(given["answers"]))
        except (TypeError, ValueError, KeyError):
            return cls()


@dataclass(frozen=True)
class FormState:
    """What stands on the form: every control's value, the effort (None for epochs of one's own), and what it was
    suggested for.
    """

    values: Values
    effort: str | None
    suggested: Suggested

    @property
    def is_at_rest(self) -> bool:
        """Are its settings those suggested for what is chosen on it, or a person's own?"""
        return self.suggested.is_for(self.values)

    @property
    def model(self) -> ModelChoice:
        return form.chosen_model(self.values[MODEL])

    @property
    def data(self) -> DatasetChoice:
        return form.data_of(self.values)

    @property
    def method(self) -> str:
        return self.values[METHOD]


class FormLogic:
    """Suggestions for a form. It reads the data, as far as that is on this machine, and changes nothing."""

    def __init__(self, data_folder: Path, has_columns: Callable[[DatasetChoice], bool]) -> None:
        """`has_columns`: has the data every column that is named in it?"""
        self.data_folder = data_folder
        self.has_columns = has_columns

    # ---- suggestions

    def first(self) -> Recipe:
        """What a fresh page starts with: the preset of the first starter dataset."""
        return suggested(ModelChoice(), DatasetChoice())

    def advice(self, model: ModelChoice, data: DatasetChoice, method: str = "") -> Recipe:
        """The suggested settings with a balanced effort for as much data as there is."""
        recipe = suggested(model, data, method)
        with contextlib.suppress(UserError):  # the data cannot be read: the line under it says so
            recipe = _with_epochs(recipe, epochs_meant(recipe, self.data_folder)[BALANCED])
        return recipe

    def advice_for(self, state: FormState) -> Recipe:
        """`advice` for what stands on the form."""
        return self.advice(state.model, state.data, state.method)

    def showing(self, recipe: Recipe) -> FormState:
        """A form that shows a recipe; the choice of its effort, where it is one of the three."""
        values = form.show(recipe)
        return FormState(values, self.effort_of(recipe), Suggested.of(values))

    def effort_of(self, recipe: Recipe) -> str | None:
        """The effort that means the recipe's epochs, if any does."""
        with contextlib.suppress(UserError):
            return effort_of(recipe.training.epochs, epochs_meant(recipe, self.data_folder))
        return None

    # ---- what happens to a form

    def at_rest(self, state: FormState) -> FormState:
        """The form with the settings suggested for what is chosen on it; what a person changed by hand stays.

        By hand is what differs from the suggestion the form was filled with. A form at rest stays as it is, but for the
        epochs of its effort.
        """
        state = self._with_answers(state)
        values = state.values
        old = self._advice_before(state)
        is_own_method = state.method != form.value_of(old, METHOD)
        new = self.advice(state.model, state.data, state.method if is_own_method else "")
        merged = {}
        for name, value in values.items():
            is_own = name in PAIRS or value != form.value_of(old, name)
            merged[name] = value if is_own else form.value_of(new, name)
        answers = state.suggested.answers
        rested = FormState(merged, state.effort, Suggested.of(merged, answers))
        if state.effort:
            with contextlib.suppress(UserError):  # the data cannot be read yet: the line under it says so
                merged[EPOCHS] = self.epochs(state.effort, rested)
        return rested

    def without(self, state: FormState, brought: Values) -> FormState:
        """The form as if what a recipe `brought` onto it had been suggested: it is nobody's own, and goes with that
        recipe. What says something of the data stays.
        """
        old = self._advice_before(state)
        values = dict(state.values)
        for name, value in state.values.items():
            stays = name in PAIRS or form.says_of_data(name)
            if not stays and name in brought and brought[name] == value:
                values[name] = form.value_of(old, name)
        has_its_epochs = EPOCHS in brought and values[EPOCHS] != state.values[EPOCHS]
        return FormState(values, state.effort or (BALANCED if has_its_epochs else None), state.suggested)

    def epochs(self, effort: str, state: FormState) -> float:
        """The epochs that an effort means for this data and batch size. Raises UserError where the data cannot be
        read.
        """
        batch_size = max(1, int(state.values[BATCH_SIZE] or 1))
        recipe = suggested(state.model, state.data)
        training = recipe.training.model_copy(update={"batch_size": batch_size})
        return epochs_meant(recipe.model_copy(update={"training": training}), self.data_folder)[effort]

    def _advice_before(self, state: FormState) -> Recipe:
        before = state.suggested
        return self.advice(form.chosen_model(before.model), form.chosen_data(before.data), before.method)

    def _with_answers(self, state: FormState) -> FormState:
        """Where other data was chosen: what was answered about the data before is remembered, and what was answered
        about this data stands on the form again.
        """
        before = state.suggested
        if state.values[DATA] == before.data:
            return state
        told = {name: value for name, value in state.values.items() if form.says_of_data(name)}
        answers = before.answers | {str(before.data): told}
        values = self._as_answered(state, answers.get(str(state.values[DATA])))
        return replace(state, values=values, suggested=replace(before, answers=answers))

    def _as_answered(self, state: FormState, answers: Values | None) -> Values:
        """Of data that is new here nothing is known: a subset of other data means nothing, and columns stay where it
        has them all.
        """
        columns_stay = answers is None and self.has_columns(state.data)
        values = dict(state.values)
        for name in values:
            stays = columns_stay and name.startswith(COLUMNS) and name != ANSWERS_BY
            if form.says_of_data(name) and not stays:
                values[name] = (answers or {}).get(name, form.default_of(name))
        return values

    # ---- what is said about it

    def own(self, state: FormState) -> dict[str, Any]:
        """{control: value} of the settings that are not as suggested. Epochs show in the effort, or in its having none
        chosen.
        """
        advice = self.advice_for(state)
        own = {}
        for name, value in state.values.items():
            is_seen = name not in UNSEEN and variant_of(name) in ("", state.method)
            if is_seen and value not in (None, form.value_of(advice, name)):
                own[name] = value
        if EPOCHS in own and not self._is_odd(own[EPOCHS], advice):
            del own[EPOCHS]
        return own

    def _is_odd(self, epochs: float, recipe: Recipe) -> bool:
        """Are these epochs none of the three efforts?"""
        with contextlib.suppress(UserError):
            return effort_of(epochs or 0, epochs_meant(recipe, self.data_folder)) is None
        return False


def _with_epochs(recipe: Recipe, epochs: float) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})
