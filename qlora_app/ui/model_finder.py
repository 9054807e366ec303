"""Under the model: a search over the Hugging Face Hub, what is known of the chosen one, and whether it will fit.

For the starter nothing of this is shown.
"""

import time
from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from .. import memory
from ..base_models import Facts, Hit, ModelChoice, facts_of, kept_folder, local_models, search
from ..errors import UserError
from ..fitting import sizes_of
from .guard import reads
from .page import Page
from .recipe_form import SEARCH, RecipeForm, chosen_model
from .theme import on_click, plain

REMEMBERED = 600.0  # seconds, of what the Hub said about a model
MATTERS = ("base_model", "base_model.revision", "base_model.precision", "base_model.double_quantization", "base_model.compute_type",
           "training.optimizer", "training.max_length", "training.gradient_checkpointing")
NOTHING = "Nothing found. The search looks for models that write text and come as safetensors; try fewer words, such as qwen or llama 1b."


class ModelFinder:
    """Its components and what they do."""

    def __init__(self, page: Page, form: RecipeForm) -> None:
        self.page = page
        self.form = form
        self._known: dict[tuple[str, str], tuple[float, Facts]] = {}

    # ---- components

    def build(self) -> None:
        with gr.Column(visible=False, elem_id="hub-search") as self.panel:
            with gr.Row(elem_classes="keep", equal_height=True):
                self.words = gr.Textbox(label="Search the Hub for", placeholder="qwen 0.6b", max_lines=1, scale=3, min_width=120,
                                        interactive=True, elem_id="hub-words")
                self.go = gr.Button("Search", size="sm", min_width=90, elem_id="hub-go")
            self.hits = plain(js_on_load=on_click("pick", "model"), elem_id="hub-hits")
        self.line = plain(elem_id="model-line")

    @property
    def that_matter(self) -> list[Component]:
        """The controls on which the words under the model depend."""
        return [control for name, control in self.form.controls.items() if name in MATTERS or name.startswith("method")]

    # ---- handlers

    @reads
    def open(self, model: str | None) -> Any:
        """The search is seen while somebody wants to choose a model of the Hub."""
        return gr.Column(visible=model == SEARCH)

    @reads
    def find(self, words: str) -> str:
        """The list of hits, or why there is none."""
        try:
            found = search(words or "", self._token())
        except UserError as error:
            return f'<p class="warning" role="alert">{escape(str(error))}</p>'
        rows = "".join(_row(hit) for hit in found)
        return f'<ul class="shelf">{rows}</ul>' if rows else f'<p class="quiet" role="status">{NOTHING}</p>'

    @reads
    def pick(self, event: gr.EventData) -> str:
        """A click on a hit; what comes from the browser must be a model's id."""
        choice = ModelChoice(source="hub", id=str((event._data or {}).get("model", ""))[:200])
        if problems := choice.problems():
            raise UserError(problems["id"])
        return choice.id

    @reads
    def describe(self, *values: Any) -> str:
        """What is known of the model, and whether training it with these settings fits into this machine."""
        model = self._model(values)
        if model.source == "starter" or not model.id:
            return ""
        try:
            facts = self.facts(model)
        except UserError as error:
            return f'<p class="warning">{escape(str(error))}</p>{self._fit_words(sizes_of(model), values)}'
        shapes = memory.shapes_of(facts.config, facts.parameters)
        return f'<p class="quiet">{escape(facts.summary())}</p>{self._fit_words(shapes, values)}'

    # ---- what is known

    def facts(self, model: ModelChoice) -> Facts:
        """Raises UserError, at the field of the model, for one that cannot be had or cannot be trained."""
        self.check_visitor(model)
        when, known = self._known.get((model.id, model.revision), (0.0, None))
        came = known is not None and known.missing and kept_folder(model)  # it was downloaded since
        if model.source == "hub" and known and not came and time.monotonic() - when < REMEMBERED:
            return known
        try:
            found = facts_of(model, self._token())
        except UserError as error:
            raise UserError(str(error), {"base_model": str(error)}) from error
        if len(self._known) > 500:
            self._known.clear()
        self._known[model.id, model.revision] = time.monotonic(), found
        return found

    def check_visitor(self, model: ModelChoice) -> None:
        """Raises UserError where a visitor of a demonstration names a folder that is not offered."""
        if model.source == "folder" and not self.page.may_change and model.folder not in local_models(self.page.settings.models):
            raise UserError("Visitors choose a folder from the list; others of this machine are not looked into for them.")

    def _token(self) -> str | None:
        """Visitors of a demonstration do not look into what only its owner may see."""
        return self.page.settings.token if self.page.may_change else None

    def _model(self, values: Sequence[Any]) -> ModelChoice:
        revision = dict(zip(self.form.controls, values, strict=True)).get("base_model.revision")
        chosen = chosen_model(values[0])
        return chosen.model_copy(update={"revision": str(revision or "").strip()})

    def _fit_words(self, shapes: memory.Shapes | None, values: Sequence[Any]) -> str:
        """A model that cannot be had now may still be known by its sizes."""
        try:
            recipe = self.form.read(values)
        except UserError:  # Start names what is wrong; until then it cannot be said what is needed
            return ""
        if shapes is None:
            return ""
        level, sentence = memory.verdict(recipe, shapes, memory.here())
        return f'<p class="{"warning" if level == "too large" else "quiet"}">{escape(sentence)}</p>'


def _row(hit: Hit) -> str:
    return (f'<li><button type="button" data-model="{escape(hit.id)}"><b translate="no">{escape(hit.id)}</b> '
            f'<span>{escape(hit.summary())}</span></button></li>')
