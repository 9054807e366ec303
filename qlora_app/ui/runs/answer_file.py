"""Under an opened run: a file of questions goes in, a job answers it, and its answers come back as JSON lines."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import gradio as gr

from ...chance import Share
from ...formatting import count_of
from ...jobs import Job, JobStore
from ...kinds.answer import answer_job, answers_in, earlier_answers, spec_for
from ...runs import Run, address_of
from ..context import AppContext
from ..events import QUIET, Answer, Given
from ..guard import changes, owner_reads
from ..job_card import JobCard, address_in, newest
from ..theme import plain
from ..translate import translate


def score_words(job: Job) -> str:
    """How many answers are right, as HTML; "" where the file has no right ones, or an earlier version answered it."""
    result = job.result() or {}
    scored, right = result.get("scored"), result.get("right")
    if not isinstance(scored, int) or not isinstance(right, int) or not 0 < scored >= right:
        return ""
    share = Share(right, scored)
    return (
        f'<p class="score">On {count_of(scored, "answer")} of the file: {right:,} right, word for word.</p>'
        f'<p class="quiet">{share.words}</p>'
    )


class AnswerFile:
    """Its components and what they do."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.job = JobCard(page)
        self._temporary = tempfile.TemporaryDirectory(prefix="guanaco-answers-")

    def build(self) -> None:
        self.upload = gr.UploadButton(
            "Answer a file of questions", size="sm", min_width=140, elem_id="answer-file", visible=self.page.may_change
        )

    def build_result(self) -> None:
        self.progress = self.job.build(elem_id="answer-progress")
        self.score = plain("", elem_id="answers-score")
        self.ready = gr.DownloadButton("Download the answers", size="sm", visible=False, elem_id="answers-ready")

    @property
    def view(self) -> list[gr.Blocks | gr.components.Component]:
        """What `shown` fills."""
        return [self.progress, self.score, self.ready]

    def wire(self, card: gr.HTML) -> None:
        """`card`: which run is opened."""
        self.card = card
        self.upload.upload(self.take, {self.upload, card}, self.view, **QUIET)
        self.progress.done(self.finished, None, [self.score, self.ready], **QUIET)
        self.job.wire()

    def shown(self, run: Run | None) -> Answer:
        """The newest file of questions of an opened run, with its answers if they are there."""
        job = newest(JobStore(run.answers).list(), "answer") if run and self.page.may_change else None
        if job is None:
            return {self.progress: "", self.score: "", self.ready: gr.DownloadButton(visible=False)}
        return {self.progress: address_of(job), **self._made(job)}

    @changes
    def take(self, given: Given) -> Answer:
        """The answers grow in the run's folder, whether or not somebody goes on looking."""
        run, file = self.page.store.get(given[self.card]), Path(given[self.upload])
        spec = spec_for(file)
        if earlier := earlier_answers(run, spec):
            return {self.progress: "", self.score: "", self.ready: self._offered(earlier)}
        self.page.make_room()
        job = answer_job(run, file, spec)
        if job.status().state != "done":
            self.page.sessions.make_way()  # its worker loads the model once more
            self.page.start(job)
        return {self.progress: address_of(job), **self._made(job)}

    @owner_reads
    def finished(self, event: gr.EventData) -> Answer:
        """All are answered: they can be downloaded, and where the file knows the right ones they have a score."""
        return self._made(self.page.jobs.get(address_in(event)))

    def _made(self, job: Job) -> Answer:
        return {self.score: translate(score_words(job)), self.ready: self._offered(answers_in(job))}

    def _offered(self, answers: Path | None) -> gr.DownloadButton:
        """A copy is offered: Gradio gives out no file of the home, and should not."""
        if answers is None:
            return gr.DownloadButton(visible=False)
        folder = Path(self._temporary.name) / hashlib.sha256(str(answers).encode()).hexdigest()[:16]
        folder.mkdir(exist_ok=True)
        copy = folder / answers.name
        if not copy.is_file() or copy.stat().st_mtime < answers.stat().st_mtime:
            shutil.copy2(answers, copy)
        return gr.DownloadButton(value=str(copy), visible=True)
