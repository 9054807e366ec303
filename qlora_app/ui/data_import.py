"""A file on its way into the data folder: its first rows at once, then how far the reading is, while the page goes
on.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from html import escape
from pathlib import Path

import gradio as gr

from ..errors import UserError
from ..messages import Conversation, flatten
from ..preflight import examples_of
from ..training_data import DatasetChoice, import_files
from ..training_data.first_rows import first_conversations
from .context import AppContext
from .guard import changes
from .theme import plain

SHOWN_ROWS = 3
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

    @changes
    def take(self, files: list[str] | str | None) -> Iterator[tuple[str, str | None]]:
        """(what is going on, None) until all of it is checked and kept; then its id in the data folder. Whatever is
        chosen on the form meanwhile stays.
        """
        paths = [Path(file) for file in ([files] if isinstance(files, str) else files or [])]
        if not paths:
            yield "", None
            return
        reading = _Reading()
        reader = self._readers.submit(self._import, paths, reading)
        wait([reader], QUICK)
        if not reader.done():
            rows = first_conversations(paths, paths[0].name, self.page.settings, SHOWN_ROWS)
            shown = "".join(conversation_words(one) for one in rows)
            shown = f'<details class="rows" open><summary>The first rows</summary>{shown}</details>' if rows else ""
            while not reader.done():
                yield f'<p class="quiet" role="status">{escape(reading.words())}</p>{shown}', None
                wait([reader], NEWS)
        if error := reader.exception():
            yield "", None
            raise error
        yield "", reader.result()

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


def conversation_words(conversation: Conversation) -> str:
    turns = "".join(
        f"<dt>{escape(m['role'])}</dt><dd>{escape(m['content'][:300])}{'…' if len(m['content']) > 300 else ''}</dd>"
        for m in flatten(conversation)[:6]
    )
    return f'<dl class="turns" translate="no">{turns}</dl>'
