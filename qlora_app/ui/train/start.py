"""The start of a run, and why it is refused."""

import contextlib
import time
from typing import Any

import gradio as gr
from gradio.components import Component

from ...errors import UserError
from ...recipe import Recipe
from ...runs import Run
from ...tasks import task_for
from ...tasks.chat import NOTHING_TO_LEARN
from ...tasks.options import answer_options
from ...training_data import NotHere, pinned
from ..context import AppContext
from ..events import FAST, After, Answer, Given
from ..guard import WHY_NOT, changes
from ..theme import plain
from . import form_values as form
from .data_view import DataView
from .effort import examples_of
from .form import TrainForm
from .mistakes import Mistakes
from .model_finder import ModelFinder
from .words import quiet

DOUBLE_CLICK = 2.0  # seconds
TO_CARD = "() => { if (innerWidth < 700) setTimeout(() => scrollTo({top: 0, behavior: 'smooth'}), 300); }"


class Start:
    """The button and what it does."""

    def __init__(
        self, page: AppContext, form: TrainForm, mistakes: Mistakes, finder: ModelFinder, view: DataView
    ) -> None:
        self.page = page
        self.form = form
        self.mistakes = mistakes
        self.finder = finder
        self.view = view

    # ---- components

    def build(self) -> None:
        """The button, and why it is switched off in a demonstration."""
        self.button = gr.Button("Start training", variant="primary", elem_id="start", interactive=self.page.may_change)
        plain(quiet("" if self.page.may_change else WHY_NOT), elem_id="why-not")

    def wire(self, card: Component, other_data: After) -> None:
        """`card`: where the run is shown."""
        self.card = card
        started = self.button.click(self.start_run, self.form.controls.inputs, [card, *self.mistakes.outputs], **FAST)
        other_data(started.then(self.form.look_again, None, self.form.touched, **FAST))
        started.success(None, js=TO_CARD)

    # ---- handlers

    @changes
    def start_run(self, given: Given) -> Answer:
        """A recipe with mistakes opens the fold and names them; nothing typed is lost."""
        try:
            recipe = self._checked(form.read(self.form.values(given)))
        except UserError as error:
            return self.mistakes.listed(error)
        run = self._just_started(recipe) or self.page.store.create(recipe)
        self.page.start(run)
        return {self.card: run.id, **self.mistakes.none()}

    # ---- refusals

    def _checked(self, recipe: Recipe) -> Recipe:
        """The recipe as a run keeps it. Raises UserError with what speaks against it, each at its control."""
        recipe = self._pinned(recipe)
        facts = self.finder.facts(recipe.base_model)
        task = recipe.task_name
        with contextlib.suppress(NotHere):  # the worker looks when it has downloaded it
            examples = examples_of(recipe.dataset, self.page.settings.data)
            task = task_for(recipe.task, facts.tasks, examples.every).name
        self.check_method(recipe, facts.config.get("model_type", ""), task)
        if self.view.learns_nothing(recipe):
            raise UserError.of(NOTHING_TO_LEARN, {form.MAX_LENGTH: NOTHING_TO_LEARN})
        return recipe

    def check_method(self, recipe: Recipe, family: str, task: str) -> None:
        """Raises UserError for what the method cannot do with a base that is not on this machine yet, or with this task
        and data.
        """
        method = recipe.method
        problems: dict[str, Any] = method.problems(recipe.base_model.precision, family, task)
        try:
            if method.option_losses and not problems:
                answer_options(examples_of(recipe.dataset, self.page.settings.data).train)
        except NotHere:
            pass  # the worker looks when it has downloaded it
        except UserError as error:
            problems = {f"method.{name}": error.problem for name in method.option_losses}
        if problems:
            raise UserError.of_all({form.place(name, method.name): why for name, why in problems.items()}, " ")

    def _pinned(self, recipe: Recipe) -> Recipe:
        """The recipe with its data looked at; data of the Hub that is not here yet is downloaded by the worker."""
        settings = self.page.settings
        data = pinned(recipe.dataset, settings.data, settings.token)
        with contextlib.suppress(NotHere):
            examples_of(data, settings.data)
        return recipe.model_copy(update={"dataset": data})

    def _just_started(self, recipe: Recipe) -> Run | None:
        """A double click is one wish."""
        newest = next(iter(self.page.store.list()), None)
        if newest is None or time.time() - (newest.folder / "recipe.yaml").stat().st_mtime > DOUBLE_CLICK:
            return None
        return newest if newest.recipe() == recipe and not newest.status().has_ended else None
