"""Presets on the page: a list to choose from in one click, one's own added from the form or from a file."""

from html import escape
from pathlib import Path

import gradio as gr

from ...errors import UserError
from ...hardware_fit import (
    asks_for,
    by_size,
    fit,
    here_in_words,
    nearest_that_fits,
)
from ...presets import without_folder
from ...recipe import Recipe
from ..context import AppContext
from ..events import QUIET, After, Answer, Given
from ..guard import changes, reads
from ..theme import on_click, plain
from ..translate import translate
from .form import TrainForm
from .form_values import data_of, data_value, read
from .mistakes import Mistakes
from .words import problem_words


class PresetPicker:
    """A face of the stage."""

    def __init__(self, page: AppContext, form: TrainForm, mistakes: Mistakes) -> None:
        self.page = page
        self.form = form
        self.mistakes = mistakes

    # ---- components

    def build(self) -> None:
        with gr.Column(elem_id="presets"):
            self.list = plain(self.list_words(), js_on_load=on_click("take", "preset"), elem_id="preset-list")
            with gr.Row(elem_classes="keep", equal_height=True, visible=self.page.may_change) as self.keep:
                self.name = gr.Textbox(
                    label="Save the form as",
                    placeholder="my-style",
                    max_lines=1,
                    scale=3,
                    min_width=120,
                    interactive=True,
                    elem_id="preset-name",
                )
                self.save = gr.Button("Save as preset", size="sm", min_width=110, elem_id="save-preset")
            self.file = gr.UploadButton(
                "Load a recipe file",
                size="sm",
                file_types=[".yaml", ".yml"],
                elem_id="load-recipe",
                visible=self.page.may_change,
            )
        self.notice = plain(js_on_load=on_click("take", "preset"), elem_id="preset-said")

    def wire(self, other_data: After) -> None:
        """`other_data`: what follows where a preset may have brought other data."""
        inputs = self.form.controls.inputs
        taken = [*self.mistakes.stage.outputs, self.notice, *self.form.outputs]
        for shown in (self.list, self.notice):
            other_data(shown.take(self.choose, inputs, taken, **QUIET))
        other_data(self.file.upload(self.take_file, {self.file, *inputs}, taken, **QUIET))
        saved = [self.list, self.name, self.notice, *self.mistakes.outputs]
        gr.on([self.save.click, self.name.submit], self.save_form, {self.name, *inputs}, saved, **QUIET)

    # ---- handlers

    @reads
    def choose(self, given: Given, event: gr.EventData) -> Answer:
        """A preset onto the form, data that is not here aside; if it does not fit, the nearest one that does is
        offered.
        """
        name = str((event._data or {}).get("preset", ""))
        recipe = self.page.presets.load(name)
        return self._onto_form(recipe, given, self._unfit_words(name, recipe))

    @changes
    def take_file(self, given: Given) -> Answer:
        """The recipe of a file onto the form; every mistake in it is named and the form stays as it is."""
        path = Path(given[self.file])
        try:
            recipe = Recipe.from_dict(self.page.presets.read(path))
        except UserError as error:
            named = UserError.of(without_folder(error.problem, path), error.problems)
            return {self.notice: problem_words(named, f"{path.name} cannot be loaded:")}
        return self._onto_form(recipe, given, "")

    @changes
    def save_form(self, given: Given) -> Answer:
        """What is on the form under a name, if it has no mistake."""
        try:
            kept = self.page.presets.save(given[self.name], read(self.form.values(given)))
        except UserError as error:
            return self.mistakes.listed(error) if error.problems else {self.notice: problem_words(error)}
        notice = (
            f'<p class="quiet" role="status">Saved as <b translate="no">{escape(kept)}</b>. It stands first in the '
            f"list.</p>"
        )
        return {self.list: self.list_words(), self.name: "", self.notice: notice}

    @reads
    def refresh(self) -> Answer:
        """The face is opened: what fits now, and what was saved elsewhere."""
        return {self.list: self.list_words()}

    def _onto_form(self, recipe: Recipe, given: Given, unfit: str) -> Answer:
        words = f'<b translate="no">{escape(recipe.title)}</b> is on the form.'
        if data_value(recipe.dataset) not in [value for _, value in self.form.controls.data_choices()]:
            recipe = recipe.model_copy(update={"dataset": data_of(self.form.values(given))})
            words += " It brings no data, so the data you chose stays."
        notice = f'<p class="quiet" role="status">{words}</p>{unfit}'
        return {self.notice: notice, **self.mistakes.stage.turned("data"), **self.form.filled(recipe)}

    # ---- words

    def list_words(self) -> str:
        """Each preset as one button: its name, what it asks for, whether it fits here, what it is for."""
        usable, broken = self.page.presets.all()
        own = [name for name in by_size(usable) if self.page.presets.is_own(name)]
        rows = "".join(self._row(name, usable[name]) for name in [*own, *(n for n in by_size(usable) if n not in own)])
        wrong = "".join(
            f'<li class="broken"><b translate="no">{escape(name)}</b> {escape(translate(text))}</li>'
            for name, text in broken.items()
        )
        return f'<ul class="shelf">{rows}{wrong}</ul>'

    def _row(self, name: str, recipe: Recipe) -> str:
        own = self.page.presets.is_own(name)
        facts = [asks_for(recipe), here_in_words(recipe), "your own" if own else ""]
        title = recipe.name if recipe.name and not own else name  # one's own go by the name they were saved under
        written = ' translate="no"' if own else ""
        return (
            f'<li><button type="button" data-preset="{escape(name)}"><b{written}>{escape(title)}</b> '
            f"<small>{escape(' · '.join(filter(None, facts)))}</small> "
            f"<span{written}>{escape(recipe.note)}</span></button></li>"
        )

    def _unfit_words(self, name: str, recipe: Recipe) -> str:
        """The reason stands with the model on the form; here is what to do about it."""
        if fit(recipe)[0] != "too large":
            return ""
        usable = self.page.presets.all()[0]
        other = nearest_that_fits(name, usable)
        offer = (
            f'<button type="button" class="link" data-preset="{escape(other)}">Take '
            f'<span translate="no">{escape(usable[other].title)}</span></button>, '
            "the nearest that does."
            if other
            else "No preset does."
        )
        return f'<p class="warning" role="status">It does not fit this machine. {offer}</p>'
