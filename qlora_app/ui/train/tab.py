"""Train: what to learn from on the left, the run on the right. One click starts it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.components import Component

from ...errors import UserError
from ...preferences import FEWEST
from ...preflight import examples_of
from ...recipe import Recipe
from ...runs import Run, RunStore
from ...runs.diagnose import changed_recipe, diagnose
from ...runs.recipes import recipe_of
from ...start_from import newest_fitting
from ...training_data import DatasetChoice
from ...training_data.read.archives import ENDINGS
from ...training_data.votes import EXAMPLES, PAIRS
from ..context import AppContext, for_visitors
from ..events import FAST, LAST, QUIET, Answer, Given
from ..guard import changes, owner_reads, reads
from ..runs.run_card import RunCards, run_card
from .column_form import ColumnForm
from .data_ask import DataAsk
from .data_face import DataFace
from .data_finder import DataFinder
from .data_import import DataImport
from .data_view import DataView
from .form import TrainForm
from .form_state import FormLogic
from .form_values import DATA, data_value
from .mistakes import Mistakes
from .model_card import ModelCard
from .model_picker import ModelPicker
from .recipe_form import RecipeForm
from .stage import Stage
from .start import TO_CARD, Start
from .sweep_form import SweepForm
from .words import quiet

LOOKED_THROUGH = 50  # runs, for one to begin with
ASIDE = 2  # pairs: of as few as these one may be held out, and one may be too long
ANOTHER_MARK = "() => String(performance.now())"


class TrainTab:
    """Its sections, where each stands, and what one needs of another."""

    def __init__(self, page: AppContext, cards: RunCards) -> None:
        self.page = page
        self.cards = cards
        self.logic = FormLogic(
            page.settings.data,
            has_columns=lambda data: self.columns.has(data),
            begins_with=lambda recipe: newest_fitting(recipe, page.settings.runs, newest_done(page.store)),
        )
        self.controls = RecipeForm(page.settings, self.logic.first())
        self.stage = Stage()
        self.form = TrainForm(page, self.controls, self.logic, self.stage)
        self.mistakes = Mistakes(self.form, self.stage)
        self.model_card = ModelCard(page, self.controls)
        self.models = ModelPicker(page, self.form, self.mistakes, self.model_card)
        self.data_finder = DataFinder(page, self.controls)
        self.columns = ColumnForm(page, self.controls)
        self.asking = DataAsk(page, self.controls, self.columns)
        self.importer = DataImport(page, self.controls)
        self.data_face = DataFace(page, self.form, self.stage)
        self.data_view = DataView(page, self.controls, self.model_card.check_visitor, self.data_finder)
        self.sweep = SweepForm(page, self.form, self.stage)
        self.start = Start(page, self.form, self.mistakes, self.model_card, self.data_view, self.stage)

    # ---- components

    def build(self) -> None:
        """The recipe on the left, the stage on the right."""
        with gr.Row(equal_height=False, elem_classes="halves"):
            with gr.Column(scale=4, min_width=300, elem_classes="recipe", elem_id="recipe"):
                self._build_recipe()
            with gr.Column(scale=8, min_width=300, elem_classes="stage"), self.stage.build():
                with self.stage.face("Data", "data"):
                    self._build_data_face()
                with self.stage.face("Settings", "settings"):
                    self.form.build_rest()
                with self.stage.face("Run", "run"):
                    self.card = run_card(self.cards, elem_id="live")
                with self.stage.build_models():
                    self.models.build()
                with self.stage.build_several():
                    self.sweep.build()

    def _build_recipe(self) -> None:
        self.controls.build_model()
        self.model_card.build()
        with gr.Column(elem_classes="data", elem_id="data-choice"):
            self.controls.build_data()
            self.upload = gr.UploadButton(
                "Upload",
                size="sm",
                elem_id="upload",
                file_types=ENDINGS,
                file_count="multiple",
                visible=self.page.may_change,
            )
            self.form.data.build_card(self.controls.first)
            self.importer.build()
            self.data_finder.build_progress()
        self.form.build_trainer()
        self.form.build_effort()
        self.form.build_name()
        self.mistakes.build()
        with gr.Column(elem_id="start-block"):
            self.form.build_own()
            self.start.build()
            self.form.build_summary()

    def _build_data_face(self) -> None:
        self.importer.build_line()
        self.data_finder.build()
        self.form.data.build_line(self.controls.first)
        self.asking.build()
        self.columns.build()
        self.form.data.build_promise(self.controls.first)
        self.data_view.build()

    def wire(self, tabs: gr.Tabs) -> None:
        """Who tells whom. `tabs`: those of the page, of which this is one."""
        self.tabs = tabs
        self.controls.wire()
        self.form.wire()
        self._wire_other_data()
        self.models.wire(self.other_data)
        self.mistakes.wire()
        self.data_finder.wire(self.form, self.columns, self.other_data)
        for files in (self.upload, self.data_finder.files):
            self.form.data.begin([files.upload], [files], self.form.start)
        self.importer.wire((self.upload, self.data_finder.files), self._take_imported)
        self._wire_asking()
        self.data_face.wire(self.upload)
        self.data_view.wire(self.form)
        self.start.wire(self.card, self.other_data)
        self.sweep.wire(self.start.menu.menu, self.stage.several, self.card)
        self.cards.wire(self.card)

    def wire_again(self, component: Component) -> None:
        """Where an event `again` with `{run: id}` of a gr.HTML comes from: the recipe of that run on the form, its
        settings open.
        """
        outputs = [self.tabs, *self.stage.outputs, *self.form.outputs]
        self.other_data(component.again(self.again, None, outputs, **QUIET))
        if hasattr(component, "repeat"):
            begun = component.repeat(self.repeat, None, [*outputs, self.card, self.mistakes.alert], **QUIET)
            self.other_data(begun)
            begun.success(None, js=TO_CARD)

    def wire_votes(self, room: Component) -> None:
        """Where an event `train_on` comes from, {on: "pairs" or "examples"}: what was said of answers in the chat is
        the data on the form.
        """
        outputs = [self.tabs, *self.stage.outputs, *self.form.outputs]
        self.other_data(room.train_on(self.train_on, self.form.inputs, outputs, **QUIET))

    @property
    def view(self) -> list[Component]:
        """What `showing` fills."""
        return [
            self.card,
            *self.stage.outputs,
            *self.importer.view,
            *self.data_finder.view,
            self.form.measured.card,
            *self.form.outputs,
        ]

    def showing(self, run: Run | None) -> Answer:
        """The tab as a visit finds it: with the newest run and its settings, else with those of a first visit."""
        recipe = self._shown_recipe(run) if run else None
        jobs = self.importer.shown() | self.data_finder.shown() | self.start.measure.shown()
        turned = self.stage.turned("run" if run else "data")
        shown = recipe or self.controls.first
        return {self.card: run.id if run else "", **turned, **jobs, **self.form.showing(shown)}

    @property
    def kept_fields(self) -> list[Component]:
        """What stands there again beside the form when the page was loaded again."""
        return [*self.sweep.kept, self.data_finder.text]

    def kept(self, given: Given) -> Answer:
        """The form as it stood in this tab of the browser; empty where nothing was kept."""
        run = self.page.shown_run()
        recipe = self._shown_recipe(run) if run else None
        return self.form.kept(given, recipe or self.controls.first)

    def _shown_recipe(self, run: Run) -> Recipe | None:
        """The recipe of a run, as far as it may be seen, without its name: what is started next is another run."""
        recipe = recipe_of(run)
        if recipe is None:
            return None
        if self.page.may_change:
            return recipe.model_copy(update={"name": ""})
        is_open = self.page.may_open(run) and recipe.base_model.source != "folder"
        return for_visitors(recipe) if is_open else None

    def other_data(self, event: Any) -> None:
        """After an event other data may be on the form."""
        event.then(None, None, self.form.other_data, js=ANOTHER_MARK, **FAST)

    def _wire_other_data(self) -> None:
        """Other data may be on the form: say what it is, and open the place for what only the person knows. One chain
        for all ways on which it comes there: Gradio looks through every event of a page for each of its components.
        """
        begun = self.form.other_data.change
        inputs, outputs = self.controls.data_inputs, self.data_finder.outputs
        described = begun(self.data_finder.describe, inputs, outputs, **QUIET, **LAST)
        offered = self.asking.offer_after(self.columns.offer_after(described))
        known = self.model_card.describe_after(offered)
        self.form.data.end_after(known, self.controls.controls[DATA], self.form.suggested)
        self.model_card.describe_after(self.form.settled)

    def _wire_asking(self) -> None:
        """What was guessed is taken, or a column named: the data is read so, and what is still in doubt is asked."""
        for said in (self.asking.wire(), self.columns.wire()):
            read = said.then(self.form.read_anew, self.form.inputs, self.form.read_anew_outputs, **QUIET)
            self.other_data(read)

    def _take_imported(self, event: Any) -> None:
        form = self.form
        taken = event.success(self.take_import, form.inputs | {self.importer.brought}, form.outputs, **QUIET)
        form.data.read_after(taken)
        self.other_data(taken)
        event.failure(form.stay, form.inputs, [*form.outputs, *form.data.readings], **QUIET)

    # ---- handlers

    @reads
    def again(self, event: gr.EventData) -> Answer:
        """The same once more, to change something in it before it starts; `finding`: with what that would change."""
        run = self.page.find(str((event._data or {}).get("run", "")))
        recipe = self._shown_recipe(run) if run else None
        if recipe is None:
            raise UserError("form.no_recipe_of_run", "This run has no recipe that can be shown here.")
        if run and (code := (event._data or {}).get("finding")):
            recipe = _mended(run, recipe, str(code))
        return {self.tabs: gr.Tabs(selected="train")} | self.stage.turned("settings") | self.form.filled(recipe)

    @owner_reads
    def train_on(self, given: Given, event: gr.EventData) -> Answer:
        """The votes of the chat are chosen as data, and looked at. Enough pairs are learned by DPO, whatever it begins
        with.
        """
        is_pairs = (event._data or {}).get("on") == "pairs"
        data = DatasetChoice(source="file", id=PAIRS if is_pairs else EXAMPLES)
        trainer = "dpo" if is_pairs and self._pairs(data) >= FEWEST + ASIDE else "sft"
        answer = self.form.with_data(given, data_value(data), trainer)
        return {self.tabs: gr.Tabs(selected="train")} | self.stage.turned("data") | answer

    def _pairs(self, data: DatasetChoice) -> int:
        with contextlib.suppress(UserError):
            return examples_of(data, self.page.settings.data).pairs
        return 0

    @changes
    def repeat(self, event: gr.EventData) -> Answer:
        """{run, set: {dotted setting: value as typed}}: the same once more with that changed, at once."""
        run = self.page.find(str((event._data or {}).get("run", "")))
        recipe = self._shown_recipe(run) if run else None
        if recipe is None:
            raise UserError("form.no_recipe_of_run", "This run has no recipe that can be shown here.")
        sent = (event._data or {}).get("set")
        changed = {str(name): str(value) for name, value in sent.items()} if isinstance(sent, dict) else {}
        begun, answer = self.start.repeat(recipe, changed)
        shown = self.form.filled(begun.model_copy(update={"name": ""}))
        return {self.tabs: gr.Tabs(selected="train")} | shown | answer

    @reads
    def take_import(self, given: Given) -> Answer:
        """Choose what was imported, or nothing, and say why; what was odd about it is said beside the data."""
        brought = given[self.importer.brought]
        if brought is None:
            return self.form.controls.lists(self.form.state(given).data)
        answer = self.form.with_data(given, data_value(DatasetChoice(source="file", id=brought.id)))
        if brought.id:
            return answer
        said = self.form.data
        return answer | {said.card: brought.card, said.line: "", self.form.waits: quiet(brought.waits)}


def newest_done(store: RunStore) -> Iterator[str]:
    """Newest first, as many as are looked through in a moment."""
    return (run.id for run in store.list()[:LOOKED_THROUGH] if run.status().state == "done")


def _mended(run: Run, recipe: Recipe, code: str) -> Recipe:
    """The recipe with what a finding of the doctor would change in it; as it is where nothing is found any more."""
    found = next((one for one in diagnose(run) if one.code == code), None)
    return changed_recipe(recipe, found) if found else recipe
