"""A file on its way into the data folder: a small one at once; a large one as a job, its first rows shown meanwhile."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr

from ...errors import UserError
from ...jobs import JobStore
from ...kinds.data_import import ImportSpec, import_job, imported
from ...preflight import examples_of
from ...runs import address_of
from ...storage.reading import open_regular
from ...training_data import DatasetChoice, import_files
from ...training_data.first_rows import first_conversations
from ..context import AppContext
from ..events import FAST, QUIET, After, Answer, Given
from ..guard import changes, owner_reads, reads
from ..job_card import JobCard, address_in
from ..theme import plain
from .data_words import SHOWN_ROWS, first_rows_words, reading_words, refusal_words
from .form_values import DATA
from .recipe_form import RecipeForm

QUICK = 1_000_000  # bytes that are read in about 0.3 seconds
UNPACKED = 20  # times its own size an archive may well be
WHY = '<button type="button" data-see>Why?</button>'
ARCHIVES = (b"\x1f\x8b", b"PK", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
BY_A_PROGRAM = (b"%PDF", b"\xd0\xcf\x11\xe0")  # documents, whose reading may take any time


@dataclass(frozen=True)
class Brought:
    """What becomes of the data on the form: an id in the data folder, empty for no data; and why there is none, on its
    card and beside Start.
    """

    id: str = ""
    card: str = ""
    waits: str = ""

    @classmethod
    def refused(cls, names: str) -> "Brought":
        """Nothing can be learned from these files."""
        card = f'<p class="warning"><b translate="no">{escape(names)}</b> <span>was not taken. {WHY}</span></p>'
        return cls(card=card, waits="Start waits: this file cannot be learned from. Choose other data.")

    @classmethod
    def reading(cls, names: str) -> "Brought":
        """They are still read."""
        card = f'<p class="quiet"><span>Reading</span> <b translate="no">{escape(names)}</b></p>'
        return cls(card=card, waits="Start waits until all rows are read.")


class DataImport:
    """Its components and what they do."""

    def __init__(self, page: AppContext, controls: RecipeForm) -> None:
        self.page = page
        self.controls = controls
        self.job = JobCard(page)

    def build(self) -> None:
        """How far a file is: beside the data, where it is seen whichever face the stage has."""
        self.card = self.job.build(elem_id="import-job")
        self.brought = gr.State(None)  # what is to be chosen on the form; None where nothing is
        self.own = gr.State("")  # the job of what this page uploaded: others show it, and choose nothing at its end

    def build_line(self) -> None:
        """What was refused and why, or the first rows of what is still being read."""
        self.line = plain(elem_id="import-line")

    @property
    def view(self) -> list[gr.components.Component]:
        """What `shown` fills."""
        return [self.card]

    def wire(self, chosen: Sequence[gr.UploadButton | gr.File], then: After) -> None:
        """`chosen`: where files are chosen; `then`: what follows, with `brought` filled."""
        outputs = [self.card, self.line, self.brought, self.own]
        for one in chosen:
            then(one.upload(self.take, {one}, outputs, **QUIET))
        then(self.card.failed(self.failed, {self.own}, self.brought, **QUIET))
        self.controls.controls[DATA].input(self.forget, None, [self.line, self.own], **FAST)
        then(self.card.done(self.finished, {self.own}, outputs, **QUIET))
        self.job.wire([self.line])

    def shown(self) -> Answer:
        """The newest import, if it is not done."""
        return {self.card: self.job.unfinished("import")}

    @changes
    def take(self, given: Given) -> Answer:
        """The id in the data folder where the files are read by now; else the job that reads them, and their first
        rows: until it has, no data is chosen.
        """
        (files,) = given.values()
        paths = [Path(file) for file in ([files] if isinstance(files, str) else files or [])]
        if not paths:
            return self._told()
        if sum(map(_weight, paths)) <= QUICK:
            return self._imported(paths)
        self.page.make_room()
        job = import_job(JobStore(self.page.settings.jobs), paths)
        self.page.start(job)
        names = _named(paths)
        return self._told(address_of(job), reading_words(names) + self._first_rows(paths), Brought.reading(names))

    def _imported(self, paths: list[Path]) -> Answer:
        """The id of what can be learned from; what cannot stays said, and nothing is chosen in its place."""
        try:
            return self._told(brought=Brought(self._import(paths)))
        except UserError as error:
            names = _named(paths)
            return self._told(words=refusal_words(error.problem, names), brought=Brought.refused(names))

    @reads
    def forget(self) -> Answer:
        """Other data is chosen: what was refused before is no longer of interest, and what is still read is not chosen
        in its place at its end.
        """
        return {self.line: "", self.own: ""}

    @reads
    def failed(self, given: Given, event: gr.EventData) -> Answer:
        """The job could not read it, as its card says: nothing is chosen in its place, on the page that brought it."""
        address = address_in(event)
        if not given[self.own] or address != given[self.own]:
            return {self.brought: None}
        names = self.page.jobs.get(address).spec(ImportSpec).files
        return {self.brought: Brought.refused(", ".join(names))}

    @owner_reads
    def finished(self, given: Given, event: gr.EventData) -> Answer:
        """All rows are read: the data is there to be chosen, on the page that brought it."""
        address = address_in(event)
        job = self.page.jobs.get(address)
        id = imported(job) if address == given[self.own] else None
        return self._told(brought=None if id is None else Brought(id))

    def _told(self, job: str = "", words: str = "", brought: Brought | None = None) -> Answer:
        return {self.card: job, self.line: words, self.brought: brought, self.own: job}

    def _first_rows(self, paths: list[Path]) -> str:
        rows = first_conversations(paths, paths[0].name, self.page.settings, SHOWN_ROWS)
        return first_rows_words(rows)

    def _import(self, paths: list[Path]) -> str:
        data = self.page.settings.data
        id = import_files(paths, data, self.page.settings)
        with contextlib.suppress(UserError):  # it asks: that is said when it is chosen
            examples_of(DatasetChoice(source="file", id=id), data)
        return id


def _weight(file: Path) -> int:
    """About how many bytes are to be read."""
    size = file.stat().st_size
    with open_regular(file) as opened:
        head = opened.read(8)
    if head.startswith(BY_A_PROGRAM):
        return max(size, QUICK + 1)
    return size * UNPACKED if head.startswith(ARCHIVES) else size


def _named(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)
