"""The form as a whole: its controls, the effort, and what is said about them.

Handlers answer in any order, and one may be dropped while it is still busy. So what depends on something else is
never left to the one that happened to change it: `settle` looks at the form after every change, whoever made it, and
brings it to rest.
"""

from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import gradio as gr
from gradio.components import Component

from ...effort import awaits_speed, effort_choices
from ...errors import UserError
from ...overrides import command_for
from ...recipe import EFFORTS, Recipe
from ...training_data import DatasetChoice, import_text
from ..audit import who_asks
from ..context import AppContext
from ..events import FAST, LAST, QUIET, Answer, Given
from ..guard import WHY_NOT, reads
from ..theme import plain
from . import form_values as form
from .data_said import DataSaid
from .form_kept import keeping, stood
from .form_state import BALANCED, FormLogic, FormState, Suggested
from .form_values import BATCH_SIZE, DATA, DATA_SETTINGS, EPOCHS, MAX_STEPS, PAIRS, Values
from .measured import Measured
from .recipe_form import SECTIONS, RecipeForm
from .setting_marks import marks_words
from .settings_search import search_box, search_index
from .stage import Stage
from .where import price_line
from .words import chips_words, command_words, quiet, steps_here, summary_words

_HERE = Path(__file__).parent
_SCRIPTS = ("copy", "chips", "summary", "settings_search", "setting_marks", "times_follow")
COPY, CHIPS, SUMMARY, SEARCH, MARKS, TIMES = ((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
LAST_SECTION = "saving"
ONE_TAB_STOP = "guanacoOneTabStop('effort'); guanacoEditMade('f-name');"


class TrainForm:
    """Its components beside the controls, and what they do."""

    def __init__(self, page: AppContext, controls: RecipeForm, logic: FormLogic, stage: Stage) -> None:
        self.page = page
        self.controls = controls
        self.logic = logic
        self.stage = stage
        self.data = DataSaid(page, logic, self.time_of)
        self.measured = Measured(page)

    # ---- components

    def build_start(self) -> None:
        """The button that starts a run."""
        is_open = self.page.may_change and not self.data.waits(self.controls.first.dataset)
        self.start = gr.Button("Start training", variant="primary", elem_id="start", interactive=is_open)

    def build_waits(self) -> None:
        """What it waits for."""
        words = self.data.waits(self.controls.first.dataset)
        self.waits = plain(quiet(words if self.page.may_change else WHY_NOT), elem_id="why-not")

    def build_effort(self) -> None:
        """The three efforts with their times."""
        first = self.controls.first
        choices, note = self._efforts(first)
        self.effort = gr.Radio(
            choices,
            value=self.logic.effort_of(first),
            label="Effort",
            elem_classes="segments",
            interactive=True,
            elem_id="effort",
        )
        self.effort_note = plain(self._note(note), elem_id="effort-note", js_on_load=f"{ONE_TAB_STOP}\n{TIMES}")

    def build_trainer(self) -> None:
        """What is learned from data that says which answers people prefer; not seen where it does not."""
        data = self.controls.first.dataset
        self.controls.build_one(form.TRAINER, visible=self.logic.has_preferences(data), elem_classes="in-line")

    def build_name(self) -> None:
        """What the run is called: made of what differs, which `showing` says, until a person types another."""
        self.controls.build_one(form.NAME, info=None, max_lines=1, elem_classes="in-line")

    def build_own(self) -> None:
        """Which settings are a person's own; and, unseen, what the others were suggested for."""
        self.own = plain(elem_id="own-settings", js_on_load=CHIPS)
        first = self.logic.showing(self.controls.first)
        # It stands in the browser and not in a gr.State, so that it always belongs to the values it is sent with.
        self.suggested = gr.Textbox(first.suggested.to_json(), visible="hidden", elem_id="suggested-for")
        # Another text whenever a handler filled the form, and whenever other data may have come onto it. A visit sends
        # what the browser kept in it.
        self.touched = gr.Textbox(visible="hidden", elem_id="touched")
        self.other_data = gr.Textbox(visible="hidden", elem_id="other-data")

    def build_summary(self) -> None:
        """What a start would do, in a line; the way to the settings."""
        self.summary = plain(self._summary(self.controls.first), elem_id="summary", js_on_load=f"{SUMMARY}\n{TIMES}")

    def build_rest(self) -> None:
        """All other settings, and the command that trains with all of them."""
        words = command_words(self.command(form.show(self.controls.first)))
        first = self.logic.showing(self.controls.first)
        with gr.Column(elem_id="all-settings"):
            with gr.Row(elem_id="settings-head"):
                plain(search_box(), js_on_load=SEARCH, elem_id="find-setting")
                plain(search_index(), elem_classes="unseen")
                self.reset = gr.Button("Back to the suggested settings", size="sm", elem_id="reset")
            with gr.Tabs(elem_id="sections", overflow_behavior="wrap"):
                for section, title in SECTIONS.items():
                    with gr.Tab(title, id=section, elem_id=f"section-{section}", render_children=True):
                        self.controls.build_section(section)
                        if section == LAST_SECTION:
                            self.command_line = plain(words, js_on_load=COPY, elem_id="command")
            self.marks = plain(marks_words({}, {}, self.logic.unused(first)), js_on_load=MARKS, elem_id="setting-marks")

    def wire(self) -> None:
        """What one control does to the others. `settled` is the event after which the form is at rest."""
        control = self.controls.controls
        typed = [one.input for name, one in control.items() if not name.startswith((DATA, DATA_SETTINGS))]
        settled = [*self.outputs]
        looked = {"js": keeping(self.inputs, control, self.effort)} | FAST | LAST
        self.settled = gr.on([self.touched.change, *typed], self.settle, self.inputs, settled, **looked)
        self.data.begin([control[DATA].input], [control[DATA], self.suggested], self.start)
        chosen = control[DATA].input(self.choose_by_hand, self.inputs, [*settled, self.other_data], **QUIET, **LAST)
        chosen.failure(self.stay, self.inputs, [*settled, *self.data.readings], **QUIET)
        rounds = [control[EPOCHS], self.touched]
        self.effort.input(self.choose_effort, self.inputs, [*rounds, control[MAX_STEPS]], **FAST, **LAST)
        control[BATCH_SIZE].input(self.set_effort, self.inputs, rounds, **FAST, **LAST)
        timed = [self.effort, self.effort_note, self.data.promise, self.summary]
        for shown in (self.effort_note, self.summary):
            shown.timed(self.time_anew, self.inputs, timed, **FAST)
        control[EPOCHS].input(self.clear_effort, None, self.effort, **FAST)
        for wish in (self.reset.click, self.own.reset):
            wish(self.back_to_suggested, self.inputs, settled, **QUIET)
        self.controls.methods.wire(control[form.METHOD], self.touched)
        for chips in (self.own, self.marks):
            chips.back(self.set_back, self.inputs, settled, **QUIET)
        for shown in (self.own, self.summary):
            shown.settings(self.open_settings, None, self.stage.outputs, **FAST)

    @property
    def inputs(self) -> set[Component]:
        """What a handler needs to know the state of the form."""
        return {self.suggested, self.effort, *self.controls.inputs}

    @property
    def outputs(self) -> list[Component]:
        """What `filled` fills."""
        beside = [
            self.effort,
            self.effort_note,
            *self.data.outputs,
            self.start,
            self.waits,
            self.own,
            self.marks,
            self.summary,
            self.command_line,
            self.measured.verdict,
            self.suggested,
            self.touched,
        ]
        return [*self.controls.controls.values(), *beside]

    # ---- the state of the form, from and to components

    def values(self, given: Given) -> Values:
        """{control name: value}."""
        return self.controls.values(given)

    def state(self, given: Given) -> FormState:
        """What stands on the form."""
        suggested = Suggested.from_json(given[self.suggested])
        return FormState(self.values(given), given[self.effort], suggested)

    def showing(self, recipe: Recipe) -> Answer:
        """The form as a visit finds it, with a recipe and all that is said about it."""
        return self.standing(self.logic.showing(recipe))

    def kept(self, given: Given, found: Recipe) -> Answer:
        """The form as it stood when the page was loaded again; empty where it did not. found: as `showing`."""
        state = stood(given[self.touched], who_asks().user, self.logic, found)
        return self.standing(state) | self.touch() if state else {}

    def standing(self, state: FormState) -> Answer:
        """The form with all that is said about it."""
        said, control = self._said(state), self.controls.controls[form.NAME]
        name = {control: said[control] | {"value": state.values[form.NAME]}}
        return self.controls.updates(state.values) | self._beside(state) | said | self._basis(state) | name

    def _basis(self, state: FormState) -> Answer:
        return {self.suggested: state.suggested.to_json(who_asks().user)}

    def filled(self, recipe: Recipe) -> Answer:
        """A recipe comes onto the form in place of what stands there."""
        return self.showing(recipe) | self.touch()

    def touch(self) -> Answer:
        """The mark that a handler filled something in, so that `settle` looks at the form."""
        return {self.touched: token_hex(4)}

    def with_data(self, given: Given, value: str, trainer: str = "") -> Answer:
        """Other data is chosen on the form by a handler; `trainer`: and what is learned from it."""
        state = self.state(given)
        values, basis = state.values | {DATA: value}, state.suggested
        if trainer:  # as if that had been answered about these data before
            values, said = values | {form.TRAINER: trainer}, basis.answers.get(value) or {}
            basis = replace(basis, answers=basis.answers | {value: {**said, form.TRAINER: trainer}})
        return self._rested(FormState(values, state.effort or BALANCED, basis)) | self.controls.updates({DATA: value})

    def with_model(self, given: Given, value: str, brought: Values) -> Answer:
        """Another model is chosen on the form by a handler; with it goes what a recipe `brought`."""
        before = self.state(given)
        state = self.logic.without(before, brought)
        chosen = replace(state, values=state.values | {form.MODEL: value, form.MODEL_REVISION: ""})
        return self._turned(before, self.logic.at_rest(chosen))

    def with_values(self, given: Given, changed: Values) -> Answer:
        """Some settings are chosen on the form by a handler, with another model what suits it; all others stay."""
        before = self.state(given)
        return self._turned(before, before.changed_by(changed))

    def _turned(self, before: FormState, now: FormState) -> Answer:
        changed = {name: value for name, value in now.values.items() if value != before.values.get(name)}
        return self.controls.updates(changed) | self._beside(now) | self._basis(now) | self.touch()

    def with_text(self, given: Given, text: str) -> Answer:
        """Text that was pasted becomes data, and is chosen. Raises UserError where nothing can be learned from it."""
        id = import_text(text, self.page.settings.data, self.page.settings)
        return self.with_data(given, form.data_value(DatasetChoice(source="file", id=id)))

    def _rested(self, state: FormState) -> Answer:
        """The form brought to rest. The lists keep what is chosen in them: only a person chooses model and data, and a
        method comes only with a model that brings one.
        """
        rested = self.logic.at_rest(state)
        kept = {*PAIRS}
        if rested.method == state.method:
            kept.add(form.METHOD)
        # Only what changes: what a person types while this answer is under way must not be filled in again.
        changed = {name for name, value in rested.values.items() if value != state.values.get(name)}
        values = {name: rested.values[name] for name in changed - kept}
        shown = self.controls.updates(values) | self.controls.lists(state.data)
        return shown | self._beside(rested) | self._basis(rested) | self.touch()

    def _beside(self, state: FormState) -> Answer:
        """What depends on data and effort: how long it takes, what is in the data."""
        trainer = {
            self.controls.controls[form.TRAINER]: gr.update(
                visible=self.logic.has_preferences(state.data), value=state.trainer
            )
        }
        return self.data.about(state) | self._effort(state) | self._start(state.data) | trainer

    def _effort(self, state: FormState) -> Answer:
        """The efforts with their times for what is on the form, or for what is suggested where that has mistakes."""
        recipe = self._recipe(state.values) or self.logic.advice_for(state)
        choices, note = self._efforts(recipe)
        chosen = self.logic.effort_shown(state, recipe)
        return {self.effort: gr.update(choices=choices, value=chosen), self.effort_note: self._note(note)}

    def _note(self, words: str) -> str:
        """Where the times come from; marked as long as this machine is not measured."""
        mark = " data-unmeasured" if awaits_speed(self.page.store) else ""
        return f'<p class="quiet"{mark}>{words}</p>' if words else ""

    def _start(self, choice: DatasetChoice) -> Answer:
        """The button that starts waits until it is known what is learned."""
        words = self.data.waits(choice)
        is_open = self.page.may_change and not words
        return {
            self.start: gr.Button(interactive=is_open),
            self.waits: quiet(words if self.page.may_change else WHY_NOT),
        }

    def _said(self, state: FormState) -> Answer:
        own = self.logic.own(state)
        in_order = {name: own[name] for name in self.controls.controls if name in own}  # as they stand on the page
        recipe = self._recipe(state.values)
        advice = self.logic.advice_for(state)
        before = {name: self.logic.suggested_value(name, advice) for name in in_order}
        named = self.logic.made_name(recipe or advice) if state.data.id else ""  # never that of the data before
        return {
            self.own: chips_words(in_order, before),
            self.marks: marks_words(in_order, before, self.logic.unused(state)),
            self.summary: self._summary(recipe),
            self.command_line: command_words(self._command(recipe)),
            self.measured.verdict: self.measured.words(recipe),
            self.controls.controls[form.NAME]: gr.update(placeholder=named),
        }

    # ---- handlers

    @reads
    def settle(self, given: Given) -> Answer:
        """Something on the form was changed, by hand or by a handler: settings that suit what is chosen now; where they
        do already, what is said about them.
        """
        state = self.state(given)
        if not state.is_at_rest:
            return self._rested(state)
        return self._said(state) | self._effort(state) | {self.data.promise: self.data.foreseen(state)}

    @reads
    def choose(self, given: Given) -> Answer:
        """Other data: the settings suggested for it, but for what the person changed by hand."""
        return self._rested(self.state(given))

    @reads
    def choose_by_hand(self, given: Given) -> Answer:
        """The same, where other data was chosen: a list says so too whenever it is left."""
        if self.state(given).is_at_rest:
            return {}
        return self.choose(given) | {self.other_data: token_hex(4)}

    @reads
    def stay(self, given: Given) -> Answer:
        """What was to be read cannot be: what stands on the form is seen again."""
        return self._rested(self.state(given)) | dict.fromkeys(self.data.readings, "")

    @reads
    def read_anew(self, given: Given) -> Answer:
        """Another column, format or split: there may be more or fewer examples now."""
        rested = self.logic.at_rest(self.state(given))
        return {self.controls.controls[EPOCHS]: rested.values[EPOCHS]} | self._beside(rested) | self.touch()

    @property
    def read_anew_outputs(self) -> list[Component]:
        """All that depends on how the data is read, but not the settings that say how."""
        beside = [self.effort, self.effort_note, *self.data.outputs, self.start, self.waits, self.touched]
        return [self.controls.controls[EPOCHS], self.controls.controls[form.TRAINER], *beside]

    @reads
    def choose_effort(self, given: Given) -> Answer:
        """Effort is a number of epochs that depends on how much data there is; max steps would end it earlier."""
        values = self.logic.with_effort(self.state(given))
        return self.controls.updates(values) | self.touch() if values else {}

    @reads
    def time_anew(self, given: Given) -> Answer:
        """This machine may be measured by now, and what another costs may be known."""
        state = self.state(given)
        beside = {self.data.promise: self.data.foreseen(state), self.summary: self._summary(self._recipe(state.values))}
        return self._effort(state) | beside

    @reads
    def set_effort(self, given: Given) -> Answer:
        """With another batch size an effort may be other epochs."""
        state = self.state(given)
        if not state.effort:
            return {}
        return {self.controls.controls[EPOCHS]: self.logic.epochs(state.effort, state)} | self.touch()

    @reads
    def set_back(self, given: Given, event: gr.EventData) -> Answer:
        """One setting back to what is suggested."""
        state = self.state(given)
        values = self.logic.back(state, str((event._data or {}).get("setting", "")))
        return self.controls.updates(values) | self.touch() if values else {}

    @reads
    def open_settings(self) -> Answer:
        """The face of the settings."""
        return self.stage.turned("settings")

    @reads
    def clear_effort(self) -> Answer:
        """Epochs typed by hand are none of the three efforts."""
        return {self.effort: None}

    @reads
    def back_to_suggested(self, given: Given) -> Answer:
        """What a person changed by hand goes."""
        state = self.state(given)
        return self.filled(self.logic.advice(state.model, state.data))

    @reads
    def look_again(self) -> Answer:
        """Another handler filled in a setting, or what is known of the data may have changed."""
        return self.touch()

    # ---- words

    def command(self, values: Values) -> str | None:
        """The command that trains what is on the form; None where it has mistakes."""
        return self._command(self._recipe(values))

    def _command(self, recipe: Recipe | None) -> str | None:
        return command_for(recipe, self.page.presets, needs_name=False) if recipe else None

    def _recipe(self, values: Values) -> Recipe | None:
        """What is on the form; None where it has mistakes."""
        try:
            return form.read(values)
        except UserError:
            return None

    def _summary(self, recipe: Recipe | None) -> str:
        """What a start would cost, and what it would do."""
        return price_line(self.page, recipe) + summary_words(recipe, steps_here(recipe, self.page.settings.data))

    def time_of(self, recipe: Recipe, effort: str) -> str:
        """How long an effort takes, as its button says it; empty where nobody knows."""
        choices, _ = self._efforts(recipe)
        labels = [label for label, one in choices if one == effort]
        return labels[0].partition("\n")[2] if labels else ""

    def _efforts(self, recipe: Recipe) -> tuple[list[tuple[str, str]], str]:
        """(efforts with their times, a line that says where those come from)"""
        try:
            return effort_choices(recipe, self.page.store, self.page.settings.data)
        except UserError:  # the data cannot be read: its face says so, and the form stays usable
            return [(words, key) for key, words in EFFORTS.items()], ""
