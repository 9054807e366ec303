"""The menu beside Start: other ways to begin, and what else is done with the form as a whole."""

import contextlib
from collections.abc import Callable
from html import escape
from pathlib import Path

import gradio as gr

from ...errors import UserError
from ...launch.line import move
from ...runs import Run
from ..context import AppContext
from ..events import FAST, QUIET, Answer, Given
from ..guard import changes, changes_machine, reads
from ..theme import plain
from ..translate import translate
from .form import TrainForm
from .form_values import read
from .mistakes import Mistakes

FOLDER = Path(__file__).parent
SCRIPT = (FOLDER / "start_menu.js").read_text(encoding="utf-8")
COPY = (FOLDER / "copy_command.js").read_text(encoding="utf-8")
OPENS = (
    '<button type="button" class="more" aria-haspopup="menu" aria-expanded="false" aria-label="More ways to start">'
    "▾</button>"
)
ITEMS = {
    "measure": "Measure fit and time first",
    "now": "Start now, beside what trains",
    "several": "Try several values…",
    "copy": "Copy command",
    "keep": "Save the recipe",
}
COPIED = (
    "Copied.",
    "The form has mistakes; Start names them.",
    "Please copy it below the settings.",
)
Begin = Callable[[Given, bool], tuple[Run | None, Answer]]


class StartMenu:
    """Its component, and what it does but for trying several values, which has a place of its own."""

    def __init__(self, page: AppContext, form: TrainForm, mistakes: Mistakes, begin: Begin) -> None:
        """`begin`: what Start does; answers the run, None where none began, and what the page shows then."""
        self.page = page
        self.form = form
        self.mistakes = mistakes
        self.begin = begin

    # ---- components

    def build_button(self) -> None:
        """It opens a list."""
        items = "".join(
            f'<button type="button" role="menuitem" tabindex="-1" data-do="{name}">{words}</button>'
            for name, words in ITEMS.items()
            if name != "now" or self.page.is_owners
        )
        said = '<span role="status"></span>' + "".join(f"<i hidden>{words}</i>" for words in COPIED)
        html = f'{OPENS}<div role="menu" aria-label="More ways to start" hidden>{items}</div>{said}'
        self.menu = plain(html, js_on_load=SCRIPT, elem_id="start-menu", visible=self.page.may_change)

    def build_said(self) -> None:
        """What became of a wish."""
        self.said = plain(elem_id="recipe-kept")
        self.copied = gr.Textbox(visible="hidden", elem_id="copied-command")

    def wire(self, outputs: list[gr.components.Component]) -> gr.events.Dependency:
        """`outputs`: what `begin` fills. Answers the event after which a run may have begun."""
        form = self.form
        fresh = self.menu.copy(self.command, form.inputs, self.copied, **FAST)
        fresh.success(None, self.copied, js=COPY)
        kept = [self.said, *self.mistakes.outputs]
        self.menu.keep(self.keep_recipe, form.inputs, kept, **QUIET)
        form.touched.change(self.forget, None, self.said, **FAST)
        return self.menu.now(self.start_now, form.controls.inputs, outputs, **FAST)

    # ---- handlers

    @reads
    def command(self, given: Given) -> Answer:
        """The command of what stands on the form at this moment: what was typed last may not be settled yet."""
        return {self.copied: self.form.command(self.form.values(given)) or ""}

    @changes
    def keep_recipe(self, given: Given) -> Answer:
        """What is on the form becomes a recipe of one's own, under its name."""
        values = self.form.values(given)
        try:
            recipe = read(values)
            name = recipe.name or self.form.logic.made_name(recipe)
            kept = self.page.presets.save(name, recipe.model_copy(update={"name": name}))
        except UserError as error:
            if error.problems:
                return self.mistakes.listed(error)
            return {self.said: f'<p class="warning" role="alert">{escape(translate(error.problem))}</p>'}
        words = f'Saved as <b translate="no">{escape(kept)}</b>, under Mine.'
        return {self.said: f'<p class="quiet" role="status">{words}</p>', **self.mistakes.none()}

    @reads
    def forget(self) -> Answer:
        """Something else is on the form."""
        return {self.said: ""}

    @changes_machine
    def start_now(self, given: Given) -> Answer:
        """It does not wait for what trains."""
        run, answer = self.begin(given, False)
        if run is not None:
            with contextlib.suppress(UserError):  # its turn has come already
                move(run, "now", self.page.supervisor.moving())
            self.page.supervisor.wake()
        return answer
