"""The face of the models: one list of all there is to start from, a search through it and over the Hub, and a person's
own recipes.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ...base_models import Hit, ModelChoice, search
from ...errors import UserError
from ...presets import without_folder
from ...recipe import Recipe
from ..context import AppContext
from ..events import FAST, QUIET, After, Answer, Given
from ..guard import changes, reads
from ..theme import plain
from ..translate import translate
from .form import TrainForm
from .form_values import DATA, DATA_SETTINGS, MODEL, TASK, Values, chosen_model, data_of, data_value, read, show
from .mistakes import Mistakes
from .model_card import ModelCard, list_for
from .model_list import CHAT, MODEL_ROW, Row, chosen_row
from .model_words import FIND, hits_words, list_words
from .words import problem_words

SCRIPT = (Path(__file__).parent / "model_find.js").read_text(encoding="utf-8")
LONGEST_NAME = 500  # characters of a folder or an id
LONGEST_SEARCH = 200
NOTHING = (
    "Nothing found on the Hub. The search looks for models that can learn the chosen task and come as safetensors; try "
    "fewer words, such as qwen, t5 or roberta."
)
OF_NO_DATA = " It brings no data, so the data you chose stays."
OF_DATA_ELSEWHERE = " Its data is not on this machine, so the data you chose stays."
FOCUS = (Path(__file__).parent / "take_focus.js").read_text(encoding="utf-8")
TO_SEARCH, TO_CARD = (FOCUS.replace("PLACE", place) for place in ("model-find", "change-model"))


class ModelPicker:
    """Its components and what they do."""

    def __init__(self, page: AppContext, form: TrainForm, mistakes: Mistakes, card: ModelCard) -> None:
        self.page = page
        self.form = form
        self.mistakes = mistakes
        self.card = card

    # ---- components

    def build(self) -> None:
        with gr.Column(elem_id="models"):
            self.find = plain(FIND, js_on_load=SCRIPT, elem_id="model-find")
            self.hits = plain(elem_id="model-hits")
            self.list = plain(elem_id="model-list")
            with gr.Row(elem_classes="keep", equal_height=True, visible=self.page.may_change) as self.keep:
                self.name = gr.Textbox(
                    label="Save the form as a recipe",
                    placeholder="my-style",
                    max_lines=1,
                    scale=3,
                    min_width=120,
                    interactive=True,
                    elem_id="recipe-name",
                )
                self.save = gr.Button("Save", size="sm", min_width=90, elem_id="save-recipe")
                self.file = gr.UploadButton(
                    "Load a recipe file",
                    size="sm",
                    file_types=[".yaml", ".yml"],
                    min_width=140,
                    elem_id="load-recipe",
                )
            self.notice = plain(elem_id="recipe-said")

    def wire(self, other_data: After) -> None:
        """`other_data`: what follows where a recipe may have brought other data."""
        stage = self.mistakes.stage
        opened = self.card.change.click(self.open, {*self._of_data.values()}, [*stage.outputs, *self._shown], **FAST)
        opened.then(None, js=TO_SEARCH)
        self.find.back(self.back, None, stage.outputs, **FAST).then(None, js=TO_CARD)
        self.find.search(self.search, {self.form.controls.controls[TASK]}, self.hits, **QUIET)
        inputs = {*self.form.inputs, self.card.brought}
        taken = [*stage.outputs, self.card.card, self.card.said, self.notice, self.card.brought, *self.form.outputs]
        for shown in (self.find, self.card.card):
            chosen = shown.take(self.take, inputs, taken, **QUIET)
            chosen.success(None, js=TO_CARD)
            other_data(chosen)
        other_data(self.file.upload(self.take_file, {self.file, *inputs}, taken, **QUIET))
        saved = [self.list, self.name, self.notice, *self.mistakes.outputs]
        gr.on([self.save.click, self.name.submit], self.save_form, {self.name, *inputs}, saved, **QUIET)

    @property
    def _of_data(self) -> dict[str, Component]:
        """The controls that the list depends on: the whole form would be sent at each click."""
        controls = self.form.controls.controls
        return {name: control for name, control in controls.items() if name == DATA or name.startswith(DATA_SETTINGS)}

    @property
    def _shown(self) -> list[gr.HTML]:
        return [self.list, self.hits, self.notice]

    # ---- handlers

    @reads
    def open(self, given: Given) -> Answer:
        """The list, with what fits and how long it takes now."""
        values = {name: given[control] for name, control in self._of_data.items()}
        answer = {self.list: self.list_words(values), self.hits: "", self.notice: ""}
        return answer | self.mistakes.stage.turned("models")

    @reads
    def back(self) -> Answer:
        """Nothing is chosen, and the data is seen again."""
        return self.mistakes.stage.turned("data")

    @reads
    def search(self, given: Given, event: gr.EventData) -> Answer:
        """Models of the Hub that can learn the task that is chosen."""
        words = str((event._data or {}).get("words", ""))[:LONGEST_SEARCH]
        task = given[self.form.controls.controls[TASK]] or "auto"
        try:
            found = search(words, self.card.token(), task)
        except UserError as error:
            return {self.hits: f'<p class="warning" role="alert">{escape(translate(error.problem))}</p>'}
        rows = [_hit(hit) for hit in found]
        return {self.hits: hits_words(rows) or f'<p class="quiet" role="status">{NOTHING}</p>'}

    @reads
    def take(self, given: Given, event: gr.EventData) -> Answer:
        """A row is chosen: its recipe comes onto the form, and the data that was chosen stays."""
        what, name = chosen_row(str((event._data or {}).get("row", ""))[:LONGEST_NAME])
        if what == "recipe":
            return self._onto_form(self.page.presets.load(name), given)
        if what == "plan":
            return self._planned(given, name)
        self._check(name)
        values = {**self.form.values(given), MODEL: name}
        return {
            self.card.card: self.card.words_about(values, asks=False),
            self.card.said: "",
            self.notice: "",
            self.card.brought: "",
            **self.mistakes.stage.turned("data"),
            **self.form.with_model(given, name, _brought(given[self.card.brought])),
        }

    @changes
    def take_file(self, given: Given) -> Answer:
        """The recipe of a file onto the form; every mistake in it is named and the form stays as it is."""
        path = Path(given[self.file])
        try:
            recipe = Recipe.from_dict(self.page.presets.read(path))
        except UserError as error:
            named = UserError.of(without_folder(error.problem, path), error.problems)
            return {self.notice: problem_words(named, f"{path.name} cannot be loaded:")}
        return self._onto_form(recipe, given)

    @changes
    def save_form(self, given: Given) -> Answer:
        """What is on the form under a name, if it has no mistake."""
        values = self.form.values(given)
        try:
            kept = self.page.presets.save(given[self.name], read(values))
        except UserError as error:
            return self.mistakes.listed(error) if error.problems else {self.notice: problem_words(error)}
        notice = f'<p class="quiet" role="status">Saved as <b translate="no">{escape(kept)}</b>, under Mine.</p>'
        return {self.list: self.list_words(values), self.name: "", self.notice: notice}

    def _planned(self, given: Given, way: str) -> Answer:
        """The settings that a way changes come onto the form; nothing where it is offered no more."""
        values = self.form.values(given)
        planned = self.card.plan(values)
        offer = next((one for one in planned.offers if one.key == way), None) if planned else None
        if offer is None:
            return {self.card.card: self.card.words_about(values, asks=False)}
        before, after = show(read(values)), show(offer.recipe)
        changed = {name: value for name, value in after.items() if value != before.get(name)}
        words = self.card.words_about(values | changed, asks=False)
        return {self.card.card: words, self.card.said: ""} | self.form.with_values(given, changed)

    # ---- what is chosen

    def list_words(self, values: Values) -> str:
        """Every group of the list."""
        return list_words(list_for(self.page, data_of(values)).groups())

    def _check(self, name: str) -> None:
        """Raises UserError for what is no model. What is wrong with a folder is said on its card."""
        model = chosen_model(name)
        problems = model.problems() if model.source == "hub" else {}
        if not name or problems:
            raise UserError.of(problems.get("id") or ModelChoice(source="hub").problems()["id"])

    def _onto_form(self, recipe: Recipe, given: Given) -> Answer:
        words = f'<b translate="no">{escape(recipe.title)}</b> is on the form.'
        if data_value(recipe.dataset) not in [value for _, value in self.form.controls.data_choices()]:
            words += OF_DATA_ELSEWHERE if recipe.dataset.id else OF_NO_DATA
            recipe = recipe.model_copy(update={"dataset": data_of(self.form.values(given))})
        return {
            self.card.card: self.card.words_about(show(recipe), asks=False),
            self.card.said: f'<p class="quiet" role="status">{words}</p>',
            self.notice: "",
            self.card.brought: json.dumps(show(recipe)),
            **self.mistakes.stage.turned("data"),
            **self.form.filled(recipe),
        }


def _hit(hit: Hit) -> Row:
    return Row(key=f"{MODEL_ROW}{hit.id}", title=hit.id, kind=CHAT, facts=(hit.summary(),), id=hit.id)


def _brought(text: Any) -> Values:
    """What a recipe brought onto the form, as the browser kept it; empty where none did, and for anything else."""
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError):
        return {}
