"""Under an opened run: a file of questions goes in, its answers come back as JSON lines. Interrupted, it goes on with
the same file.
"""

import re
import threading
from collections.abc import Generator, Iterator
from html import escape
from pathlib import Path

import gradio as gr

from ...answers import answer_file
from ...runs import Run
from ...storage.digests import sha256_of
from ..context import AppContext
from ..events import QUIET, Answer, Given
from ..guard import changes
from ..theme import plain

LOOK_EVERY = 0.4  # seconds


class AnswerFile:
    """Its components and what they do."""

    def __init__(self, page: AppContext) -> None:
        self.page = page

    def build(self) -> None:
        self.upload = gr.UploadButton(
            "Answer a file of questions", size="sm", min_width=140, elem_id="answer-file", visible=self.page.may_change
        )

    def build_result(self) -> None:
        self.progress = plain(elem_id="answer-progress")
        self.ready = gr.DownloadButton("Download the answers", size="sm", visible=False, elem_id="answers-ready")

    def wire(self, card: gr.HTML) -> None:
        """`card`: which run is opened."""
        self.card = card
        self.upload.upload(self.take, {self.upload, card}, [self.progress, self.ready], **QUIET)

    @changes
    def take(self, given: Given) -> Iterator[Answer]:
        """The answers grow in the run's folder, whether or not somebody goes on looking."""
        run, file = self.page.store.get(given[self.card]), Path(given[self.upload])
        adapter = run.newest_adapter()
        target = _target(run, adapter, file) if adapter else None
        if target is None or not target.exists():
            target = yield from self._answered(run, file)
        ready = gr.DownloadButton(value=str(target), visible=True)
        yield {self.progress: _notice("All questions are answered."), self.ready: ready}

    def _answered(self, run: Run, file: Path) -> Generator[Answer, None, Path]:
        """Returns the file of the adapter that answered: while the model was loaded, the run may have saved a newer
        one.
        """
        yield {self.progress: _notice("Loading the model…"), self.ready: gr.DownloadButton(visible=False)}
        session, counts, failed = self.page.sessions.get(run), [0, 0], []
        target = _target(run, session.adapter, file)
        if target.exists():
            return target

        def on_progress(done: int, of: int) -> None:
            counts[:] = done, of

        def work() -> None:
            try:
                answer_file(run, session, file, target, self.page.settings, on_progress=on_progress)
            except Exception as error:  # whatever it is, the page must hear of it
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(LOOK_EVERY)
            yield {self.progress: _bar(*counts)}
        if failed:
            raise failed[0]
        return target


def _target(run: Run, adapter: Path, file: Path) -> Path:
    """Where the answers of this adapter to this file are: a checkpoint's are not those of the finished run."""
    name = re.sub(r"[^\w.-]+", "_", file.name)[-60:].lstrip(".")
    (run.folder / "answers").mkdir(exist_ok=True, mode=0o700)
    return run.folder / "answers" / f"{sha256_of(file)[:12]}-{adapter.name}-{name}.answers.jsonl"


def _bar(done: int, of: int) -> str:
    share = 100 * done / max(1, of)
    return (
        f'<p class="quiet" role="status">{done:,} of {of:,} questions answered</p>'
        f'<div class="bar" role="progressbar" aria-label="Questions answered" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div>'
    )


def _notice(text: str) -> str:
    return f'<p class="quiet" role="status">{escape(text)}</p>'
