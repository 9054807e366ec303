"""The start of a run, and why it is refused."""

import time

import gradio as gr
from gradio.components import Component

from ...errors import UserError
from ...launch.prices import check_price
from ...overrides import with_changes
from ...preflight import ready
from ...recipe import Recipe
from ...runs import Run
from ...runs.recipes import recipe_of
from ...tasks.chat import NOTHING_TO_LEARN
from ..context import AppContext
from ..events import FAST, After, Answer, Given
from ..guard import changes
from ..translate import translate
from . import form_values as form
from .data_view import DataView
from .form import TrainForm
from .measure import Measure
from .mistakes import Mistakes
from .model_card import ModelCard
from .stage import Stage
from .start_menu import StartMenu

DOUBLE_CLICK = 2.0  # seconds
# Wherever the page was scrolled to, the run that began is seen.
TO_CARD = """() => setTimeout(() => {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches, stage = document.getElementById('stage');
  const top = innerWidth > 700 ? 0 : stage.getBoundingClientRect().top + scrollY - 60;
  scrollTo({top, behavior: calm ? 'instant' : 'smooth'});
}, 200)"""
# A visit that is still being answered would show an older run in place of the one that began.
WHEN_READY = """async (...given) => {
  while (!window.guanacoReady) await new Promise(done => setTimeout(done, 50));
  return given;
}"""
LOOKED_AT = 100  # newest runs, among which a made name is told apart


class Start:
    """The button and what it does."""

    def __init__(
        self, page: AppContext, form: TrainForm, mistakes: Mistakes, models: ModelCard, view: DataView, stage: Stage
    ) -> None:
        self.page = page
        self.form = form
        self.mistakes = mistakes
        self.models = models
        self.view = view
        self.stage = stage
        self.menu = StartMenu(page, form, mistakes, self.begin)
        self.measure = Measure(page, form, mistakes, self._ready)

    # ---- components

    def build(self) -> None:
        """The button, the menu beside it, and what it waits for."""
        with gr.Row(elem_id="start-row", equal_height=True):
            self.form.build_start()
            self.menu.build_button()
        self.form.build_waits()
        self.menu.build_said()
        self.form.measured.build()
        self.button = self.form.start

    def wire(self, card: Component, other_data: After) -> None:
        """`card`: where the run is shown."""
        self.card = card
        outputs = [card, *self.mistakes.outputs]
        self.measure.wire(self.menu.menu)
        started = self.button.click(self.start_run, self.form.controls.inputs, outputs, js=WHEN_READY, **FAST)
        for event in (started, self.menu.wire(outputs)):
            other_data(event.then(self.form.look_again, None, self.form.touched, **FAST))
            event.success(None, js=TO_CARD)

    # ---- handlers

    @changes
    def start_run(self, given: Given) -> Answer:
        """A recipe with mistakes opens the fold and names them; nothing typed is lost."""
        return self.begin(given)[1]

    def begin(self, given: Given, waits: bool = True) -> tuple[Run | None, Answer]:
        """(the run of what is on the form, None where that has mistakes; what the page shows then). `waits`: is it said
        where it comes behind another?
        """
        values = self.form.values(given)
        try:
            recipe = self._priced(self._ready(form.read(values)))
        except UserError as error:
            return None, self.mistakes.listed(form.at_controls(error, values))
        return self._begun(recipe, waits)

    def repeat(self, recipe: Recipe, changes: dict[str, str]) -> tuple[Recipe, Answer]:
        """A run of a recipe with other values for some settings: (its recipe, the answer of a handler that shows it).
        Raises UserError with what speaks against it.
        """
        ready = self._priced(self._ready(with_changes(recipe, changes)))
        return ready, self._begun(ready)[1]

    def _begun(self, recipe: Recipe, waits: bool = True) -> tuple[Run, Answer]:
        run = self._just_started(recipe)
        if run is None:
            self.page.make_room()
            run = self.page.store.create(self._named(recipe))
        self.page.start(run)
        shown = self.page.shown_run() or run  # one that is being trained stays: the new one is seen in its queue
        if waits and shown.id != run.id:
            gr.Info(translate("It waits in the queue below the curve, and starts when its turn comes."))
        return run, {self.card: shown.id, **self.mistakes.none(), **self.stage.turned("run")}

    def _ready(self, recipe: Recipe) -> Recipe:
        """The recipe as a run keeps it. Raises UserError with what speaks against it."""
        recipe = ready(recipe, self.page.settings, self.models.facts).recipe
        if self.view.learns_nothing(recipe):
            raise UserError.of(NOTHING_TO_LEARN, {form.MAX_LENGTH: NOTHING_TO_LEARN})
        return recipe

    def _priced(self, recipe: Recipe) -> Recipe:
        """The recipe, of which it is known what it costs. Raises UserError."""
        check_price(recipe.launch, self.page.settings)
        return recipe

    def _just_started(self, recipe: Recipe) -> Run | None:
        """A double click is one wish."""
        newest = next(iter(self.page.store.list()), None)
        if newest is None or abs(time.time() - newest.created_at()) > DOUBLE_CLICK:
            return None
        earlier = recipe_of(newest)
        is_same = earlier is not None and earlier.model_copy(update={"name": recipe.name}) == recipe
        return newest if is_same and not newest.status().has_ended else None

    def _named(self, recipe: Recipe) -> Recipe:
        """With a name made of what differs where it has none, which no other of the newest runs has."""
        if recipe.name:
            return recipe
        made = self.form.logic.made_name(recipe)
        recipes = [recipe_of(run) for run in self.page.store.list()[:LOOKED_AT]]
        taken = {one.name for one in recipes if one}
        counted = (f"{made} ({count})" for count in range(2, LOOKED_AT + 2))
        free = made if made not in taken else next(name for name in counted if name not in taken)
        return recipe.model_copy(update={"name": free})
