"""Runs: every run there is, and one of them opened with its card, recipe and files."""

import tempfile
import zipfile
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from ...errors import Problem, UserError
from ...formatting import duration, loss_figure, size
from ...runs import Run
from ...runs.checkpoints import MANIFEST
from ...runs.proof import Proof
from ...runs.recipes import recipe_of
from ...storage.reading import LARGEST_YAML, is_regular, read_bytes
from ..context import PRIVATE_FILES, AppContext, for_visitors
from ..events import FAST, QUIET, REMEMBER, Answer, Given
from ..guard import NOT_TOLD, changes, reads
from ..safely import safely
from ..theme import on_click, plain
from ..translate import translate
from .answer_file import AnswerFile
from .card_parts import NO_FIGURE, STATES, title_of
from .run_card import NOTHING_HERE, RunCards, run_card, run_id

SHOWN = 50
TAKEN_ALONG = (".safetensors", ".json", ".jinja", ".md", ".model", ".txt")
NO_RECIPE = Problem("run.no_recipe_file", "The recipe of this run cannot be read, so there is nothing to download.")
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
        copy = self._folder / f"{run.id}.yaml"
        copy.write_bytes(_recipe_file_for_visitors(run) if not self.page.may_change else _recipe_file(run))
        return {self.file: str(copy)}

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
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for path in sorted(adapter.rglob("*")):
                is_wanted = path.suffix in TAKEN_ALONG and path.name not in ("trainer_state.json", MANIFEST)
                if is_wanted and not path.is_symlink() and is_regular(path):  # a link may lead out of the folder
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
        rows = "".join(_row_in_any_case(run, self.page.may_change) for run in runs[:SHOWN])
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


def _row_in_any_case(run: Run, is_owners: bool) -> str:
    """A run that cannot be shown has a row too, which says so; why, to its owner alone."""

    def otherwise(problem: Problem) -> str:
        why = problem if is_owners else NOT_TOLD
        return f"<tr><td>{_link(run, run.id)}</td><td colspan='5'>{_warning(why)}</td></tr>"

    return safely(lambda: _row(run, is_owners), otherwise)


def _link(run: Run, title: str) -> str:
    return (
        f'<button type="button" class="link" data-run="{escape(run.id)}" translate="no">{escape(title)}</button>'
        f'<small translate="no">{escape(run.id)}</small>'
    )


def _warning(problem: str) -> str:
    return f'<small class="warning">{escape(translate(problem))}</small>'


def _row(run: Run, is_owners: bool) -> str:
    status, share = run.status(), Proof.from_json(run.proof()).heldout.exact_match.after
    started = datetime.fromtimestamp(run.created_at())
    dot = "live" if status.is_active else escape(status.state)
    loss, right = (
        NO_FIGURE if value is None else say(value)
        for value, say in ((status.loss, loss_figure), (share, "{:.0%}".format))
    )
    noticed = run.damages()[:1] if is_owners else []  # it may name a file, or what stands in the recipe
    damages = "".join(_warning(problem) for problem in noticed)
    return (
        f"<tr><td>{_link(run, title_of(run))}{damages}</td>"
        f'<td><span class="dot {dot}"></span>{STATES[status.state]}</td>'
        f"<td>{loss}</td><td>{right}</td><td>{duration(status.seconds)}</td>"
        f"<td>{started:%b} {started.day}, {started:%H:%M}</td></tr>"
    )


def details(run: Run, with_path: bool) -> str:
    """The recipe as it was saved, and what lies in the folder."""
    text = f'<pre translate="no">{escape(_recipe_text(run, with_path))}</pre>'
    files = "".join(
        f'<tr><td translate="no">{escape(name)}</td><td>{size(count)}</td></tr>' for name, count in _files(run)
    )
    path = f'<p class="quiet" translate="no">{escape(str(run.folder))}</p>' if with_path else ""
    return (
        f"<details><summary>Recipe</summary>{text}</details>"
        f"<details><summary>Files, {size(run.size())}</summary>{path}"
        f"<table>{files}</table></details>"
    )


def _recipe_file(run: Run) -> bytes:
    try:
        return read_bytes(run.folder / run.spec_file)
    except OSError as error:
        raise UserError.of(NO_RECIPE) from error


def _recipe_file_for_visitors(run: Run) -> bytes:
    recipe = recipe_of(run)
    if recipe is None:
        raise UserError.of(NO_RECIPE)
    return for_visitors(recipe).to_yaml().encode()


def _recipe_text(run: Run, is_owners: bool) -> str:
    """To its owner as the file has it, so that settings of other versions are seen too."""
    try:
        file = _recipe_file(run) if is_owners else _recipe_file_for_visitors(run)
    except UserError as error:
        return translate(error.problem)
    return file[:LARGEST_YAML].decode("utf-8", "replace")


def _files(run: Run) -> list[tuple[str, int]]:
    """(name, bytes) of what lies directly in the folder and in the adapter; checkpoints each as one line."""
    found = []
    for path in sorted(run.folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            found.append((path.name, path.lstat().st_size))
    for folder in sorted([run.adapter, *run.checkpoints.glob("*-*")]):
        if folder.is_dir():
            inside = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file())
            found.append((f"{folder.relative_to(run.folder)}/", inside))
    return found
