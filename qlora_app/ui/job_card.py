"""One job as people see it, whatever its kind: what it says, how far it is, and what can be done with it.

The card lives in the browser: its script asks `poll`, and gets only what changed. Whatever it shows lies in the job's
folder, so it is there again after a reload or a restart.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import UserError
from ..jobs import RESUMABLE, Job, JobStore, Status
from ..launch.line import move, move_beside
from ..launch.places import end_now
from ..runs import address_of
from .context import AppContext
from .events import FAST, Answer
from .guard import changes, changes_machine, shared
from .language import problem_in, translated
from .theme import plain
from .translate import translate, visitors_language

SCRIPT = "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("focus.js", "job_card.js"))
NOTHING: dict[str, Any] = {"html": "", "seen": 0, "live": False, "state": ""}


class JobCard:
    """Its component, whose value is the address of a job ("" for none), and its handlers. `done` happens once the job
    is done.
    """

    def __init__(self, page: AppContext) -> None:
        self.page = page

    def build(self, **words: Any) -> gr.HTML:
        """`words`: further settings of the component."""
        self.card = plain(
            "",
            html_template='<div class="job"></div>',
            js_on_load=SCRIPT,
            server_functions=[shared(self.poll)],
            **words,
        )
        return self.card

    def wire(self, beside: Sequence[gr.HTML] = ()) -> None:
        """The buttons on it. `beside`: what says more of the job, and goes with it."""
        self.beside = beside
        self.card.stop(self.stop_job, None, None, **FAST)
        self.card.resume(self.resume_job, None, None, **FAST)
        self.card.kill(self.kill_job, None, None, **FAST)
        self.card.dismiss(self.dismiss_job, None, [self.card, *beside], **FAST)

    def unfinished(self, kind: str) -> str:
        """The address of the newest job of no run of this kind; "" where that is done, and for visitors."""
        job = newest(self._of_no_run.list(), kind) if self.page.may_change else None
        return address_of(job) if job and job.status().state != "done" else ""

    @property
    def _of_no_run(self) -> JobStore:
        return self.page.jobs.others

    # ---- handlers

    @changes
    def stop_job(self, event: gr.EventData) -> None:
        """What was begun is finished and kept."""
        self.page.jobs.get(address_in(event)).request("stop")

    @changes
    def move_job(self, event: gr.EventData) -> None:
        """Another place in line."""
        move_in_line(self.page, event)

    @changes_machine
    def start_job_now(self, event: gr.EventData) -> None:
        """It begins beside what is worked on already."""
        move(self.page.jobs.get(address_in(event)), "now", self.page.supervisor.moving())
        self.page.supervisor.wake()

    @changes
    def kill_job(self, event: gr.EventData) -> None:
        """The process of one that hangs is ended; what it saved is kept."""
        end_now(self.page.jobs.get(address_in(event)))

    @changes
    def resume_job(self, event: gr.EventData) -> None:
        """It goes on where it ended, or begins anew where that is all its kind can do. A window that shows what was
        does nothing: what is done needs no second time.
        """
        job = self.page.jobs.get(address_in(event))
        if job.status().state in RESUMABLE:
            self.page.start(job)

    @changes
    def dismiss_job(self, event: gr.EventData) -> Answer:
        """It is deleted, with its copy of what was uploaded, unless it goes on by now."""
        return self._cleared() if self.dismissed(event) else {}

    def dismissed(self, event: gr.EventData) -> bool:
        """Is the job of an event gone? It is deleted where that may be."""
        try:
            job = self.page.jobs.get(address_in(event))
        except UserError:  # another window was faster
            return True
        if not self._can_be_dismissed(job):
            return False
        self._of_no_run.delete(job.id)
        return True

    def _can_be_dismissed(self, job: Job) -> bool:
        """A run is deleted elsewhere, and with it what was made of it."""
        return job.folder.parent == self._of_no_run.root and job.status().state in RESUMABLE

    def _cleared(self) -> Answer:
        return {self.card: "", **dict.fromkeys(self.beside, "")}

    # ---- what the card asks

    def poll(self, asked: dict[str, Any]) -> dict[str, Any]:
        """{"job": address, "seen": mark of what stands there} -> {html (None: as it was), seen, live, state}.

        Anybody may call this with anything: visitors of a demonstration are told of no job.
        """
        given = asked if isinstance(asked, dict) else {}
        if not self.page.may_change:
            return NOTHING
        try:
            job = self.page.jobs.get(str(given.get("job") or ""))
        except UserError as error:
            return NOTHING | {"html": f'<p class="warning" role="alert">{escape(translate(error.problem))}</p>'}
        status = _with_damages(job)
        html = picture(status, visitors_language(), self._can_be_dismissed(job))
        mark = zlib.crc32(html.encode())
        live = status.is_active or status.state == "queued"
        news = None if given.get("seen") == mark else html
        return {"html": news, "seen": mark, "live": live, "state": status.state}


def _with_damages(job: Job) -> Status:
    """How it stands, with what is wrong with its folder among the warnings."""
    status, damages = job.status(), [translate(problem) for problem in job.damages()]
    return replace(status, warnings=[*status.warnings, *damages])


def picture(status: Status, language: str, can_be_dismissed: bool) -> str:
    """The card of a job that stands so."""
    is_bad = status.state in ("failed", "interrupted")
    marks = 'class="warning" role="alert"' if is_bad else 'class="quiet" role="status"'
    sentence = f"<p {marks}>{escape(problem_in(status.sentence, language))}</p>{silence_in(status, language)}"
    return sentence + translated(f"{_bar(status)}{_warnings(status)}{_buttons(status, can_be_dismissed)}", language)


def _bar(status: Status) -> str:
    if not status.is_active or status.progress is None:
        return ""
    share = 100 * min(1.0, status.progress)
    return (
        f'<div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div>'
    )


def _warnings(status: Status) -> str:
    lines = "".join(f"<li>{escape(text)}</li>" for text in status.warnings)
    return f'<ul class="warnings">{lines}</ul>' if lines else ""


def silence_in(status: Status, language: str) -> str:
    """For how long a worker has said nothing, as a line of its own; empty where it has not been long."""
    if not status.silence:
        return ""
    return f'<p class="warning" role="status" translate="no">{escape(problem_in(status.silence, language))}</p>'


def end_button(status: Status) -> str:
    """Only for what hangs: what it has not saved is lost."""
    return '<button type="button" data-do="kill">End it now</button>' if status.silence else ""


def _buttons(status: Status, can_be_dismissed: bool) -> str:
    if status.state == "stopping":
        stopping = '<button type="button" disabled>Stopping…</button>'
        return f'<div class="actions">{stopping}{end_button(status)}</div>'
    if status.is_active or status.state == "queued":
        stop = '<button type="button" data-do="stop">Stop</button>'
        return f'<div class="actions">{stop}{end_button(status)}</div>'
    if status.state not in RESUMABLE:
        return ""
    words = "Try again" if status.state == "failed" else "Resume"
    dismiss = '<button type="button" data-do="dismiss">Dismiss</button>' if can_be_dismissed else ""
    return f'<div class="actions"><button type="button" data-do="resume">{words}</button>{dismiss}</div>'


def address_in(event: gr.EventData) -> str:
    """The job a card's event is about. It comes from the browser: AllJobs.get checks it."""
    data = event._data
    if isinstance(data, str):
        data = json.loads(data)
    return str((data or {}).get("job", ""))


def newest(jobs: list[Job], kind: str) -> Job | None:
    """The newest of a kind; None where there is none."""
    return next((job for job in jobs if job.kind == kind), None)


def move_in_line(page: AppContext, event: gr.EventData) -> None:
    """What waits gets the place before or after another one, as an event names both. Raises UserError."""
    data = getattr(event, "_data", None)
    asked = data if isinstance(data, dict) else {}
    job, other = (page.jobs.get(str(asked.get(name, ""))) for name in ("job", "beside"))
    move_beside(job, other, "after" if asked.get("side") == "after" else "before", page.supervisor.moving())
    page.supervisor.wake()
