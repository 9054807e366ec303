"""Under the data: a search over the Hub's datasets, the subset, split and revision of the chosen one, and a place for
pasted text.

For the starter's datasets nothing of this is shown.
"""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import UserError
from ...jobs import JobStore
from ...kinds.download import download_job
from ...runs import address_of
from ...training_data import DatasetChoice, server_files, uploaded_files
from ...training_data.read.archives import ENDINGS
from ...training_data.sources.hub import (
    Hit,
    HubDataset,
    HubSplit,
    download_words,
    is_here,
    kept,
    look_up,
    search_data,
)
from ..context import AppContext
from ..events import FAST, LAST, QUIET, After, Answer, Given
from ..guard import changes, owner_reads, reads
from ..job_card import JobCard, address_in
from ..kept import KEEPS
from ..theme import plain
from .column_form import ColumnForm
from .data_words import refusal_words
from .form import TrainForm
from .form_values import (
    DATA,
    DATA_SETTINGS,
    HELD_OUT,
    HUB_PART,
    PASTE,
    REVISION,
    SEARCH_DATA,
    SPLIT,
    SUBSET,
    Values,
    data_of,
    data_value,
)
from .hub_finder import HubFinder
from .recipe_form import RecipeForm

LONGEST_PASTE = 5_000_000  # characters


class DataFinder(HubFinder):
    """Its components and what they do."""

    kind = "data"
    nothing = "Nothing found. Try fewer words, such as alpaca or german questions."

    def __init__(self, page: AppContext, controls: RecipeForm) -> None:
        super().__init__(page, controls)
        self.job = JobCard(page)

    # ---- components

    def build(self) -> None:
        self.build_search("data", "Search the Hub for data", "alpaca")
        with gr.Column(visible=False, elem_id="data-hub") as self.chosen:
            self.line = plain(elem_id="data-hub-line")
            with gr.Row(elem_classes="pairs"):
                self.lists = {name: self.controls.build_list(name) for name in HUB_PART}
            self.get = gr.Button("Download it and look", size="sm", elem_id="data-get", visible=False)
        with gr.Column(visible=False, elem_id="data-paste") as self.bringing:
            self.files = gr.File(
                label="Files, also several of one format",
                file_count="multiple",
                file_types=ENDINGS,
                height=150,
                elem_id="drop",
            )
            self.text = gr.Textbox(
                label="Or text",
                lines=4,
                max_lines=12,
                interactive=True,
                elem_id="paste",
                elem_classes=KEEPS,
                max_length=LONGEST_PASTE,
                placeholder="Rows as JSON or CSV, or plain text",
            )
            self.take = gr.Button("Use this text", size="sm", elem_id="take-text")
            self.said = plain(elem_id="text-said")
            plain(self._folder_words() if self.page.may_change else "")  # strangers need no paths

    def build_progress(self) -> None:
        """How far a download is: beside the data, where it is seen whichever face the stage has."""
        self.progress = self.job.build(elem_id="data-progress")

    def build_held_out(self) -> None:
        """Other data to measure with."""
        self.held_out = self.controls.build_list(HELD_OUT, visible=False)

    def wire(self, form: TrainForm, columns: ColumnForm, other_data: After) -> None:
        """`form`: what data is chosen on. `other_data`: what follows on that."""
        self.form = form
        control = self.controls.controls
        self.wire_search(set())
        picked = self.hits.pick(self.pick, None, control[DATA], **FAST)
        other_data(picked.success(form.choose, form.inputs, form.outputs, **QUIET))
        other_data(self.take.click(self.take_text, {self.text, *form.inputs}, [self.said, *form.outputs], **QUIET))
        self.get.click(self.fetch, self.controls.data_inputs, self.progress, **QUIET)
        fetched = self.progress.done(self.fetched, None, self.progress, **QUIET)
        other_data(fetched.success(form.choose, form.inputs, form.outputs, **QUIET))
        self.job.wire()
        parts = [*self.lists.values(), self.held_out]
        how = [one for name, one in control.items() if name.startswith(DATA_SETTINGS) and one not in parts]
        described = gr.on(
            [one.input for one in parts], self.describe, self.controls.data_inputs, self.outputs, **QUIET, **LAST
        )
        columns.offer_after(described.then(form.read_anew, form.inputs, form.read_anew_outputs, **QUIET))
        gr.on([one.input for one in how], form.read_anew, form.inputs, form.read_anew_outputs, **QUIET, **LAST)

    @property
    def outputs(self) -> list[Any]:
        """What `describe` fills."""
        panels = [self.panel, self.chosen, self.bringing]
        return [*panels, self.line, *self.lists.values(), self.held_out, self.get]

    @property
    def view(self) -> list[Any]:
        """What `shown` fills."""
        return [self.progress]

    # ---- handlers

    def search(self, words: str, token: str | None, chosen: Values) -> list[Hit]:
        """Datasets whose name has the words in it."""
        return search_data(words, token)

    @reads
    def pick(self, event: gr.EventData) -> Answer:
        """A hit is chosen on the form."""
        choice = self.picked(event, DatasetChoice)
        update = gr.update(choices=self.controls.data_choices(choice), value=data_value(choice))
        return {self.controls.controls[DATA]: update}

    @changes
    def take_text(self, given: Given) -> Answer:
        """Text that was pasted becomes data, and is chosen; why it is none stays said."""
        try:
            return {self.said: "", **self.form.with_text(given, given[self.text] or "")}
        except UserError as error:
            return {self.said: refusal_words(error.problem)}

    @reads
    def describe(self, given: Given) -> Answer:
        """What is shown for the chosen data: the search, what the Hub says of it with lists to choose from, or a place
        to paste.
        """
        values = self.controls.values(given)
        choice, value = data_of(values), str(values[DATA] or "")
        is_of_the_hub = choice.source == "hub" and bool(choice.id)
        seen = {
            self.panel: gr.Column(visible=value == SEARCH_DATA),
            self.chosen: gr.Column(visible=is_of_the_hub),
            self.bringing: gr.Column(visible=value == PASTE and self.page.may_change),
        }
        return seen | (self._hub_part(choice) if is_of_the_hub else self._other_part(choice))

    def _other_part(self, choice: DatasetChoice) -> Answer:
        """Of data that is not the Hub's: other files to measure with."""
        others = self._other_files(choice)
        is_offered = others or choice.held_out_from
        return {
            self.line: "",
            **{one: gr.update(choices=[], value="") for one in self.lists.values()},
            self.held_out: _offered(others) if is_offered else gr.update(choices=[], visible=False),
            self.get: gr.Button(visible=False),
        }

    def _hub_part(self, choice: DatasetChoice) -> Answer:
        """Of a dataset of the Hub: what it says of it, with the lists of its parts."""
        answer: Answer = {self.held_out: gr.update(visible=True), self.get: gr.Button(visible=False)}
        try:
            if problems := choice.problems():
                raise UserError.of(next(iter(problems.values())))
            layout = self.layout(choice)
            answer[self.lists[SUBSET]] = _list(layout.subsets, choice.subset or layout.subset)
            answer[self.lists[REVISION]] = gr.update(choices=_revisions(layout), value=layout.commit)
            if choice.subset in ("", *layout.subsets):
                answer[self.lists[SPLIT]] = _list(layout.splits(choice.subset or layout.subset), choice.split)
            part = layout.part(choice)
        except UserError as error:
            here = kept(choice, self.page.settings.data)
            quiet = f'<p class="quiet">{escape(download_words(here))}</p>' if here else ""
            return answer | {self.line: quiet or f'<p class="warning" role="alert">{escape(str(error))}</p>'}
        splits = layout.splits(part.subset)
        others = [(name, name) for name in splits if name != part.split]
        is_all_here = is_here(part.pin(choice), self.page.settings.data)
        return answer | {
            self.line: _about(layout, part),
            self.lists[SPLIT]: _list(splits, part.split),
            self.held_out: _offered(others),
            self.get: gr.Button(visible=not is_all_here and self.page.may_change),
        }

    @changes
    def fetch(self, given: Given) -> Answer:
        """What is chosen is downloaded by a job, whether or not somebody goes on looking."""
        self.page.make_room()
        job = download_job(JobStore(self.page.settings.jobs), data_of(self.controls.values(given)))
        self.page.start(job)
        return {self.progress: address_of(job)}

    @owner_reads
    def fetched(self, event: gr.EventData) -> Answer:
        """All is here: the card has said so, and makes room for the data."""
        self.page.jobs.get(address_in(event))
        return {self.progress: ""}

    def shown(self) -> Answer:
        """The newest download, if it is not done."""
        return {self.progress: self.job.unfinished("download")}

    # ---- what is known

    def layout(self, choice: DatasetChoice) -> HubDataset:
        """Raises UserError for data that cannot be had."""
        if known := self.known(choice.id, choice.revision):
            return known
        found = look_up(choice, self.token(), revisions=True)
        for revision in (choice.revision, found.commit):
            self.remember(choice.id, revision, found)
        return found

    def _other_files(self, choice: DatasetChoice) -> list[tuple[str, str]]:
        """(title, id) of a person's own data, beside what is chosen of it."""
        if choice.source != "file" or not choice.id or not self.page.may_change:
            return []
        folder = self.page.settings.data
        every = [DatasetChoice(source="file", id=id) for id in (*uploaded_files(folder), *server_files(folder))]
        return [(one.title, one.id) for one in every if one.id != choice.id]

    def _folder_words(self) -> str:
        folder = self.page.settings.data
        home = Path.home()
        shown = f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
        return (
            '<p class="quiet">Large files need no upload: what lies in the data folder of this machine '
            f'(<span translate="no">{escape(shown)}</span>) is in the list too.</p>'
        )


def _offered(others: list[tuple[str, str]]) -> Any:
    """What else there is to measure with; empty stands for a share of the data. What a person has chosen stays."""
    return gr.update(choices=[("", ""), *others], visible=True)


def _list(names: Any, value: str) -> Any:
    return gr.update(choices=[(name, name) for name in names], value=value)


def _revisions(layout: HubDataset) -> list[tuple[str, str]]:
    named = [(f"{name} ({commit[:8]})", commit) for name, commit in layout.revisions.items()]
    return named if layout.commit in layout.revisions.values() else [(layout.commit[:8], layout.commit), *named]


def _about(layout: HubDataset, part: HubSplit) -> str:
    facts = [
        f"licence {layout.licence}" if layout.licence else "no licence named",
        "gated" if layout.is_gated else "",
        download_words(part),
    ]
    return f'<p class="quiet">{escape(" · ".join(filter(None, facts)))}</p>'
