"""Several values for some settings of what is on the form: how many runs that is and how long they take together, and
the runs of the newest such search, the best first.
"""

from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from ...choices import dotted_name
from ...effort import pace_among, paces, seconds_at
from ...errors import UserError
from ...formatting import about, count_of, loss_figure
from ...launch.prices import check_price, price_now, price_of_all
from ...sweep import Halving, Plan, RankedRun, Sweep, Sweeps, checked, plan_of
from ...sweep.store import check_halving
from ..context import AppContext
from ..events import FAST, LAST, QUIET, Answer, Given
from ..guard import changes, reads
from ..kept import KEEPS
from ..runs.card_parts import NO_FIGURE, STATES
from ..theme import plain
from ..translate import translate
from . import form_values as form
from .form import TrainForm
from .stage import Stage
from .start import TO_CARD
from .where import AWAITED
from .words import quiet, sentences_words

PLACES = 3  # settings that are given several values at once
MOST_RANKED = 20  # runs in the list
NEVER = ("name", "note", "task.")  # of these several make no sense
HOW = (
    "A list (1e-4, 3e-4), a range (8..64 step 8, 8..64 step x2, 0..0.1 in 5) or a log range (1e-5..1e-3 log 5). "
    "Every combination becomes a run in the queue."
)


def several_choices() -> list[tuple[str, str]]:
    """(title, dotted name) of every setting that may have several values."""
    found: dict[str, str] = {}
    for name, field in form.FIELDS.items():
        if not name.startswith((*NEVER, form.DATA_SETTINGS)):
            found.setdefault(dotted_name(name), field.title or name)
    return [(title, name) for name, title in found.items()]


class SweepForm:
    """Its components, on a face of the stage that is there while it is asked for."""

    def __init__(self, page: AppContext, train: TrainForm, stage: Stage) -> None:
        self.page = page
        self.form = train
        self.stage = stage

    # ---- components

    def build(self) -> None:
        """Places for settings and their values, what they come to, and the newest search."""
        with gr.Column(elem_id="several"):
            plain(f'<h3 class="section">Try several values</h3>{quiet(HOW)}')
            self.places = [self._build_place(number) for number in range(PLACES)]
            with gr.Row():
                self.sample = gr.Number(
                    0,
                    label="Draw at random",
                    info="So many of the combinations; 0 takes all.",
                    precision=0,
                    interactive=True,
                    elem_id="several-sample",
                    elem_classes=KEEPS,
                )
                self.halving = gr.Checkbox(
                    False,
                    label="Stop hopeless runs early",
                    info="At a quarter and at half of its steps the worse half ends.",
                    interactive=True,
                    elem_id="several-halving",
                    elem_classes=KEEPS,
                )
            self.line = plain(quiet("Choose a setting and give it values."), elem_id="several-line")
            with gr.Row(elem_classes="does"):
                self.start = gr.Button("Start them", variant="primary", size="sm", elem_id="several-start")
                self.back = gr.Button("Back", size="sm", elem_id="several-back")
            self.ranking = plain(elem_id="several-ranking")

    def _build_place(self, number: int) -> tuple[gr.Dropdown, gr.Textbox]:
        first = form.LEARNING_RATE if number == 0 else None
        with gr.Row(equal_height=True):
            setting = gr.Dropdown(
                several_choices(),
                value=first,
                label="Setting",
                interactive=True,
                min_width=140,
                elem_id=f"several-setting-{number}",
                elem_classes=KEEPS,
            )
            values = gr.Textbox(
                label="Values",
                max_lines=1,
                interactive=True,
                min_width=140,
                scale=2,
                placeholder="1e-4, 3e-4" if number == 0 else "",
                elem_id=f"several-values-{number}",
                elem_classes=KEEPS,
            )
        return setting, values

    def wire(self, menu: Any, face: gr.Tab, card: Component) -> None:
        """`menu`: what asks for it; `face`: where it stands; `card`: where a run is shown."""
        self.card = card
        outputs = [*self.stage.outputs, self.line, self.ranking]
        menu.several(self.open, self.inputs, outputs, **QUIET).success(None, js=TO_CARD)
        face.select(self.look, None, self.ranking, **QUIET)
        gr.on([one.change for one in self.kept], self.count, self.inputs, self.line, **QUIET, **LAST)
        begin = [self.start.click, *(values.submit for _, values in self.places)]
        gr.on(begin, self.begin, self.inputs, [self.line, self.ranking, card, *self.stage.outputs], **QUIET)
        self.back.click(self.leave, None, self.stage.outputs, **FAST)

    @property
    def inputs(self) -> set[Component]:
        """The form, and what is typed here."""
        return {*self.kept, *self.form.controls.inputs}

    @property
    def kept(self) -> list[Component]:
        """What is typed here: it stands there again when the page was loaded again."""
        return [*(one for place in self.places for one in place), self.sample, self.halving]

    # ---- handlers

    @reads
    def open(self, given: Given) -> Answer:
        """The face, with what is typed there still."""
        return self.stage.turned("several") | {self.line: self._said(given), self.ranking: self._ranking()}

    @reads
    def look(self) -> Answer:
        """How the newest search stands."""
        return {self.ranking: self._ranking()}

    @reads
    def leave(self) -> Answer:
        """Nothing is started."""
        return self.stage.turned("settings")

    @reads
    def count(self, given: Given) -> Answer:
        """How many runs, and how long they take together."""
        return {self.line: self._said(given)}

    @changes
    def begin(self, given: Given) -> Answer:
        """Its runs wait in the queue; with a mistake none does, and it is named."""
        try:
            plan = checked(self._plan(given), self.page.settings)
            for member in plan.members:
                check_price(member.recipe.launch, self.page.settings)
            self.page.make_room(len(plan.members))
            sweep = self._sweeps.start(plan, self._halving(given))
        except UserError as error:
            return {self.line: sentences_words(error)}
        self.page.supervisor.wake()
        self.page.summaries.look_again()
        words = f"{count_of(len(plan.members), 'run')} wait in the queue, under one tag."
        gr.Info(translate(words))
        shown = self.page.shown_run()
        first = sweep.members()[0][0]
        answer: Answer = {self.card: shown.id if shown else first, self.line: quiet(words)}
        return answer | {self.ranking: self._ranking()} | self.stage.turned("run")

    # ---- what it comes to

    def _given(self, given: Given) -> dict[str, str]:
        pairs = [(given[setting], str(given[values] or "").strip()) for setting, values in self.places]
        return {str(name): text for name, text in pairs if name and text}

    def _plan(self, given: Given) -> Plan:
        """Raises UserError with what is wrong with it."""
        recipe = form.read(self.form.values(given))
        sample = max(0, int(given[self.sample] or 0))
        plan = plan_of(recipe.model_copy(update={"name": ""}), self._given(given), sample)
        if halving := self._halving(given):
            check_halving(plan, halving)
        return plan

    def _halving(self, given: Given) -> Halving | None:
        return Halving() if given[self.halving] else None

    def _said(self, given: Given) -> str:
        if not self._given(given):
            return quiet("Choose a setting and give it values.")
        try:
            plan = self._plan(given)
        except UserError as error:
            return sentences_words(error)
        words = count_of(len(plan.members), "run")
        if plan.possible and plan.possible > len(plan.members):
            words += f" of {plan.possible:,}"
        seconds = self._seconds(plan)
        time = f", about {about(seconds)} together" if seconds else ""
        return f'<p role="status">{words}{time}.</p>{self._price(plan)}'

    def _price(self, plan: Plan) -> str:
        """Of all, at a place that has prices."""
        first = next((one.recipe.launch for one in plan.members if one.recipe.launch.where == "hf_jobs"), None)
        if first is None:
            return ""
        try:
            if price_now(first, self.page.settings) is None:
                return f'<p class="quiet">{AWAITED}</p>'
            price = price_of_all([one.recipe.launch for one in plan.members], self.page.settings)
        except UserError as error:
            return sentences_words(error)
        return f'<p class="quiet" translate="no">{escape(translate(price or ""))}</p>'

    def _seconds(self, plan: Plan) -> float | None:
        """How long all take, one after the other; None where that is not known of one."""
        total, data = 0.0, self.page.settings.data
        measured = list(paces(self.page.store, data))
        for member in plan.members:
            try:
                seconds = seconds_at(member.recipe, pace_among(member.recipe, measured), self.page.store, data)
            except UserError:
                return None
            if seconds is None:
                return None
            total += seconds
        return total

    # ---- the newest search

    @property
    def _sweeps(self) -> Sweeps:
        return Sweeps(self.page.settings.sweeps, self.page.store)

    def _ranking(self) -> str:
        newest = next(iter(self._sweeps.list()), None) if self.page.may_change else None
        return ranking_words(newest, newest.ranked()) if newest else ""


def ranking_words(sweep: Sweep, runs: list[RankedRun]) -> str:
    """The runs of a search, the best first: a table, each row with a way to its run."""
    rows = "".join(map(_row, runs[:MOST_RANKED]))
    damage = sweep.damage()
    wrong = f'<p class="warning" translate="no">{escape(translate(damage))}</p>' if damage else ""
    heads = "".join(f'<th scope="col">{one}</th>' for one in ("Place", "Values", "Held-out loss", "Right", "State"))
    return (
        f'<h3 class="section">The newest search</h3><p class="quiet" translate="no">{escape(sweep.name)}</p>{wrong}'
        f'<div class="scrolls" tabindex="0" role="region" aria-label="The newest search"><table class="settings">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(one: RankedRun) -> str:
    values = " · ".join(f"{name.rpartition('.')[2]} {value}" for name, value in one.values.items())
    row = one.row
    loss = loss_figure(row.held_out) if row and row.held_out is not None else NO_FIGURE
    right = f"{row.score:.0%}" if row and row.score is not None else NO_FIGURE
    state = STATES[row.state] if row else "deleted"
    if one.stopped:
        state = "stopped early"
    link = f'<a href="?tab=runs&amp;run={escape(one.run)}" translate="no">{escape(values)}</a>'
    return (
        f"<tr><td>{one.place or NO_FIGURE}</td><th scope='row'>{link}</th><td>{loss}</td><td>{right}</td>"
        f"<td>{state}</td></tr>"
    )
