"""A file on its way into the data folder: its first rows at once, then how far the reading is, while the page goes
on.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from html import escape
from pathlib import Path

import gradio as gr

from ...errors import UserError
from ...preflight import examples_of
from ...training_data import DatasetChoice, import_files
from ...training_data.first_rows import first_conversations
from ..context import AppContext
from ..events import QUIET, After, Answer, Given
from ..guard import changes
from ..theme import plain
from .words import SHOWN_ROWS, conversation_words

QUICK = 0.3  # seconds; a file that is read in so short a time is simply there
NEWS = 0.7  # seconds between two words about how far the reading is


class DataImport:
    """Its components and what they do."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="import")

    def build(self) -> None:
        self.line = plain(elem_id="import-line")
        self.id = gr.State(None)

    def wire(self, chosen: gr.UploadButton | gr.File, then: After) -> None:
        """`chosen`: where files are chosen; `then`: what follows, with `id` filled."""
        then(chosen.upload(self.take, {chosen}, [self.line, self.id], **QUIET))

    @changes
    def take(self, given: Given) -> Iterator[Answer]:
        """What is going on, until all of it is checked and kept; then its id in the data folder. Whatever is chosen on
        the form meanwhile stays.
        """
        (files,) = given.values()
        paths = [Path(file) for file in ([files] if isinstance(files, str) else files or [])]
        if not paths:
            yield self._told()
            return
        reading = _Reading()
        reader = self._readers.submit(self._import, paths, reading)
        wait([reader], QUICK)
        if not reader.done():
            rows = first_conversations(paths, paths[0].name, self.page.settings, SHOWN_ROWS)
            shown = "".join(conversation_words(one) for one in rows)
            shown = f'<details class="rows" open><summary>The first rows</summary>{shown}</details>' if rows else ""
            while not reader.done():
                yield self._told(f'<p class="quiet" role="status">{escape(reading.words())}</p>{shown}')
                wait([reader], NEWS)
        if error := reader.exception():
            yield self._told()
            raise error
        yield self._told(id=reader.result())

    def _told(self, words: str = "", id: str | None = None) -> Answer:
        return {self.line: words, self.id: id}

    def _import(self, paths: list[Path], reading: "_Reading") -> str:
        data = self.page.settings.data
        id = import_files(paths, data, self.page.settings, reading.note)
        with contextlib.suppress(UserError):  # it asks: that is said when it is chosen
            examples_of(DatasetChoice(source="file", id=id), data)
        return id


class _Reading:
    """How far it is."""

    def __init__(self) -> None:
        self.rows, self.share = 0, 0.0

    def note(self, rows: int, share: float) -> None:
        self.rows, self.share = rows, share

    def words(self) -> str:
        if not self.rows:
            return "Saving the file…"
        return f"Reading all rows: {self.rows:,} so far, {self.share:.0%} of the file…"
