"""Runs: every run there is, and one of them opened with its card, recipe and files."""

import shutil
import tempfile
import zipfile
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from ...errors import UserError
from ...formatting import duration, loss_figure, size
from ...runs import Run
from ...runs.checkpoints import MANIFEST
from ...runs.recipes import recipe_of
from ..context import PRIVATE_FILES, AppContext, for_visitors
from ..events import FAST, QUIET, REMEMBER, Answer, Given
from ..guard import changes, reads
from ..theme import on_click, plain
from ..translate import translate
from .answer_file import AnswerFile
from .card_parts import NO_FIGURE, STATES, title_of
from .run_card import NOTHING_HERE, RunCards, run_card, run_id

SHOWN = 50
TAKEN_ALONG = (".safetensors", ".json", ".jinja", ".md", ".model", ".txt")
NONE_YET = """<div class="welcome"><h2>No runs yet</h2><p>Every training you start appears here
and stays until you delete it. Go to <b>Train</b> and press <b>Start training</b>.</p></div>"""
SAVE = (
    "() => setTimeout(() => (document.querySelector('#file-ready a, a#file-ready, #file-ready button, "
    "button#file-ready')).click(), 150)"
)


NOT_SHOWN = (
    '<p class="quiet">This run learned from uploaded data. Its recipe, its files and its examples are not shown to '
    "visitors; they can talk to it.</p>"
)


class RunsTab:
    """A list, and one run opened; one of the two is seen."""

    def __init__(self, page: AppContext, cards: RunCards) -> None:
        self.page = page
        self.cards = cards
        self.answers = AnswerFile(page)
        self._temporary = tempfile.TemporaryDirectory(prefix="guanaco-workshop-")

    # ---- components

    def build(self) -> None:
        with gr.Column(elem_classes="sheet") as self.all:
            self.table = plain(self.table_words(), js_on_load=on_click("open", "run"), elem_id="runs-table")
        with gr.Column(elem_classes="sheet one", visible=False) as self.one:
            self.back = gr.Button("← All runs", size="sm", elem_id="back")
            self.card = run_card(self.cards, elem_id="opened")
            self.details = plain(elem_id="details")
            with gr.Row(elem_classes="files"):
                self.get_adapter = gr.Button("Download the adapter (zip)", size="sm", min_width=140)
                self.get_recipe = gr.Button("Download the recipe", size="sm", min_width=140)
                self.answers.build()
                self.delete = gr.Button(
                    "Delete this run",
                    size="sm",
                    variant="stop",
                    min_width=140,
                    elem_id="delete",
                    visible=self.page.may_change,
                )
            with gr.Row(visible=False, elem_classes="confirm") as self.sure:
                plain(
                    "<p>This deletes the run with its adapter and everything it saved. It cannot be brought back.</p>",
                    scale=3,
                )
                self.yes = gr.Button("Delete it", size="sm", variant="stop", min_width=120, elem_id="yes-delete")
                self.no = gr.Button("Keep it", size="sm", min_width=120)
            self.answers.build_result()
            self.file = gr.DownloadButton("Save", visible="hidden", elem_id="file-ready")

    @property
    def view(self) -> list[Any]:
        """What `opened` and `listed` fill."""
        files = [self.get_adapter, self.get_recipe]
        return [self.all, self.one, self.card, self.details, self.sure, self.table, *files, *self.answers.view]

    def wire(self) -> None:
        """Open a run, go back, delete it, take its files."""
        remember: dict[str, Any] = {"fn": None, "inputs": self.card, "js": REMEMBER % "runs"}
        self.table.open(self.open, None, self.view, **FAST).then(**remember)
        self.back.click(self.show_all, None, self.view, **FAST).then(**remember)
        self.delete.click(self.ask_delete, None, self.sure, **FAST)
        self.no.click(self.keep, None, self.sure, **FAST)
        self.yes.click(self.delete_run, {self.card}, self.view, **QUIET)
        self.answers.wire(self.card)
        self.get_adapter.click(self.adapter_file, {self.card}, self.file, **QUIET).success(None, js=SAVE)
        self.get_recipe.click(self.recipe_file, {self.card}, self.file, **QUIET).success(None, js=SAVE)
        self.cards.wire(self.card)

    def wire_tab(self, tab: gr.Tab) -> None:
        """Whenever the tab is chosen its figures are made anew."""
        shown = tab.select(self.refresh, {self.card}, self.view, **FAST)
        shown.then(None, self.card, js=REMEMBER % "runs")

    # ---- answers

    def opened(self, run: Run) -> Answer:
        """One run with all there is of it."""
        seen = self._seen(one=True) | self.answers.shown(run)
        told = details(run, self.page.may_change) if self.page.may_open(run) else NOT_SHOWN
        files = dict.fromkeys([self.get_adapter, self.get_recipe], gr.Button(visible=self.page.may_open(run)))
        return seen | files | {self.card: run.id, self.details: told}

    def listed(self) -> Answer:
        """All runs."""
        seen = self._seen(one=False) | self.answers.shown(None)
        return seen | {self.card: "", self.details: "", self.table: self.table_words()}

    def _seen(self, one: bool) -> Answer:
        return {
            self.all: gr.Column(visible=not one),
            self.one: gr.Column(visible=one),
            self.sure: gr.Row(visible=False),
        }

    # ---- handlers

    @reads
    def open(self, event: gr.EventData) -> Answer:
        """A run of the list was chosen."""
        return self.opened(self.page.store.get(run_id(event)))

    @reads
    def show_all(self) -> Answer:
        """Back to the list."""
        return self.listed()

    @reads
    def refresh(self, given: Given) -> Answer:
        """The tab was chosen: what is opened stays open, figures are made anew."""
        opened = given[self.card]
        return self.opened(self.page.store.get(opened)) if opened else self.listed()

    @reads
    def ask_delete(self) -> Answer:
        """Is that meant?"""
        return {self.sure: gr.Row(visible=True)}

    @reads
    def keep(self) -> Answer:
        """It was not."""
        return {self.sure: gr.Row(visible=False)}

    @changes
    def delete_run(self, given: Given) -> Answer:
        """The run with its folder."""
        self.page.store.delete(given[self.card])
        gr.Info(translate("The run was deleted."))
        return self.listed()

    @reads
    def adapter_file(self, given: Given) -> Answer:
        """The newest adapter as a zip, in PEFT's format, with what a method put into folders beside it; a checkpoint's
        optimizer and the like stay behind."""
        return {self.file: str(self._packed(self._opened_to_visitor(given)))}

    @reads
    def recipe_file(self, given: Given) -> Answer:
        """The recipe as a file; to visitors without what its owner noted down."""
        run = self._opened_to_visitor(given)
        file = self._folder / f"{run.id}.yaml"
        recipe = None if self.page.may_change else recipe_of(run)
        if recipe is None:
            shutil.copyfile(run.folder / "recipe.yaml", file)
        else:
            file.write_text(for_visitors(recipe).to_yaml(), encoding="utf-8")
        return {self.file: str(file)}

    def _opened_to_visitor(self, given: Given) -> Run:
        """Raises UserError for a run whose files this visitor may not have."""
        run = self.page.store.get(given[self.card])
        if not self.page.may_open(run):
            raise UserError.of(PRIVATE_FILES)
        return run

    # ---- files

    def _packed(self, run: Run) -> Path:
        adapter = run.newest_adapter()
        if adapter is None:
            raise UserError(
                "run.nothing_saved", "This run has saved nothing yet. The adapter is there after its first checkpoint."
            )
        packed = self._folder / f"{run.id}-{adapter.name}.zip"
        beside = packed.with_suffix(f".{uuid4().hex}")  # two may download the same at once
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(adapter.rglob("*")):
                if path.suffix in TAKEN_ALONG and path.name not in ("trainer_state.json", MANIFEST):
                    archive.write(path, path.relative_to(adapter))
        return beside.replace(packed)

    @property
    def _folder(self) -> Path:
        """Where files to download are made; Gradio hands out a copy. Gone when the app ends."""
        return Path(self._temporary.name)

    # ---- words

    def table_words(self) -> str:
        runs = self.page.store.list()
        if not runs:
            return NONE_YET if self.page.may_change else NOTHING_HERE
        rows = "".join(_row(run) for run in runs[:SHOWN])
        rest = (
            f'<p class="quiet">The newest {SHOWN} of {len(runs):,} runs. '
            '<code translate="no">python -m qlora_app runs</code> lists all.</p>'
            if len(runs) > SHOWN
            else ""
        )
        columns = "".join(
            f'<th scope="col">{name}</th>' for name in ("Run", "State", "Loss", "Held-out right", "Time", "Started")
        )
        return f'<table class="runs"><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>{rest}'


def _row(run: Run) -> str:
    status, proof = run.status(), run.proof() or {}
    share = ((proof.get("heldout") or {}).get("exact_match") or {}).get("after")
    started = datetime.fromtimestamp(run.created_at())
    dot = "live" if status.is_active else escape(status.state)
    loss, right = (
        NO_FIGURE if value is None else say(value)
        for value, say in ((status.loss, loss_figure), (share, "{:.0%}".format))
    )
    return (
        f'<tr><td><button type="button" class="link" data-run="{escape(run.id)}" '
        f'translate="no">{escape(title_of(run))}</button>'
        f'<small translate="no">{escape(run.id)}</small></td>'
        f'<td><span class="dot {dot}"></span>{STATES.get(status.state, escape(status.state))}</td>'
        f"<td>{loss}</td><td>{right}</td><td>{duration(status.seconds)}</td>"
        f"<td>{started:%b} {started.day}, {started:%H:%M}</td></tr>"
    )


def details(run: Run, with_path: bool) -> str:
    """The recipe as it was saved, and what lies in the folder."""
    recipe = recipe_of(run)
    shown = recipe if recipe is None or with_path else for_visitors(recipe)
    text = (
        f'<pre translate="no">{escape(shown.to_yaml())}</pre>'
        if shown
        else "<p>The recipe of this run cannot be read.</p>"
    )
    files = "".join(
        f'<tr><td translate="no">{escape(name)}</td><td>{size(count)}</td></tr>' for name, count in _files(run)
    )
    path = f'<p class="quiet" translate="no">{escape(str(run.folder))}</p>' if with_path else ""
    return (
        f"<details><summary>Recipe</summary>{text}</details>"
        f"<details><summary>Files, {size(run.size())}</summary>{path}"
        f"<table>{files}</table></details>"
    )


def _files(run: Run) -> list[tuple[str, int]]:
    """(name, bytes) of what lies directly in the folder and in the adapter; checkpoints each as one line."""
    found = []
    for path in sorted(run.folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            found.append((path.name, path.stat().st_size))
    for folder in sorted([run.adapter, *run.checkpoints.glob("*-*")]):
        if folder.is_dir():
            found.append(
                (f"{folder.relative_to(run.folder)}/", sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()))
            )
    return found
