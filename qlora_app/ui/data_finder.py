"""Under the data: a search over the Hub's datasets, the subset, split and revision of the chosen one, and a place for
pasted text.

For the starter's datasets nothing of this is shown.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ..errors import UserError
from ..formatting import size
from ..hub import Stopped
from ..training_data import DatasetChoice, server_files, uploaded_files
from ..training_data.read.archives import ENDINGS
from ..training_data.sources.hub import (
    Hit,
    HubDataset,
    HubSplit,
    download_words,
    fetch_data,
    is_here,
    kept,
    look_up,
    search_data,
)
from .context import AppContext
from .guard import changes, in_words, reads
from .hub_finder import HubFinder
from .recipe_form import (
    PASTE,
    SEARCH_DATA,
    RecipeForm,
    data_value,
)
from .theme import plain
from .translate import translate

NAMES = ("dataset.subset", "dataset.split", "dataset.revision")
HELD_OUT = "dataset.held_out_from"
NEWS = 0.5  # seconds between two words about a download
LONGEST_PASTE = 5_000_000  # characters


class DataFinder(HubFinder):
    """Its components and what they do."""

    kind = "data"
    nothing = "Nothing found. Try fewer words, such as alpaca or german questions."

    def __init__(self, page: AppContext, form: RecipeForm) -> None:
        super().__init__(page, form)
        self._loading = ThreadPoolExecutor(2, thread_name_prefix="download")

    # ---- components

    def build(self) -> None:
        self.build_search("data", "Search the Hub for data", "alpaca")
        with gr.Column(visible=False, elem_id="data-hub") as self.chosen:
            self.line = plain(elem_id="data-hub-line")
            with gr.Row(elem_classes="pairs"):
                self.lists = [self.form.build_list(name) for name in NAMES]
            self.get = gr.Button("Download it and look", size="sm", elem_id="data-get", visible=False)
            self.progress = plain(elem_id="data-progress")
        self.held_out = self.form.build_list(HELD_OUT, visible=False)
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
                max_length=LONGEST_PASTE,
                placeholder="Rows as JSON or CSV, or plain text",
            )
            self.take = gr.Button("Use this text", size="sm", elem_id="take-text")
            plain(self._folder_words() if self.page.may_change else "")  # strangers need no paths

    @property
    def outputs(self) -> list[Component]:
        """What `describe` fills."""
        return [self.panel, self.chosen, self.bringing, self.line, *self.lists, self.held_out, self.get, self.progress]

    # ---- handlers

    def search(self, words: str, token: str | None) -> list[Hit]:
        return search_data(words, token)

    @reads
    def pick(self, event: gr.EventData) -> Any:
        choice = self.picked(event, DatasetChoice)
        return gr.update(choices=self.form.data_choices(choice), value=data_value(choice))

    @reads
    def describe(self, *values: Any) -> list[Any]:
        """What is shown for the chosen data: the search, what the Hub says of it with lists to choose from, or a place
        to paste.
        """
        choice, value = self.form.data_of(values), str(values[1] or "")
        is_chosen = choice.source == "hub" and bool(choice.id)
        seen = [
            gr.Column(visible=value == SEARCH_DATA),
            gr.Column(visible=is_chosen),
            gr.Column(visible=value == PASTE and self.page.may_change),
        ]
        if not is_chosen:
            others = self._other_files(choice)
            offered = _offered(others) if others or choice.held_out_from else gr.update(choices=[], visible=False)
            return [*seen, "", *(gr.update(choices=[], value="") for _ in NAMES), offered, gr.Button(visible=False), ""]
        return [*seen, *self._described(choice), ""]

    def _described(self, choice: DatasetChoice) -> list[Any]:
        """[line, subset, split, revision, held-out data, button]"""
        lists: list[Any] = [*(gr.skip() for _ in NAMES), gr.update(visible=True)]
        try:
            if problems := choice.problems():
                raise UserError.of(next(iter(problems.values())))
            layout = self.layout(choice)
            lists[0] = _list(layout.subsets, choice.subset or layout.subset)
            lists[2] = gr.update(choices=_revisions(layout), value=layout.commit)
            if choice.subset in ("", *layout.subsets):
                lists[1] = _list(layout.splits(choice.subset or layout.subset), choice.split)
            part = layout.part(choice)
        except UserError as error:
            if here := kept(choice, self.page.settings.data):
                return [f'<p class="quiet">{escape(download_words(here))}</p>', *lists, gr.Button(visible=False)]
            return [
                f'<p class="warning" role="alert">{escape(translate(error.problem))}</p>',
                *lists,
                gr.Button(visible=False),
            ]
        splits = layout.splits(part.subset)
        lists[1], lists[3] = (
            _list(splits, part.split),
            _offered([(name, name) for name in splits if name != part.split]),
        )
        is_all_here = is_here(part.pin(choice), self.page.settings.data)
        return [_about(layout, part), *lists, gr.Button(visible=not is_all_here and self.page.may_change)]

    @changes
    def fetch(self, *values: Any) -> Iterator[str]:
        """Downloads what is chosen and says how far it is; leaving the page ends it, and what has arrived is kept."""
        choice, settings, told, stop = self.form.data_of(values), self.page.settings, {"text": "…"}, threading.Event()

        def on_progress(arrived: int, total: int) -> None:
            told["text"] = f"Downloading {choice.id}: {size(arrived)} of {size(total)}."

        waiting = self._loading.submit(fetch_data, choice, settings.data, settings.token, on_progress, stop.is_set)
        try:
            while not waiting.done():
                yield f'<p class="quiet" role="status">{escape(told["text"])}</p>'
                time.sleep(NEWS)
            waiting.result()
        except Stopped:
            return
        except UserError as error:
            yield f'<p class="warning" role="alert">{escape(translate(in_words(error)))}</p>'
            return
        finally:
            stop.set()
        yield ""

    # ---- what is known

    def layout(self, choice: DatasetChoice) -> HubDataset:
        """Raises UserError for data that cannot be had."""
        if known := self.known(choice.id, choice.revision):
            return known
        found = look_up(choice, self._token(), revisions=True)
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
