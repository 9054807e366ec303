"""The page of one run: its head with what can be done, and below it Overview, Samples, Test, Use it, Settings, Log."""

import functools
import json
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr

from ...base_models.headers import tensor_shapes
from ...errors import Problem, UserError
from ...export import EXPORTERS, exporter_of
from ...kinds.export import export_job
from ...runs import Run
from ...runs.checkpoints import MANIFEST
from ...runs.exports import exports_of
from ...runs.held_out_answers import held_out_answers
from ...runs.labels import relabel
from ...storage.reading import LARGEST, is_regular
from ..context import PRIVATE_FILES, AppContext
from ..events import FAST, QUIET, Answer, Given
from ..guard import NOT_TOLD, changes, in_words, owner_reads, reads, served, shared
from ..language import problem_in, texts_in, translated
from ..safely import safely
from ..theme import plain
from ..translate import visitors_language
from .answer_file import AnswerFile
from .answered import answered_rows, test_page
from .card_parts import MOVING
from .export_part import is_exporting
from .keys import KeysCard
from .publish_part import PublishPart
from .run_card import REMEMBERED, RunCards, run_card
from .run_pages import (
    NOT_SHOWN,
    head_page,
    log_page,
    recipe_file,
    samples_page,
    settings_page,
)
from .table import RunsTable, given_by
from .use_page import use_page

FOLDER = Path(__file__).parent
PAGES = {
    "overview": "Overview",
    "samples": "Samples",
    "test": "Test",
    "use": "Use it",
    "settings": "Settings",
    "log": "Log",
}
PRIVATE = ("samples", "test", "use", "settings")  # of uploaded data these are not for visitors
TAKEN_ALONG = (".safetensors", ".json", ".jinja", ".md", ".model", ".txt")
SAVE = (
    "() => setTimeout(() => (document.querySelector('#file-ready a, a#file-ready, #file-ready button, "
    "button#file-ready')).click(), 150)"
)
# The address tells the page, so that a reload or a link shows it again. (`page` is Gradio's own word there.)
TURNED = """() => { if (!window.guanacoReady) return; const q = new URLSearchParams(location.search);
  if (q.get('tab') !== 'runs' || !q.get('run')) return;
  '%s' === 'overview' ? q.delete('show') : q.set('show', '%s'); history.replaceState(null, '', '?' + q); }"""


class OneRun:
    """Its components, whose value is the id of the run ("" for none), and what they do."""

    def __init__(self, page: AppContext, cards: RunCards, table: RunsTable) -> None:
        self.page = page
        self.cards = cards
        self.table = table
        self.answers = AnswerFile(page)
        self.publishing = PublishPart(page)
        self._part = functools.lru_cache(maxsize=400)(self._made)
        self._temporary = tempfile.TemporaryDirectory(prefix="guanaco-workshop-")

    # ---- components

    def build(self) -> None:
        self.head = self._build_part("head", elem_id="run-head")
        self.parts = [self.head]
        with gr.Tabs(selected="overview", elem_id="run-pages", overflow_behavior="wrap") as self.pages:
            self.tabs = {name: self._build_page(name, words) for name, words in PAGES.items()}
        self.file = gr.DownloadButton("Save", visible="hidden", elem_id="file-ready")

    def _build_page(self, name: str, words: str) -> gr.Tab:
        with gr.Tab(words, id=name, elem_id=f"page-{name}", render_children=True) as tab:
            if name == "overview":
                self.card = run_card(self.cards, elem_id="opened")
                return tab
            if name == "use":
                self._build_downloads()
            self.parts.append(self._build_part(name, elem_id=f"run-{name}"))
            if name == "use":
                self.use = self.parts[-1]
                self.publishing.build()
                KeysCard(self.page).build()
            if name == "test":
                self._build_answers()
            if name == "log":
                self.get_log = gr.Button("Download the log", size="sm", visible=self.page.may_change)
        return tab

    def _build_downloads(self) -> None:
        with gr.Row(elem_classes="files"):
            self.get_adapter = gr.Button("Download the adapter (zip)", size="sm", min_width=140)
            self.get_recipe = gr.Button("Download the recipe", size="sm", min_width=140)

    def _build_answers(self) -> None:
        with gr.Column(elem_classes="own-file", visible=self.page.may_change):
            plain("<h3>A file of your own</h3><p class='quiet'>Every row is asked, and its answer is kept here.</p>")
            self.answers.build()
            self.answers.build_result()

    def _build_part(self, name: str, **words: Any) -> gr.HTML:
        script = "".join((FOLDER / one).read_text(encoding="utf-8") for one in ("words.js", "live_part.js"))
        texts = json.dumps(texts_in(script), ensure_ascii=False)
        return plain(
            "",
            html_template=f'<div class="live-part" data-part="{name}"></div>',
            js_on_load=f"const TEXTS = {texts};\n{script}",
            server_functions=[shared(self.part), served(self.answered), served(self.table.losing)],
            **words,
        )

    @property
    def view(self) -> list[Any]:
        """What `shown` fills."""
        files = [self.get_adapter, self.get_recipe]
        return [self.card, *self.parts, self.pages, *files, *self.answers.view]

    def wire(self) -> None:
        """What is done on the page itself. Back, deleting, chatting and training again lead elsewhere."""
        self.head.rename(self.table.rename, None, None, **FAST)
        self.head.tag(self.table.tag, None, None, **FAST)
        self.head.archive(self.table.archive, None, None, **FAST)
        self.head.note(self.note, None, None, **FAST)
        self.use.export(self.export, None, None, **FAST)
        self.use.unexport(self.stop_export, None, None, **FAST)
        self.answers.wire(self.card)
        self.publishing.wire(self.card)
        self.cards.wire(self.card)
        for button, handler in (
            (self.get_adapter, self.adapter_file),
            (self.get_recipe, self.recipe_file),
            (self.get_log, self.log_file),
        ):
            button.click(handler, {self.card}, self.file, **QUIET).success(None, js=SAVE)
        for name, tab in self.tabs.items():
            tab.select(None, js=TURNED % (name, name))

    # ---- answers

    def shown(self, run: Run | None, page: str = "") -> Answer:
        """A run with all there is of it, turned to one of its pages; None empties all."""
        id = run.id if run else ""
        values: Answer = {self.card: id, **dict.fromkeys(self.parts, id), **self.answers.shown(run)}
        if run is None:
            return values
        is_open = self.page.may_open(run)
        turned = page if page in PAGES else "overview"
        files = dict.fromkeys([self.get_adapter, self.get_recipe], gr.Button(visible=is_open))
        return values | files | {self.pages: gr.Tabs(selected=turned)}

    # ---- handlers

    @changes
    def note(self, event: gr.EventData) -> None:
        """{run, note}: what is noted down of it."""
        given = given_by(event)
        relabel(self.page.store.get(str(given.get("run") or "")), note=str(given.get("note") or ""))
        self.page.summaries.look_again()

    @changes
    def export(self, event: gr.EventData) -> None:
        """{run, format: the exporter's name, dtype or rank, where it has one}: its adapter for other programs."""
        given = given_by(event)
        run = self.page.store.get(str(given.get("run") or ""))
        name = str(given.get("format"))
        chosen = {one: given[one] for one in ("dtype", "rank") if given.get(one)}
        if name not in EXPORTERS:
            return
        self.page.make_room()
        job = export_job(run, exporter_of(name, chosen))
        if job.status().state != "done":
            self.page.sessions.make_way()  # its worker loads the model once more
            self.page.start(job)

    @changes
    def stop_export(self, event: gr.EventData) -> None:
        """{run, format: id of the job}: what is being made of it is left."""
        given = given_by(event)
        run = self.page.store.get(str(given.get("run") or ""))
        for job in exports_of(run):
            if job.id == given.get("format") and job.status().state != "done":
                job.request("stop")

    @reads
    def adapter_file(self, given: Given) -> Answer:
        """The newest adapter as a zip, in PEFT's format, with what a method put into folders beside it; a checkpoint's
        optimizer and the like stay behind."""
        return {self.file: str(self._packed(self._opened_to_visitor(given)))}

    @reads
    def recipe_file(self, given: Given) -> Answer:
        """The recipe as a file; to visitors without what its owner noted down."""
        run = self._opened_to_visitor(given)
        return {self.file: self._copy(f"{run.id}.yaml", recipe_file(run, self.page.may_change))}

    @owner_reads
    def log_file(self, given: Given) -> Answer:
        """The whole log as a file."""
        run = self.page.store.get(given[self.card])
        return {self.file: self._copy(f"{run.id}-log.txt", run.log_tail(50_000_000).encode())}

    def _opened_to_visitor(self, given: Given) -> Run:
        """Raises UserError for a run whose files this visitor may not have."""
        run = self.page.store.get(given[self.card])
        if not self.page.may_open(run):
            raise UserError.of(PRIVATE_FILES)
        return run

    # ---- what the parts ask

    def part(self, asked: Any) -> dict[str, Any]:
        """{run, part, seen: mark of what stands there} -> {html (None: as it was), seen, live}.

        Anybody may call this with anything; what fifty ask within half a second is made once.
        """
        given = asked if isinstance(asked, dict) else {}
        now = int(time.monotonic() / REMEMBERED)
        try:
            run = self.page.store.get(str(given.get("run") or ""))
        except UserError as error:
            words = escape(problem_in(in_words(error, self.page.may_change), visitors_language()))
            return {"html": f'<p class="warning" role="alert">{words}</p>', "seen": 0, "live": False}
        html, live = self._part(run.id, str(given.get("part")), now, visitors_language())
        mark = zlib.crc32(html.encode())
        return {"html": None if given.get("seen") == mark else html, "seen": mark, "live": live}

    def answered(self, asked: Any) -> dict[str, Any]:
        """{run, search, wrong, page} -> {html: those of its scored answers}. Anybody may call this with anything."""
        given = asked if isinstance(asked, dict) else {}
        run = self.page.find(str(given.get("run") or ""))
        kept = held_out_answers(run) if run is not None and self.page.may_open(run) else None
        return {"html": translated(answered_rows(kept or (), given), visitors_language())}

    def _made(self, id: str, name: str, now: int, language: str) -> tuple[str, bool]:
        """(a part of a run's page in a language, does it move?); `now` only tells when it is to be made again."""
        run = self.page.store.get(id)
        live = run.status().state in MOVING or (name == "use" and is_exporting(run))

        def otherwise(problem: Problem) -> str:
            words = problem_in(problem if self.page.may_change else NOT_TOLD, language)
            return f'<p class="warning">{escape(words)}</p>'

        return translated(safely(lambda: self._words(run, name), otherwise), language), live

    def _words(self, run: Run, name: str) -> str:
        may_change, is_own = self.page.may_change, self.page.made_here(run)
        if name in PRIVATE and not self.page.may_open(run):
            return NOT_SHOWN
        if name == "log" and not may_change:
            return '<p class="quiet">The log is not shown to visitors.</p>'
        makers: dict[str, Callable[[], str]] = {
            "head": lambda: head_page(run, may_change),
            "samples": lambda: samples_page(run, may_change, visitors_language()),
            "test": lambda: test_page(run),
            "use": lambda: use_page(run, may_change, self.page.settings.address, is_own),
            "settings": lambda: settings_page(run, may_change, self.page.find),
            "log": lambda: log_page(run),
        }
        return makers[name]() if name in makers else ""

    # ---- files

    def _packed(self, run: Run) -> Path:
        adapter = run.newest_adapter()
        if adapter is None:
            raise UserError(
                "run.nothing_saved", "This run has saved nothing yet. The adapter is there after its first checkpoint."
            )
        files = _taken_along(adapter)
        packed = self._folder / f"{run.id}-{adapter.name}.zip"
        beside = packed.with_suffix(f".{uuid4().hex}")  # two may download the same at once
        # Stored: weights do not get smaller, and of a large adapter it would take minutes.
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
            for path in files:
                archive.write(path, path.relative_to(adapter))
        return beside.replace(packed)

    def _copy(self, name: str, content: bytes) -> str:
        copy = self._folder / name
        copy.write_bytes(content)
        return str(copy)

    @property
    def _folder(self) -> Path:
        """Where files to download are made; Gradio hands out a copy. Gone when the app ends."""
        return Path(self._temporary.name)


def _taken_along(adapter: Path) -> list[Path]:
    """The files that make an adapter. Raises UserError where no program could load its weights."""
    wanted = [
        path
        for path in sorted(adapter.rglob("*"))
        if path.suffix in TAKEN_ALONG and path.name not in ("trainer_state.json", MANIFEST)
    ]
    files = [path for path in wanted if not path.is_symlink() and is_regular(path)]  # a link may lead out of the folder
    for path in files:
        if not _is_usable(path):
            raise UserError(
                "run.damaged_adapter",
                "{name} of this run is damaged or was cut off and cannot be used. Press Train again.",
                name=path.name,
            )
    return files


def _is_usable(file: Path) -> bool:
    """Could a program load it? Of weights the header is compared with the size; other files are small."""
    if file.suffix != ".safetensors":
        return file.stat().st_size <= LARGEST
    try:
        tensor_shapes(file)
    except UserError:
        return False
    return True
