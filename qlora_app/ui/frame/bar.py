"""The bar above everything: the name, what runs or waits, this machine, help and colours; and the drawer that both
chips open. Its script asks `poll`, and gets only what changed.
"""

import functools
import json
import time
import zlib
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from ... import hardware
from ...errors import UserError
from ...jobs import RESUMABLE
from ...runs import Run
from ..audit import who_asks
from ..context import AppContext
from ..events import FAST
from ..guard import changes, changes_machine, shared
from ..job_card import JobCard
from ..language import problem_in, texts_in, translated
from ..line_buttons import SCRIPT as LINE_SCRIPT
from ..runs.card_parts import title_of
from ..theme import plain
from ..translate import visitors_language
from .checkup import Checkup
from .drawer import jobs_part, machine_chip, machine_part, work_chip
from .help import HELP
from .login import TITLE
from .work import KINDS, WorkLine, line_of, work_lines

FOLDER = Path(__file__).parent

REMEMBERED = 1.0  # seconds
COUNTED = 5.0  # seconds for which the number of runs is remembered
MOST_WATCHED = 20  # runs of one page
MOST_ENDED = 3  # jobs of no run that ended before their time, as the drawer shows them
ICON = '<svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">{}</svg>'
LINE = 'fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"'
THEMES = {
    "system": ICON.format(f'<circle cx="10" cy="10" r="6.5" {LINE}/><path d="M10 3.5a6.5 6.5 0 0 1 0 13z"/>'),
    "light": ICON.format(
        f'<circle cx="10" cy="10" r="3.4" {LINE}/><path d="M10 2v2M10 16v2M2 10h2M16 10h2M4.4 4.4l1.4 1.4" {LINE}/>'
        f'<path d="M14.2 14.2l1.4 1.4M4.4 15.6l1.4-1.4M14.2 5.8l1.4-1.4" {LINE}/>'
    ),
    "dark": ICON.format(f'<path d="M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z" {LINE}/>'),
}
NOTIFY = (
    '<label class="notify"><input type="checkbox" data-notify> Notify me when a run ends, and show progress in the '
    "title of a hidden tab</label><small data-notify-refused class='warning' hidden>This browser does not allow it. "
    "Allow notifications of this page in its settings.</small>"
)
LOG_IN = '<a class="bar-chip" href="./login">Log in</a>'
LOG_OUT = '<a class="bar-chip" href="./logout?all_session=false">Log out</a>'
CLOSE = '<button type="button" class="close" aria-label="Close" data-close>&times;</button>'


def _template(is_owners: bool, has_login: bool) -> str:
    icons = "".join(f'<span data-icon="{name}" hidden>{icon}</span>' for name, icon in THEMES.items())
    here = '<h3>This machine</h3><div data-part="here"></div>' if is_owners else ""
    notify = NOTIFY if is_owners else ""
    who = '<span class="who" data-part="who"></span>' if has_login else ""
    chip = (
        '<button type="button" class="bar-chip" data-open="drawer" data-part="machine" aria-haspopup="dialog" '
        'title="This machine" hidden></button>'
        if is_owners
        else ""
    )
    return f"""<header class="top"><h1>{TITLE}</h1><div class="top-right">
<button type="button" class="bar-chip" data-open="drawer" data-part="work" aria-haspopup="dialog" title="What runs or
waits" hidden></button>{chip}
<button type="button" class="bar-icon" data-open="help" aria-haspopup="dialog" aria-label="Help">?</button>
<button type="button" class="bar-icon" data-theme>{icons}</button>{who}</div></header>
<dialog class="drawer" data-dialog="drawer" aria-labelledby="drawer-title"><div class="inside">{CLOSE}
<h2 id="drawer-title">Now</h2><div data-part="jobs"></div>{notify}{here}</div></dialog>
<dialog class="help" data-dialog="help" aria-labelledby="help-title"><div class="inside">{CLOSE}{HELP}</div></dialog>"""


class Picture(NamedTuple):
    """The bar as all pages get it that are in one language."""

    parts: dict[str, str]  # {part: HTML}
    is_live: bool
    runs: int
    training: list[dict[str, Any]]  # [{run, name, share}] of what is trained, the longest first
    waiting: list[str]  # ids of the next runs
    moving: frozenset[str]  # addresses of what is worked on or waits


class Bar:
    """Its component, and what its script asks and does."""

    def __init__(self, page: AppContext, checkup: Checkup | None = None) -> None:
        self.page = page
        self.jobs = JobCard(page)
        self.checkup = checkup or Checkup(page.settings)
        self._picture = functools.lru_cache(maxsize=16)(self._read)
        self._count = functools.lru_cache(maxsize=1)(self._counted)

    def build(self) -> gr.HTML:
        """The component."""
        template = _template(self.page.may_change, self.page.has_login)
        files = (FOLDER / "ended.js", FOLDER.parent / "runs" / "words.js", FOLDER / "bar.js")
        script = LINE_SCRIPT + "".join(file.read_text(encoding="utf-8") for file in files)
        texts = json.dumps(texts_in(template + script), ensure_ascii=False)
        self.bar = plain(
            "",
            html_template=template,
            js_on_load=f"const TEXTS = {texts};\n{script}",
            server_functions=[shared(self.poll)],
            elem_id="bar",
        )
        return self.bar

    def wire(self) -> None:
        """The buttons in the drawer."""
        self.bar.stop(self.jobs.stop_job, None, None, **FAST)
        self.bar.kill(self.jobs.kill_job, None, None, **FAST)
        self.bar.resume(self.jobs.resume_job, None, None, **FAST)
        self.bar.move(self.jobs.move_job, None, None, **FAST)
        self.bar.now(self.jobs.start_job_now, None, None, **FAST)
        self.bar.dismiss(self.dismiss, None, None, **FAST)
        self.bar.tidy(self.tidy, None, None, **FAST)
        self.bar.examine(self.examine, None, None, **FAST)

    # ---- handlers

    @changes
    def dismiss(self, event: gr.EventData) -> None:
        """What ended before its time is deleted."""
        self.jobs.dismissed(event)

    @changes_machine
    def tidy(self) -> None:
        """What can be made again is removed, in the background."""
        self.checkup.tidy()

    @changes_machine
    def examine(self) -> None:
        """Everything is looked at and tried out, in the background."""
        self.checkup.examine()

    # ---- what the bar asks

    def poll(self, asked: dict[str, Any]) -> dict[str, Any]:
        """{"seen": {part: mark}, "open": is the drawer, "watched": ids of runs} -> {parts that are new, seen, live,
        runs, training: [{run, name, share}], waiting: ids, ended: of the watched [{run, name, state, said}]}.

        Anybody may call this with anything. Visitors of a demonstration are told of trainings, and of nothing else.
        """
        given = asked if isinstance(asked, dict) else {}
        now = int(time.monotonic() / REMEMBERED)
        picture = self._picture(now, visitors_language(), bool(given.get("open")))
        parts = picture.parts | ({"who": self._who()} if self.page.has_login else {})
        known = given.get("seen")
        seen = known if isinstance(known, dict) else {}
        marks = {name: zlib.crc32(html.encode()) for name, html in parts.items()}
        news = {name: html for name, html in parts.items() if seen.get(name) != marks[name]}
        told = {
            "training": picture.training,
            "waiting": picture.waiting,
            "ended": self._ended_of(given.get("watched"), picture),
        }
        return {"parts": news, "seen": marks, "live": picture.is_live, "runs": picture.runs, **told}

    def _who(self) -> str:
        """Whoever asks, and how they leave; or how one logs in. A proxy that logs people in also logs them out."""
        name = who_asks().user
        if not name:
            return translated(LOG_IN, visitors_language())
        words = f'<b translate="no" title="{escape(name)}">{escape(name)}</b>'
        if self.page.role == "member":
            words = f'<a class="bar-chip" href="./account">{words}</a>'
        return words if self.page.settings.login_header else words + translated(LOG_OUT, visitors_language())

    def _ended_of(self, watched: Any, picture: Picture) -> list[dict[str, Any]]:
        """Those of the runs a page watched that have ended; for their owner only."""
        asked = watched[:MOST_WATCHED] if isinstance(watched, list) and self.page.may_change else []
        found = []
        for id in asked:
            run = self.page.find(id) if isinstance(id, str) and id not in picture.moving else None
            try:
                status = run.status() if run else None
            except (OSError, UserError):  # of one that cannot be read nothing is told
                continue
            if run and status and status.has_ended:
                said = problem_in(status.sentence, visitors_language())
                found.append({"run": run.id, "name": title_of(run), "state": status.state, "said": said})
        return found

    def _read(self, now: int, language: str, is_open: bool) -> Picture:
        """`now` only tells when it is to be read again."""
        may_change = self.page.may_change
        lines = self._lines(now)
        parts = {"work": work_chip(lines)}
        if may_change:
            parts["machine"] = machine_chip(hardware.here(), self.checkup)
        if is_open:
            ended = self._ended() if may_change else []
            parts["jobs"] = jobs_part(lines, ended, language, may_change, self.page.is_owners)
        if is_open and may_change:
            self.checkup.look_if_old()
            parts["here"] = machine_part(self.checkup)
        in_language = {name: translated(html, language) for name, html in parts.items()}
        trainings = [line for line in lines if line.kind == KINDS["train"]]
        return Picture(
            in_language,
            bool(lines),
            self._count(int(time.monotonic() / COUNTED)),
            [_share_of(line) for line in trainings if not line.waits],
            [line.address for line in trainings if line.waits][:MOST_WATCHED],
            frozenset(line.address for line in lines),
        )

    def _lines(self, now: int) -> list[WorkLine]:
        moving = self.page.supervisor.moving()
        begins = {one.job.folder: one.starts_in for one in self.page.turns.waiting(now)}
        return work_lines([job for job in moving if self.page.may_change or isinstance(job, Run)], begins)

    def _ended(self) -> list[WorkLine]:
        """Jobs of no run that ended before their time, the newest first."""
        found = []
        for job in self.page.jobs.others.list():
            try:
                status = job.status()
            except (OSError, UserError):
                continue
            if status.state in RESUMABLE:
                found.append(line_of(job, status))
            if len(found) == MOST_ENDED:
                break
        return found

    def _counted(self, now: int) -> int:
        return len(self.page.store.ids())


def _share_of(line: WorkLine) -> dict[str, Any]:
    return {"run": line.address, "name": line.name, "share": line.progress}
