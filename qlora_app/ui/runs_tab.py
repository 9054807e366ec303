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
from gradio.components import Component

from ..errors import UserError
from ..formatting import duration, loss_figure, size
from ..runs import Run
from ..runs.checkpoints import MANIFEST
from .answer_file import AnswerFile
from .context import AppContext
from .guard import changes, reads
from .run_card import (
    NO_FIGURE,
    NOTHING_HERE,
    STATES,
    RunCards,
    recipe_of,
    run_card,
    run_id,
    title_of,
)
from .theme import on_click, plain
from .translate import translate

SHOWN = 50
TAKEN_ALONG = (".safetensors", ".json", ".jinja", ".md", ".model", ".txt")
NONE_YET = """<div class="welcome"><h2>No runs yet</h2><p>Every training you start appears here
and stays until you delete it. Go to <b>Train</b> and press <b>Start training</b>.</p></div>"""
SAVE = (
    "() => setTimeout(() => (document.querySelector('#file-ready a, a#file-ready, #file-ready button, "
    "button#file-ready')).click(), 150)"
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
    def view(self) -> list[Component]:
        """What `opened` and `listed` fill."""
        return [self.all, self.one, self.card, self.details, self.sure, self.table]

    # ---- handlers

    def opened(self, run: Run) -> list[Any]:
        words = details(run, self.page.may_change)
        return [gr.Column(visible=False), gr.Column(visible=True), run.id, words, gr.Row(visible=False), gr.skip()]

    def listed(self) -> list[Any]:
        return [gr.Column(visible=True), gr.Column(visible=False), "", "", gr.Row(visible=False), self.table_words()]

    @reads
    def open(self, event: gr.EventData) -> list[Any]:
        return self.opened(self.page.store.get(run_id(event)))

    @reads
    def show_all(self) -> list[Any]:
        return self.listed()

    @reads
    def refresh(self, opened: str) -> list[Any]:
        """The tab was chosen: what is opened stays open, figures are made anew."""
        return self.opened(self.page.store.get(opened)) if opened else self.listed()

    @reads
    def ask_delete(self) -> Any:
        return gr.Row(visible=True)

    @reads
    def keep(self) -> Any:
        return gr.Row(visible=False)

    @changes
    def delete_run(self, id: str) -> list[Any]:
        self.page.store.delete(id)
        gr.Info(translate("The run was deleted."))
        return self.listed()

    @reads
    def adapter_file(self, id: str) -> str:
        """The newest adapter as a zip, in PEFT's format, with what a method put into folders beside it; a checkpoint's
        optimizer and the like stay behind."""
        run = self.page.store.get(id)
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
        return str(beside.replace(packed))

    @reads
    def recipe_file(self, id: str) -> str:
        run = self.page.store.get(id)
        return str(shutil.copyfile(run.folder / "recipe.yaml", self._folder / f"{run.id}.yaml"))

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
    started = datetime.fromtimestamp((run.folder / "recipe.yaml").stat().st_mtime)
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
    text = (
        f'<pre translate="no">{escape(recipe.to_yaml())}</pre>'
        if recipe
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
