"""What the form does by itself: which settings it suggests, what a person's own stay, what an effort means. No Gradio.

A form is at rest when its settings were suggested for the model, the data and the method that stand on it. `Suggested`
travels with the values it belongs to, so that each picture of a form can be judged alone: whichever answer comes last,
and whichever never comes, a form that is not at rest is seen to be so and is put at rest.
"""

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...base_models import ModelChoice, tasks_here
from ...choices import tasks_of, variant_of
from ...differs import made_name
from ...effort import effort_of, ends_by_steps, epochs_meant
from ...errors import UserError
from ...preferences import WITH_REFERENCE, uses
from ...preflight import examples_of
from ...presets import Presets, suggested
from ...recipe import Recipe
from ...training_data import DatasetChoice
from . import form_values as form
from .form_values import (
    ANSWERS_BY,
    BATCH_SIZE,
    COLUMNS,
    DATA,
    DATA_SETTINGS,
    EPOCHS,
    MAX_STEPS,
    METHOD,
    MODEL,
    NAME,
    PAIRS,
    TRAINER,
    Values,
)

BALANCED = "balanced"
AGAIN = re.compile(r" \(\d+\)$")  # of a name that another run has already
CHOSEN = (MODEL, DATA, METHOD, TRAINER)  # what settings are suggested for
UNSEEN = (*PAIRS, NAME, "note")  # not named among a person's own settings


@dataclass(frozen=True)
class Suggested:
    """What the settings of a form were suggested for, and what a person answered about data chosen before."""

    model: Any = ""  # values of the controls
    data: Any = ""
    method: Any = ""
    trainer: Any = "sft"
    answers: dict[str, Values] = field(default_factory=dict)  # {data: {setting that says something of it: value}}

    @classmethod
    def of(cls, values: Values, answers: dict[str, Values] | None = None) -> "Suggested":
        """For what stands on the form now."""
        model, data, method, trainer = (values[name] for name in CHOSEN)
        return cls(model=model, data=data, method=method, trainer=trainer, answers=answers or {})

    def is_for(self, values: Values) -> bool:
        """Do model, data, method and trainer stand on the form?"""
        return (self.model, self.data, self.method, self.trainer) == tuple(values[name] for name in CHOSEN)

    def to_json(self, who: str = "") -> str:
        """As the browser keeps it beside the values. who: has logged in, and is the only one to find it again."""
        return json.dumps(asdict(self) | {"who": who})

    @classmethod
    def from_json(cls, text: Any) -> "Suggested":
        """What `to_json` wrote; what anybody else may have sent counts as a form nothing was suggested for."""
        try:
            given = json.loads(text)
            chosen = given["model"], given["data"], given["method"], given["trainer"]
            return cls(*chosen, dict(given["answers"]))
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

    def changed_by(self, values: Values) -> "FormState":
        """With other values for some controls; with a model come those that suit it."""
        now = replace(self, values=self.values | values)
        if MODEL not in values:
            return now
        return replace(now, suggested=Suggested.of(now.values, self.suggested.answers))

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

    @property
    def trainer(self) -> str:
        return self.values[TRAINER]


class FormLogic:
    """Suggestions for a form. It reads the data, as far as that is on this machine, and changes nothing."""

    def __init__(
        self,
        data_folder: Path,
        has_columns: Callable[[DatasetChoice], bool],
        begins_with: Callable[[Recipe], str] = lambda recipe: "",
    ) -> None:
        """`has_columns`: has the data every column that is named in it? `begins_with`: the run whose adapter fits a
        recipe and has learned answers; empty where there is none.
        """
        self.data_folder = data_folder
        self.has_columns = has_columns
        self.begins_with = begins_with

    # ---- suggestions

    def first(self) -> Recipe:
        """What a fresh page starts with: the preset of the first starter dataset."""
        return suggested(ModelChoice(), DatasetChoice()).model_copy(update={"name": ""})

    def advice(self, model: ModelChoice, data: DatasetChoice, method: str = "", trainer: str = "") -> Recipe:
        """The suggested settings with a balanced effort for as much data as there is. Its name is made of them.

        What is held against a reference goes on with an adapter that has learned to answer, where there is one.
        """
        recipe = suggested(model, data, method, trainer).model_copy(update={"name": ""})
        if trainer in WITH_REFERENCE and (run := self.begins_with(recipe)):
            training = recipe.training.model_copy(update={"start_from": run})
            recipe = recipe.model_copy(update={"training": training})
        with contextlib.suppress(UserError):  # the data cannot be read: the line under it says so
            recipe = _with_epochs(recipe, epochs_meant(recipe, self.data_folder)[BALANCED])
        return recipe

    def advice_for(self, state: FormState) -> Recipe:
        """`advice` for what stands on the form."""
        return self.advice(state.model, state.data, state.method, state.trainer)

    def showing(self, recipe: Recipe) -> FormState:
        """A form that shows a recipe; the choice of its effort, where it is one of the three. A name that was made for
        it is made anew, so that it goes on saying what differs.
        """
        values = form.show(recipe)
        if self.is_made_name(recipe):
            values[NAME] = ""
        return FormState(values, self.effort_of(recipe), Suggested.of(values))

    def effort_of(self, recipe: Recipe) -> str | None:
        """The effort that means the recipe's epochs, if any does: none where max steps end it earlier."""
        with contextlib.suppress(UserError):
            if not ends_by_steps(recipe, self.data_folder):
                return effort_of(recipe.training.epochs, epochs_meant(recipe, self.data_folder))
        return None

    # ---- its name

    def made_name(self, recipe: Recipe) -> str:
        """What a run of this recipe is called until somebody names it."""
        return made_name(recipe, self._examples(recipe.dataset))

    def is_made_name(self, recipe: Recipe) -> bool:
        """Was its name made of what differs, or does it come with a preset of the app?"""
        name = AGAIN.sub("", recipe.name)
        if not name or name == self.made_name(recipe):
            return True
        return name in {preset.name for preset in Presets().all()[0].values()}

    def _examples(self, data: DatasetChoice) -> int | None:
        with contextlib.suppress(UserError):
            return len(examples_of(data, self.data_folder).train)
        return None

    def has_preferences(self, data: DatasetChoice) -> bool:
        """Does it say which answers people prefer?"""
        with contextlib.suppress(UserError):
            examples = examples_of(data, self.data_folder)
            return bool(examples.pairs or examples.labelled)
        return False

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
        new = self.advice(state.model, state.data, state.method if is_own_method else "", state.trainer)
        merged = {}
        for name, value in values.items():
            is_own = name in (*PAIRS, TRAINER) or value != form.value_of(old, name)
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
        model, data = form.chosen_model(before.model), form.chosen_data(before.data)
        return self.advice(model, data, before.method, before.trainer)

    def _with_answers(self, state: FormState) -> FormState:
        """Where other data was chosen: what was answered about the data before is remembered, and what was answered
        about this data stands on the form again.
        """
        before = state.suggested
        if state.values[DATA] == before.data:
            return state
        told = {name: value for name, value in state.values.items() if form.says_of_data(name)}
        answers = before.answers | {str(before.data): told}
        values = dict(state.values)
        if state.data.id:  # where none is chosen, what was said stays for the next that has the same columns
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
        chosen; what says how the data is read shows with the data.
        """
        advice = self.advice_for(state)
        own = {}
        for name, value in state.values.items():
            is_seen = name not in UNSEEN and not form.says_of_data(name) and variant_of(name) in ("", state.method)
            if form.is_of_another_place(name, state.values):
                continue
            if is_seen and value not in (None, self.suggested_value(name, advice)):
                own[name] = value
        if EPOCHS in own and not self._is_odd(own[EPOCHS], advice):
            del own[EPOCHS]
        return own

    def unused(self, state: FormState) -> list[str]:
        """The controls that the task on the form makes no use of, in the order of the form. What a person typed into
        one stays to be seen, but for what is of another place.
        """
        named = state.values[form.TASK]
        possible = (named,) if named != "auto" else tasks_here(state.model)
        if "chat" in possible:  # automatic takes it whenever the model can
            possible = ("chat",)
        unused = []
        for name, value in state.values.items():
            if form.is_of_another_place(name, state.values):
                unused.append(name)
                continue
            tasks = tasks_of(form.FIELDS[name]) if name in form.FIELDS else ()
            is_for_another = name.startswith("preferences.") and not uses(state.trainer, name.rpartition(".")[2])
            is_for_another = is_for_another or form.cannot_be_shared(name, state.values)
            if is_for_another and value == form.default_of(name):
                unused.append(name)
            if tasks and not set(tasks) & set(possible) and value == form.default_of(name):
                unused.append(name)
        return unused

    def suggested_value(self, name: str, advice: Recipe) -> Any:
        """What a control shows where nobody changed it."""
        if name.startswith(DATA_SETTINGS):  # the advice takes data as it is on the form
            return form.default_of(name)
        return form.value_of(advice, name)

    def back(self, state: FormState, name: str) -> Values:
        """{control: value} that sets one setting back to what is suggested."""
        if name not in state.values or name in PAIRS:
            return {}
        if name == METHOD:
            return {METHOD: form.value_of(self.advice(state.model, state.data), METHOD)}
        return {name: self.suggested_value(name, self.advice_for(state))}

    def with_effort(self, state: FormState) -> Values:
        """{control: value} that an effort means: so many epochs, and no max steps that would end it earlier."""
        if not state.effort:
            return {}
        return {EPOCHS: self.epochs(state.effort, state), MAX_STEPS: 0}

    def effort_shown(self, state: FormState, recipe: Recipe) -> str | None:
        """The effort that is seen to be chosen: none where max steps end the run; where none was chosen, the one that
        the epochs mean.
        """
        with contextlib.suppress(UserError):  # the data cannot be read: what was chosen stays
            if ends_by_steps(recipe, self.data_folder):
                return None
            return state.effort or self.effort_of(recipe)
        return state.effort

    def _is_odd(self, epochs: float, recipe: Recipe) -> bool:
        """Are these epochs none of the three efforts?"""
        with contextlib.suppress(UserError):
            return effort_of(epochs or 0, epochs_meant(recipe, self.data_folder)) is None
        return False


def _with_epochs(recipe: Recipe, epochs: float) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})
