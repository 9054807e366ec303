"""Measure first: whether what is on the form fits, and how long it takes, by a job that keeps nothing."""

from collections.abc import Callable

import gradio as gr

from ...errors import UserError
from ...jobs import JobStore
from ...measurement import measure_job
from ...recipe import Recipe
from ...runs import address_of
from ..context import AppContext
from ..events import FAST, QUIET, Answer, Given
from ..guard import changes, owner_reads, reads
from .form import TrainForm
from .form_values import at_controls, read
from .measured import MICRO_BATCH
from .mistakes import Mistakes


class Measure:
    """What the menu's entry and the buttons on the verdict do."""

    def __init__(
        self, page: AppContext, form: TrainForm, mistakes: Mistakes, ready: Callable[[Recipe], Recipe]
    ) -> None:
        """`ready`: the recipe as a run keeps it; raises UserError with what speaks against it."""
        self.page = page
        self.form = form
        self.mistakes = mistakes
        self.ready = ready

    def wire(self, menu: gr.HTML) -> None:
        """`menu`: where it is asked for."""
        shown = self.form.measured
        menu.measure(self.begin, self.form.controls.inputs, [*self.outputs, *self.mistakes.outputs], **FAST)
        shown.card.done(self.finished, self.form.controls.inputs, self.outputs, **QUIET)
        shown.verdict.use(self.use, None, [self.form.controls.controls[MICRO_BATCH], self.form.touched], **FAST)
        shown.job.wire()

    @property
    def outputs(self) -> list[gr.components.Component]:
        """The job, and what it found."""
        return [self.form.measured.card, self.form.measured.verdict]

    def shown(self) -> Answer:
        """The newest measurement, if it is not done."""
        return {self.form.measured.card: self.form.measured.job.unfinished("measure")}

    # ---- handlers

    @changes
    def begin(self, given: Given) -> Answer:
        """A job that measures what is on the form; with mistakes they are named and nothing begins."""
        values = self.form.values(given)
        try:
            asked = read(values)
            self.page.make_room()
            job = measure_job(JobStore(self.page.settings.jobs), asked, self.ready(asked))
        except UserError as error:
            return self.mistakes.listed(at_controls(error, values))
        self.page.start(job)
        return {self.form.measured.card: address_of(job), self.form.measured.verdict: "", **self.mistakes.none()}

    @reads
    def finished(self, given: Given) -> Answer:
        """The verdict in place of the job."""
        try:
            recipe = read(self.form.values(given))
        except UserError:  # what is typed by now has mistakes, which Start names
            return {}
        return {self.form.measured.card: "", self.form.measured.verdict: self.form.measured.words(recipe)}

    @owner_reads
    def use(self, event: gr.EventData) -> Answer:
        """A size that was measured comes onto the form."""
        count = str((event._data or {}).get("count", ""))
        if not count.isdecimal():
            return {}
        return {self.form.controls.controls[MICRO_BATCH]: int(count)} | self.form.touch()
