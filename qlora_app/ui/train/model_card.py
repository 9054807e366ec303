"""The card of the chosen model on the left: what is known of it, whether training it fits here, and what to take
instead where it does not suit.
"""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ... import hardware
from ...base_models import Facts, ModelChoice, facts_of, kept_folder, kept_models, local_models
from ...base_models.shapes import Shapes, shapes_of
from ...errors import UserError
from ...foreign import starter_warning
from ...hardware_fit import sizes_of
from ...planner import Plan, plan_here
from ...recipe import Recipe
from ...training_data import DatasetChoice
from ..context import AppContext
from ..events import QUIET, Answer, Given
from ..guard import reads
from ..theme import on_click, plain
from ..translate import translate
from .form_values import MODEL, Values, chosen_model, data_of, read, show
from .hub_finder import HubMemory
from .model_list import PLAN_ROW, ModelList, download_of, fit_words
from .model_list import facts_of as known_of
from .model_times import ModelTimes
from .recipe_form import RecipeForm


def list_for(page: AppContext, data: DatasetChoice) -> ModelList:
    """Every model and recipe there is to choose from, with times for this data. What lies in the Hub's cache is its
    owner's.
    """
    machine = hardware.here()
    times = ModelTimes(page.store, data, page.settings.data, machine)
    kept = kept_models() if page.may_change else []
    return ModelList(page.presets, page.settings.models, kept, machine, times.seconds)


class ModelCard(HubMemory):
    """Its component, and what is known of models."""

    def __init__(self, page: AppContext, controls: RecipeForm) -> None:
        super().__init__(page)
        self.controls = controls

    # ---- components

    def build(self) -> None:
        """The card and, at its corner, what opens the list of models."""
        first = show(self.controls.first)
        with gr.Column(elem_classes="model", elem_id="model"):
            self.card = plain(self.words_about(first), js_on_load=on_click("take", "row"), elem_id="model-card")
            self.change = gr.Button("Change", size="sm", elem_id="change-model")
            self.said = plain(elem_id="model-said")
            # What a recipe brought onto the form is nobody's own: it goes when another model is chosen.
            self.brought = gr.Textbox(visible="hidden", elem_id="recipe-brought")

    def describe_after(self, event: Any) -> Any:
        """The card is written anew after an event; that is one too."""
        return event.then(self.describe, self.controls.inputs, self.card, **QUIET)

    # ---- handlers

    @reads
    def describe(self, given: Given) -> Answer:
        """What is known of the model, and whether training it with these settings fits into this machine."""
        return {self.card: self.words_about(self.controls.values(given))}

    def words_about(self, values: Values, asks: bool = True) -> str:
        """The card of the model on the form; where the Hub is not asked, with what is known without it."""
        model = self._model(values)
        if model.source == "starter":
            lines = self._fit_line(sizes_of(model), values, "knows one made-up town") + self._starter_line(values)
        elif model.id:
            lines = self._lines(model, values) if asks else self._known_lines(model, values)
        else:
            lines = '<p class="quiet">No model is chosen.</p>'
        written = "" if model.source == "starter" else ' translate="no"'
        return f'<div class="model-card"><b{written}>{escape(self._title(model))}</b>{lines}</div>'

    # ---- what is known

    def facts(self, model: ModelChoice) -> Facts:
        """Raises UserError, at the field of the model, for one that cannot be had or cannot be trained."""
        self.check_visitor(model)
        known = self.known(model.id, model.revision) if model.source == "hub" else None
        if known and not (known.missing and kept_folder(model)):  # else it was downloaded since
            return known
        try:
            found = facts_of(model, self.token())
        except UserError as error:
            raise UserError.of(error.problem, {"base_model": error.problem}) from error
        self.remember(model.id, model.revision, found)
        return found

    def check_visitor(self, model: ModelChoice) -> None:
        """Raises UserError where a visitor of a demonstration names a folder that is not offered."""
        if (
            model.source == "folder"
            and not self.page.may_change
            and Path(model.id).expanduser() not in local_models(self.page.settings.models)
        ):
            raise UserError(
                "model.folder_not_offered",
                "Visitors choose a folder from the list; others of this machine are not looked into for them.",
            )

    def _model(self, values: Values) -> ModelChoice:
        revision = str(values["base_model.revision"] or "").strip()
        return chosen_model(values[MODEL]).model_copy(update={"revision": revision})

    def _title(self, model: ModelChoice) -> str:
        return model.id if model.source == "hub" else model.title

    # ---- words

    def _lines(self, model: ModelChoice, values: Values) -> str:
        try:
            facts = self.facts(model)
        except UserError as error:
            return f'{self._known_lines(model, values)}<p class="warning">{escape(translate(error.problem))}</p>'
        shapes = shapes_of(facts.config, facts.parameters)
        return _quiet(facts.summary()) + self._fit_line(shapes, values)

    def _known_lines(self, model: ModelChoice, values: Values) -> str:
        shapes = sizes_of(model) if model.source == "hub" else None
        if shapes is None:
            return ""
        size, *others = known_of(model, shapes.parameters)
        return _quiet(" · ".join(filter(None, [size, download_of(model), *others]))) + self._fit_line(shapes, values)

    def _fit_line(self, shapes: Shapes | None, values: Values, besides: str = "") -> str:
        """Whether it fits; where it does not, what does, in one click. A model that cannot be had now may still be
        known by its sizes.
        """
        try:
            recipe = read(values)
        except UserError:  # Start names what is wrong; until then it cannot be said what is needed
            return ""
        level, sentence = fit_words(recipe, shapes, hardware.here())
        if not level:
            return _quiet(sentence)
        facts = _quiet(" · ".join(known_of(recipe.base_model, shapes.parameters if shapes else 0))) if besides else ""
        first = f'<p class="fit {level.replace(" ", "-")}">{escape(sentence)}</p>'
        more = _quiet(besides) if besides else ""
        return facts + first + more + _planned(self._plan(recipe, shapes))

    def plan(self, values: Values) -> Plan | None:
        """What to do with the recipe on the form on this machine."""
        try:
            recipe = read(values)
            shapes = sizes_of(recipe.base_model) or self._shapes(recipe.base_model)
        except UserError:
            return None
        return self._plan(recipe, shapes)

    def _plan(self, recipe: Recipe, shapes: Shapes | None) -> Plan | None:
        return plan_here(recipe, shapes, self.page.store, self.page.settings.data)

    def _shapes(self, model: ModelChoice) -> Shapes | None:
        facts = self.facts(model)
        return shapes_of(facts.config, facts.parameters)

    def _starter_line(self, values: Values) -> str:
        """Said before the starter is trained on data it knows nothing of, with a model that can learn from them."""
        data = data_of(values)
        warning = starter_warning(data, self.page.settings.data)
        if not warning:
            return ""
        row = list_for(self.page, data).first()
        offer = _offer(row.key, row.title, " · ".join(filter(None, [row.download, row.time]))) if row else ""
        return f'<p class="amber" role="status">{escape(translate(warning))}</p>{offer}'


def _planned(found: Plan | None) -> str:
    """The sentence, and each way as a button: the first is the one to take."""
    if found is None:
        return ""
    buttons = "".join(
        f'<button type="button" class="link" data-row="{PLAN_ROW}{offer.key}">{escape(translate(offer.does))}</button>'
        for offer in found.offers
    )
    words, basis = (
        f'<p class="quiet" translate="no">{escape(translate(said))}</p>' if said else ""
        for said in (found.words, found.basis)
    )
    return f'{words}{basis}<p class="offer ways" translate="no">{buttons}</p>'


def _quiet(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>' if text else ""


def _offer(key: str, title: str, besides: str) -> str:
    return (
        f'<p class="offer"><button type="button" class="link" data-row="{escape(key)}">Use '
        f'<span translate="no">{escape(title)}</span></button> <small>{escape(besides)}</small></p>'
    )
