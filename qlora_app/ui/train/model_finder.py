"""Under the model: a search over the Hugging Face Hub, what is known of the chosen one, and whether it will fit.

For the starter nothing of this is shown.
"""

from html import escape

import gradio as gr

from ... import hardware, memory
from ...base_models import (
    Facts,
    Hit,
    ModelChoice,
    facts_of,
    kept_folder,
    local_models,
    search,
)
from ...base_models.shapes import Shapes, shapes_of
from ...errors import UserError
from ...hardware_fit import sizes_of
from ..events import FAST, LAST, QUIET, Answer, Given
from ..guard import reads
from ..theme import plain
from ..translate import translate
from .form import TrainForm
from .form_values import MODEL, SEARCH, TASK, Values, chosen_model, read
from .hub_finder import HubFinder

MATTERS = (
    "base_model",
    "base_model.revision",
    "base_model.precision",
    "base_model.double_quantization",
    "base_model.compute_type",
    "training.optimizer",
    "training.max_length",
    "training.gradient_checkpointing",
)


class ModelFinder(HubFinder):
    """Its components and what they do."""

    kind = "model"
    nothing = (
        "Nothing found. The search looks for models that can learn the chosen task and come as safetensors; try fewer "
        "words, such "
        "as qwen, t5 or roberta."
    )

    # ---- components

    def build(self) -> None:
        self.build_search("hub", "Search the Hub for", "qwen 0.6b")
        self.line = plain(elem_id="model-line")

    def wire(self, form: TrainForm) -> None:
        """`form`: what a hit is chosen on."""
        self.form = form
        control = self.controls.controls
        control[MODEL].change(self.open, {control[MODEL]}, self.panel, **FAST)
        self.wire_search({control[TASK]})
        self.hits.pick(self.pick, None, [control[MODEL], form.touched], **FAST)
        matter = [one.change for name, one in control.items() if name in MATTERS or name.startswith("method")]
        gr.on(matter, self.describe, self.controls.inputs, self.line, **QUIET, **LAST)

    # ---- handlers

    def search(self, words: str, token: str | None, chosen: Values) -> list[Hit]:
        """Models that can learn the task that is chosen."""
        return search(words, token, chosen.get(TASK, "auto"))

    @reads
    def open(self, given: Given) -> Answer:
        """The search is seen while somebody wants to choose a model of the Hub."""
        return {self.panel: gr.Column(visible=given[self.controls.controls[MODEL]] == SEARCH)}

    @reads
    def pick(self, event: gr.EventData) -> Answer:
        """A hit is chosen on the form."""
        return {self.controls.controls[MODEL]: self.picked(event, ModelChoice).id, **self.form.touch()}

    @reads
    def describe(self, given: Given) -> Answer:
        """What is known of the model, and whether training it with these settings fits into this machine."""
        return {self.line: self.words_about(self.controls.values(given))}

    def words_about(self, values: Values) -> str:
        """The line under the model; empty for the starter."""
        model = self._model(values)
        if model.source == "starter" or not model.id:
            return ""
        try:
            facts = self.facts(model)
        except UserError as error:
            fit = self._fit_words(sizes_of(model), values)
            return f'<p class="warning">{escape(translate(error.problem))}</p>{fit}'
        shapes = shapes_of(facts.config, facts.parameters)
        return f'<p class="quiet">{escape(facts.summary())}</p>{self._fit_words(shapes, values)}'

    # ---- what is known

    def facts(self, model: ModelChoice) -> Facts:
        """Raises UserError, at the field of the model, for one that cannot be had or cannot be trained."""
        self.check_visitor(model)
        known = self.known(model.id, model.revision) if model.source == "hub" else None
        if known and not (known.missing and kept_folder(model)):  # else it was downloaded since
            return known
        try:
            found = facts_of(model, self._token())
        except UserError as error:
            raise UserError.of(error.problem, {"base_model": error.problem}) from error
        self.remember(model.id, model.revision, found)
        return found

    def check_visitor(self, model: ModelChoice) -> None:
        """Raises UserError where a visitor of a demonstration names a folder that is not offered."""
        if (
            model.source == "folder"
            and not self.page.may_change
            and model.folder not in local_models(self.page.settings.models)
        ):
            raise UserError(
                "model.folder_not_offered",
                "Visitors choose a folder from the list; others of this machine are not looked into for them.",
            )

    def _model(self, values: Values) -> ModelChoice:
        revision = str(values["base_model.revision"] or "").strip()
        return chosen_model(values[MODEL]).model_copy(update={"revision": revision})

    def _fit_words(self, shapes: Shapes | None, values: Values) -> str:
        """A model that cannot be had now may still be known by its sizes."""
        try:
            recipe = read(values)
        except UserError:  # Start names what is wrong; until then it cannot be said what is needed
            return ""
        if shapes is None:
            return ""
        level, sentence = memory.verdict(recipe, shapes, hardware.here())
        return f'<p class="{"warning" if level == "too large" else "quiet"}">{escape(sentence)}</p>'
