"""Runs: every run there is as a table, one of them opened, or several compared."""

from typing import Any

import gradio as gr

from ...runs import Run
from ..context import AppContext
from ..evaluations import Evaluations
from ..events import FAST, QUIET, Answer, Given
from ..guard import changes, owner_reads, reads
from ..translate import translate
from .adapter_import import AdapterImport
from .compare import MOST_COMPARED, Comparison, compare_words
from .one_run import OneRun
from .run_card import RunCards, run_id
from .table import RunsTable, given_by, texts_of

# The address tells what one looks at: the list, a run with one of its pages, or the runs that are compared.
PLACE = """(run, compared) => { if (!window.guanacoReady || !guanacoIsOn('runs')) return;
  const q = new URLSearchParams(location.search); q.set('tab', 'runs'); q.delete('chat');
  const face = guanacoTurnedTo('run-pages');
  run ? q.set('run', run) : q.delete('run');
  run && face && face !== 'overview' ? q.set('show', face) : q.delete('show');
  const one = document.querySelector('.evaluations')?.dataset.opened;
  one && !run && !compared ? q.set('evaluation', one) : q.delete('evaluation');
  compared ? q.set('compare', compared) : q.delete('compare'); history.replaceState(null, '', '?' + q); }"""


class RunsTab:
    """The list, one run, and a comparison; one of the three is seen."""

    def __init__(self, page: AppContext, cards: RunCards) -> None:
        self.page = page
        self.cards = cards
        self.table = RunsTable(page)
        self.adapter = AdapterImport(page)
        self.one = OneRun(page, cards, self.table)
        self.side_by_side = Comparison(page)
        self.evaluations = Evaluations(page)

    # ---- components

    def build(self) -> None:
        self.compared = gr.Textbox(visible=False)  # the ids that are compared, with commas between
        with gr.Column(elem_classes="all-runs") as self.all:
            self.table.build()
            self.adapter.build()
        with gr.Column(elem_classes="sheet one", visible=False) as self.opened_place:
            self.one.build()
        with gr.Column(elem_classes="sheet compared-runs", visible=False) as self.compare_place:
            self.comparison = self.side_by_side.build()
        with gr.Column() as self.evaluated:
            self.evaluations.build()

    @property
    def card(self) -> gr.HTML:
        """The card of the opened run."""
        return self.one.card

    @property
    def leading_to_chat(self) -> list[gr.HTML]:
        """What has a button that opens the chat with a run; its button "Train again" puts the recipe on the form."""
        return [self.one.card, self.one.head, self.table.component]

    @property
    def view(self) -> list[Any]:
        """What `opened`, `listed` and `compared_with` fill."""
        places = [self.all, self.opened_place, self.compare_place, self.evaluated]
        return [*places, self.compared, self.comparison, self.table.component, *self.one.view]

    @property
    def remember(self) -> dict[str, Any]:
        """What follows on an event that opens something: the address tells it."""
        return {"fn": None, "inputs": [self.card, self.compared], "js": PLACE}

    def wire(self) -> None:
        """Open a run, compare several, go back, delete."""
        for event in (
            self.table.component.open(self.open, None, self.view, **FAST),
            self.table.component.compare(self.compare, None, self.view, **FAST),
            self.comparison.open(self.open, None, self.view, **FAST),
            self.one.card.open(self.open, None, self.view, **FAST),
            self.comparison.back(self.show_all, None, self.view, **FAST),
            self.one.head.back(self.show_all, None, self.view, **FAST),
            self.side_by_side.merging.card.done(
                self.show_merged, {self.side_by_side.merging.card, self.compared}, self.view, **FAST
            ),
            self.one.head.remove(self.delete_run, None, self.view, **QUIET),
        ):
            event.then(**self.remember)
        self.table.wire()
        self.adapter.wire()
        self.one.wire()
        self.side_by_side.wire(self.compared)

    def wire_tab(self, tab: gr.Tab) -> None:
        """Whenever the tab is chosen its figures are made anew."""
        shown = tab.select(self.refresh, {self.card, self.compared}, self.view, **FAST)
        shown.then(**self.remember)

    # ---- answers

    def restored(self, asked: dict[str, str], run: Run | None) -> Answer:
        """What an address asks for: a run and one of its pages, runs to compare, else the list."""
        if run is not None:
            return self.opened(run, asked.get("show", ""))
        compared = asked.get("compare", "")
        return self.compared_with(compared.split(",")) if compared else self.listed()

    def opened(self, run: Run, page: str = "") -> Answer:
        """One run with all there is of it."""
        return self._seen("one") | self.one.shown(run, page)

    def opened_by(self, event: gr.EventData) -> Answer:
        """The run of an event {run, face}, turned to that page of it."""
        face = str(given_by(event).get("face") or "")
        return self.opened(self.page.store.get(run_id(event)), face)

    def listed(self) -> Answer:
        """All runs."""
        return self._seen("all") | self.one.shown(None)

    def compared_with(self, ids: list[str]) -> Answer:
        """Several runs beside each other."""
        kept = [run.id for run in map(self.page.find, ids[:MOST_COMPARED]) if run is not None]
        words = compare_words(self.page, kept, max(0, len(ids) - MOST_COMPARED))
        return self._seen("compare") | self.one.shown(None) | {self.compared: ",".join(kept), self.comparison: words}

    def _seen(self, place: str) -> Answer:
        return {
            self.all: gr.Column(visible=place == "all"),
            self.opened_place: gr.Column(visible=place == "one"),
            self.compare_place: gr.Column(visible=place == "compare"),
            self.evaluated: gr.Column(visible=place != "one"),
            self.compared: "",
        }

    # ---- handlers

    @reads
    def open(self, event: gr.EventData) -> Answer:
        """A run was chosen, or on its card what else there is of it."""
        return self.opened_by(event)

    @reads
    def compare(self, event: gr.EventData) -> Answer:
        """Several were chosen."""
        return self.compared_with(texts_of(given_by(event).get("runs")))

    @reads
    def show_all(self) -> Answer:
        """Back to the list."""
        return self.listed()

    @reads
    def refresh(self, given: Given) -> Answer:
        """The tab was chosen: what is opened stays open, figures are made anew."""
        if given[self.compared]:
            return self.compared_with(given[self.compared].split(","))
        found = self.page.find(given[self.card])
        if found is None:
            return self.listed()
        answer = self.opened(found)
        return {one: value for one, value in answer.items() if one is not self.one.pages}

    @owner_reads
    def show_merged(self, given: Given) -> Answer:
        """What was merged is opened, where one still looks at what it came of."""
        made = self.side_by_side.merging.made_by(given[self.side_by_side.merging.card])
        gr.Info(translate("Merged. It stands among the runs."))
        return self.opened(made, "settings") if made and given[self.compared] else {}

    @changes
    def delete_run(self, event: gr.EventData) -> Answer:
        """The run with its folder."""
        self.page.store.delete(run_id(event))
        self.page.summaries.look_again()
        gr.Info(translate("The run was deleted."))
        return self.listed()
