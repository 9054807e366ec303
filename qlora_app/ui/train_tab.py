"""Train: what to learn from on the left, the run on the right. One click starts it."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from .. import starter
from ..base_models import ModelChoice
from ..choices import variant_of
from ..effort import effort_choices, effort_of, epochs_meant
from ..errors import UserError
from ..formatting import count_of
from ..overrides import command_for
from ..preflight import examples_of, ready, taught_by
from ..presets import suggested
from ..recipe import EFFORTS, Recipe
from ..runs import Run
from ..tasks.chat import NOTHING_TO_LEARN
from ..training_data import (
    DatasetChoice,
    NotHere,
    import_text,
)
from ..training_data.formats.columns import AskColumns
from ..training_data.read.archives import ENDINGS
from .column_form import GROUP, ColumnForm
from .context import PRIVATE, AppContext
from .data_finder import HELD_OUT, NAMES, DataFinder
from .data_import import SHOWN_ROWS, DataImport, conversation_words
from .data_pictures import fit_words
from .data_view import MAX_LENGTH, DataView
from .guard import WHY_NOT, changes, reads
from .model_finder import ModelFinder
from .preset_picker import PresetPicker
from .recipe_form import (
    BATCH_SIZE,
    LEARNING_RATE,
    METHOD,
    RecipeForm,
    chosen_data,
    chosen_model,
    data_value,
    element_id,
    value_of,
)
from .run_card import RunCards, run_card, run_id
from .theme import plain
from .translate import translate

OWN_NAMED = 4  # settings changed by hand that are named below Start
DOUBLE_CLICK = 2.0  # seconds
# Marks the fields that have a mistake, for eyes and for screen readers, and takes the marks away with the list of
# mistakes.
MARK_FIELDS = """
const unmark = () => document.querySelectorAll('.mistake').forEach(m => m.remove());
const mark = (item, tries) => {
  const field = document.getElementById(item.dataset.field), input = field && field.querySelector('input, textarea');
  if (!input) { if (tries) setTimeout(() => mark(item, tries - 1), 100); return; }  // its fold is just being opened
  const note = document.createElement('p'); note.className = 'mistake'; note.id = item.dataset.field + '-mistake';
  note.textContent = item.querySelector('.text').textContent; field.append(note);
  input.setAttribute('aria-invalid', 'true'); input.setAttribute('aria-describedby', note.id);
  input.addEventListener('input', () => { note.remove(); input.removeAttribute('aria-invalid'); }, {once: true});
};
const all = () => {
  unmark(); document.querySelectorAll('[aria-invalid]').forEach(i => i.removeAttribute('aria-invalid'));
  element.querySelectorAll('[data-field]').forEach(item => mark(item, 30));
  if (element.querySelector('.alert')) element.scrollIntoView({block: 'nearest'});
};
watch('value', all); all();
"""
# Without https a page has no clipboard; then the command is copied the old way, by selecting it.
COPY = """
element.addEventListener('click', async e => {
  if (!e.target.closest('[data-copy]')) return;
  const code = element.querySelector('code'), said = element.querySelector('[role=status]');
  const range = document.createRange(), selection = getSelection();
  range.selectNodeContents(code); selection.removeAllRanges(); selection.addRange(range);
  let copied = false;
  try { await navigator.clipboard.writeText(code.textContent); copied = true; } catch { copied =
  document.execCommand('copy'); } said.textContent = element.querySelectorAll('i')[copied ? 0 : 1].textContent;
});
"""


class Basis(NamedTuple):
    """What the form's settings were suggested for, and what a person has said of data that was chosen before: {data:
    {setting: value}}.
    """

    model: str
    data: str
    method: str
    said: dict[str, dict[str, Any]] = {}


def _is_said_of(name: str) -> bool:
    """Is it a setting that says something of one dataset only?"""
    return name in (*NAMES, HELD_OUT) or name.startswith(GROUP)


class TrainTab:
    """Its components and what they do."""

    def __init__(self, page: AppContext, cards: RunCards) -> None:
        self.page = page
        self.cards = cards
        self.form = RecipeForm(page.settings)
        self.finder = ModelFinder(page, self.form)
        self.shelf = PresetPicker(page, self)
        self.data_finder = DataFinder(page, self.form)
        self.columns = ColumnForm(page, self.form)
        self.importer = DataImport(page)
        self.view = DataView(page, self.form, self.finder, self.columns)

    # ---- components

    def build(self) -> None:
        with gr.Row(equal_height=False, elem_classes="halves"):
            with gr.Column(scale=4, min_width=300, elem_classes="sheet recipe"):
                self._build_recipe()
            with gr.Column(scale=7, min_width=300, elem_classes="sheet run-side"):
                self.card = run_card(self.cards, elem_id="live")
        first = self.form.first_recipe()
        self.suggested_for = gr.State(Basis(*(value_of(first, name) for name in ("base_model", "dataset", METHOD))))

    def _build_recipe(self) -> None:
        recipe = self.form.first_recipe()
        self.shelf.build()
        self.form.build_model()
        self.finder.build()
        with gr.Column(elem_classes="data"):
            self.form.build_data()
            self.upload = gr.UploadButton(
                "Upload files",
                size="sm",
                elem_id="upload",
                file_types=ENDINGS,
                file_count="multiple",
                visible=self.page.may_change,
            )
            self.data_finder.build()
        self.importer.build()
        self.data_line = plain(self.data_words(recipe.dataset), elem_id="data-line")
        self.view.build()
        choices, note = effort_choices(recipe, self.page.store, self.page.settings.data)
        chosen = effort_of(recipe.training.epochs, epochs_meant(recipe, self.page.settings.data))
        self.effort = gr.Radio(
            choices, value=chosen, label="Effort", elem_classes="segments", interactive=True, elem_id="effort"
        )
        self.effort_note = plain(_quiet(note))
        self.alert = plain(js_on_load=MARK_FIELDS, elem_id="alert")
        self.start = gr.Button("Start training", variant="primary", elem_id="start", interactive=self.page.may_change)
        plain(_quiet("" if self.page.may_change else WHY_NOT), elem_id="why-not")
        self.own = plain(elem_id="own-settings")
        with gr.Accordion("All settings", open=False, elem_id="all-settings") as self.fold:
            self.reset = gr.Button("Back to the suggested settings", size="sm", elem_id="reset")
            self.form.build_rest()
            self.command = plain(self.command_words(self.form.show(recipe)), js_on_load=COPY, elem_id="command")

    @property
    def form_outputs(self) -> list[Component]:
        """What `fill` fills."""
        return [
            *self.form.inputs,
            self.effort,
            self.effort_note,
            self.data_line,
            self.own,
            self.command,
            self.suggested_for,
        ]

    # ---- handlers: the form

    def fill(self, values: list[Any], effort: str | None, said: dict[str, dict[str, Any]] | None = None) -> list[Any]:
        """`form_outputs` showing these values; choices, times and words are made anew. `said`: as in Basis."""
        data, method = self.form.data_of(values), self._method(values)
        folder, advice = self.page.settings.data, self.advice(chosen_model(values[0]), data, method)
        try:
            choices, note = effort_choices(advice, self.page.store, folder)
        except UserError:  # the data cannot be read: `data_words` says so, and the form stays usable
            choices, note = [(words, key) for key, words in EFFORTS.items()], ""
        updates = [
            gr.update(choices=self.form.model_choices(), value=values[0]),
            gr.update(choices=self.form.data_choices(data), value=values[1]),
        ]
        return [
            *updates,
            *values[2:],
            gr.update(choices=choices, value=effort),
            _quiet(note),
            self.data_words(data),
            self.own_words(values, advice),
            self.command_words(values),
            Basis(values[0], values[1], method, said or {}),
        ]

    def fill_with(self, recipe: Recipe) -> list[Any]:
        """`form_outputs` showing a recipe."""
        try:
            effort = effort_of(recipe.training.epochs, epochs_meant(recipe, self.page.settings.data))
        except UserError:
            effort = None
        return self.fill(self.form.show(recipe), effort)

    @reads
    def choose(self, suggested_for: Basis, effort: str | None, *values: Any) -> list[Any]:
        """Another model, data or method: take the settings suggested for it, but keep what the person changed by
        hand.
        """
        basis = Basis(*suggested_for)
        said = basis.said
        if values[1] != basis.data:
            said = said | {
                basis.data: {
                    name: value for name, value in zip(self.form.controls, values, strict=True) if _is_said_of(name)
                }
            }
            values = tuple(self._as_said_of(values, said.get(values[1])))
        old = self.advice(chosen_model(basis.model), chosen_data(basis.data), basis.method)
        new = self.advice(chosen_model(values[0]), self.form.data_of(values), self._method(values))
        by_hand = {name for name, value in zip(self.form.controls, values, strict=True) if value != value_of(old, name)}
        by_hand |= {"base_model", "dataset"}
        merged = {
            name: value if name in by_hand else value_of(new, name)
            for name, value in zip(self.form.controls, values, strict=True)
        }
        if effort:
            with contextlib.suppress(UserError):  # the data cannot be read yet: `data_words` says so
                merged["training.epochs"] = self._epochs(effort, new, merged[BATCH_SIZE])
        return self.fill(list(merged.values()), effort, said)

    def _as_said_of(self, values: Sequence[Any], said: dict[str, Any] | None) -> Iterator[Any]:
        """The form with what was said of this data before. Of data that is new here nothing is known: a subset of other
        data means nothing, and columns stay where it has them all.
        """
        columns_stay = said is None and self.columns.has(self.form.data_of(values))
        for name, value in zip(self.form.controls, values, strict=True):
            is_new = _is_said_of(name) and not (columns_stay and name.startswith(GROUP))
            yield (said or {}).get(name, "") if is_new else value

    @property
    def read_anew(self) -> list[Component]:
        """What `data_changed` fills: all that depends on how the data is read, but not the settings that say how."""
        return [self.form.controls["training.epochs"], *self.form_outputs[len(self.form.inputs) : -1]]

    @reads
    def data_changed(self, suggested_for: Basis, effort: str | None, *values: Any) -> list[Any]:
        """Another column, format or split: there may be more or fewer examples now."""
        filled = self.choose(suggested_for, effort, *values)
        return [filled[list(self.form.controls).index("training.epochs")], *filled[len(self.form.inputs) : -1]]

    @property
    def of_another_method(self) -> list[Component]:
        """What `method_changed` fills: the learning rate, and all that is said about the form."""
        return [self.form.controls[LEARNING_RATE], self.own, self.command, self.suggested_for]

    @reads
    def method_changed(self, suggested_for: Basis, effort: str | None, *values: Any) -> list[Any]:
        """Another method takes steps of another size: the learning rate suits it, unless the person has typed one."""
        filled = self.choose(suggested_for, effort, *values)
        return [filled[list(self.form.controls).index(LEARNING_RATE)], *filled[-3:]]

    def advice(self, model: ModelChoice, data: DatasetChoice, method: str = "") -> Recipe:
        """The suggested settings with a balanced effort for as much data as there is."""
        recipe = suggested(model, data, method)
        try:
            epochs = epochs_meant(recipe, self.page.settings.data)["balanced"]
        except UserError:  # the data cannot be read: `data_words` says so
            return recipe
        return recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})

    def _method(self, values: Sequence[Any]) -> str:
        return values[list(self.form.controls).index(METHOD)]

    def _epochs(self, effort: str, recipe: Recipe, batch_size: float | None) -> float:
        training = recipe.training.model_copy(update={"batch_size": max(1, int(batch_size or 1))})
        return epochs_meant(recipe.model_copy(update={"training": training}), self.page.settings.data)[effort]

    @reads
    def set_effort(self, effort: str | None, *values: Any) -> Any:
        """Effort is a number of epochs that depends on how much data there is."""
        recipe = suggested(chosen_model(values[0]), self.form.data_of(values))
        return self._epochs(effort, recipe, values[list(self.form.controls).index(BATCH_SIZE)]) if effort else gr.skip()

    @reads
    def clear_effort(self) -> None:
        """Epochs typed by hand are none of the three efforts."""

    @reads
    def described(self, *values: Any) -> tuple[str, str]:
        """(own settings, command): what is said about the form, after something on it was changed by hand."""
        advice = self.advice(chosen_model(values[0]), self.form.data_of(values), self._method(values))
        return self.own_words(list(values), advice), self.command_words(list(values))

    @reads
    def back_to_suggested(self, *values: Any) -> list[Any]:
        return self.fill_with(self.advice(chosen_model(values[0]), self.form.data_of(values)))

    @reads
    def take_upload(self, id: str | None, suggested_for: Basis, effort: str | None, *values: Any) -> list[Any]:
        """Choose what was imported; what was odd about it is said beside the data."""
        return self._take(id, suggested_for, effort, values) if id else [gr.skip()] * len(self.form_outputs)

    @changes
    def take_text(self, text: str, suggested_for: Basis, effort: str | None, *values: Any) -> list[Any]:
        """The same for text that was pasted."""
        return self._take(
            import_text(text or "", self.page.settings.data, self.page.settings), suggested_for, effort, values
        )

    def _take(self, id: str, suggested_for: Basis, effort: str | None, values: tuple[Any, ...]) -> list[Any]:
        return self.choose(
            suggested_for, effort or "balanced", values[0], data_value(DatasetChoice(source="file", id=id)), *values[2:]
        )

    # ---- handlers: the run

    @changes
    def start_run(self, *values: Any) -> tuple[Any, ...]:
        """(problems, card, fold): a recipe with mistakes opens the fold and names them; nothing typed is lost."""
        try:
            recipe = ready(self.form.read(values), self.page.settings, self.finder.facts).recipe
            if self.view.learns_nothing(recipe):
                raise UserError.of(NOTHING_TO_LEARN, {MAX_LENGTH: NOTHING_TO_LEARN})
        except UserError as error:
            alert, fold = self.mistakes(self._at_the_controls(error, self._method(values)))
            return alert, gr.skip(), fold
        run = self._just_started(recipe) or self.page.store.create(recipe)
        self.page.start(run)
        return "", run.id, gr.skip()

    def _at_the_controls(self, error: UserError, method: str) -> UserError:
        """The same, each problem under the name of the control that shows it."""
        problems = {self.form.place(name, method): problem for name, problem in error.problems.items()}
        return UserError.of(error.problem, problems)

    def _just_started(self, recipe: Recipe) -> Run | None:
        """A double click is one wish."""
        newest = next(iter(self.page.store.list()), None)
        if newest is None or time.time() - (newest.folder / "recipe.yaml").stat().st_mtime > DOUBLE_CLICK:
            return None
        return newest if newest.recipe() == recipe and not newest.status().has_ended else None

    @changes
    def stop_run(self, event: gr.EventData) -> None:
        self.page.store.get(run_id(event)).ask("stop")

    @changes
    def resume_run(self, event: gr.EventData) -> None:
        self.page.start(self.page.store.get(run_id(event)))

    @changes
    def unqueue_run(self, event: gr.EventData) -> None:
        self.page.store.get(run_id(event)).take("start")

    # ---- words

    def data_words(self, choice: DatasetChoice) -> str:
        """The description, how much there is, what is odd about it, and a few rows as conversations."""
        if not choice.id:
            return ""
        if not self.page.may_show(choice):
            return _quiet(translate(PRIVATE))
        try:
            examples = examples_of(choice, self.page.settings.data)
        except (NotHere, AskColumns) as error:
            return _quiet(escape(translate(error.problem)))
        except UserError as error:
            return f'<p class="warning">{escape(translate(error.problem))}</p>'
        about = f"<p>{escape(starter.DATASETS[choice.id].description)}</p>" if choice.source == "starter" else ""
        rows = (
            f"{count_of(examples.rows, 'row')}: {len(examples.train):,} to learn from, {len(examples.held_out):,} "
            f"held out"
        )
        rows += f", {len(examples.left_out):,} left out" if examples.left_out else ""
        warnings = "".join(f"<li>{escape(str(text))}</li>" for text in examples.warnings)
        shown = "".join(conversation_words(one) for one in examples.train[:SHOWN_ROWS])
        about = about or _quiet(f"{escape(examples.because)}.")
        return (
            f'{about}<details class="rows"><summary>{rows}</summary>{shown}</details>'
            + fit_words(*taught_by(choice, self.page.settings.data))
            + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
        )

    def own_words(self, values: list[Any], advice: Recipe) -> str:
        """Which settings are not as suggested (epochs show in Effort, or in its having no segment chosen)."""
        own, method = [], self._method(values)
        for name, value in zip(self.form.controls, values, strict=True):
            unseen = name in ("base_model", "dataset", "name", "note") or variant_of(name) not in ("", method)
            if unseen or value in (None, value_of(advice, name)):
                continue
            if name != "training.epochs" or self._is_odd(value, advice):
                written = ' translate="no"' if isinstance(value, str) and self.form.is_written(name) else ""
                own.append(
                    f"<span>{escape(self.form.title(name))}</span> "
                    f"<span{written}>{escape(self.form.display_value(name, value)[:40])}</span>"
                )
        more = f" <span>and {len(own) - OWN_NAMED} more</span>" if len(own) > OWN_NAMED else ""
        return _quiet(f"Your own settings: {', '.join(own[:OWN_NAMED])}{more}.") if own else ""

    def _is_odd(self, epochs: float, recipe: Recipe) -> bool:
        try:
            return effort_of(epochs or 0, epochs_meant(recipe, self.page.settings.data)) is None
        except UserError:
            return False

    def command_words(self, values: list[Any]) -> str:
        """The command that trains what is on the form, and a button that copies it."""
        try:
            command = command_for(self.form.read(values), self.page.presets)
        except UserError:
            return _quiet("The command for the terminal stands here when everything on the form is valid.")
        return (
            f'<h3 class="section">The same in a terminal</h3><pre translate="no"><code>{escape(command)}</code></pre>'
            '<button type="button" data-copy>Copy the command</button><span role="status"></span>'
            "<i hidden>Copied.</i><i hidden>It is selected: copy it with the keyboard.</i>"
        )

    def mistakes(self, error: UserError) -> tuple[str, Any]:
        """(alert, fold): the mistakes listed, and the settings opened where one of them is there."""
        hidden = set(error.problems) - {"base_model", "dataset"}
        return self.problem_words(error), gr.Accordion(open=True) if hidden else gr.skip()

    def problem_words(self, error: UserError, heading: str = "Please look at this before the start:") -> str:
        if not error.problems:
            return f'<div class="alert" role="alert"><p>{escape(translate(error.problem))}</p></div>'
        items = "".join(
            f'<li data-field="{escape(element_id(name))}"><b>{escape(self._title(name))}</b> '
            f'<span class="text">{escape(translate(text))}</span></li>'
            for name, text in error.problems.items()
        )
        return f'<div class="alert" role="alert"><p>{escape(heading)}</p><ul>{items}</ul></div>'

    def _title(self, name: str) -> str:
        place = self.form.place(name)
        return self.form.title(place) if place in self.form.controls else name


def _quiet(text: str) -> str:
    """A remark beside the form; what it is made of is already escaped."""
    return f'<p class="quiet">{text}</p>' if text else ""
