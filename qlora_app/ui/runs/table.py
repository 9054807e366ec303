"""The list of runs: a table of thousands that draws what one sees of it, sorted, searched, filtered, and chosen from.

It lives in the browser: its script asks `rows` for the rows on the screen, and gets only those that changed.
"""

import functools
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import Problem, UserError
from ...formatting import duration, left, size
from ...hub.last_sent import Coming, coming_runs
from ...jobs import ACTIVE, State
from ...runs import Run
from ...runs.labels import relabel
from ...runs.selection import ARCHIVED, Selection, choices_in, selected
from ...runs.summary import RunSummary
from ..context import AppContext
from ..differs_words import differs_in
from ..events import FAST
from ..guard import DEMONSTRATION, NOT_TOLD, changes, served, shared
from ..language import problem_in, spoken, texts_in
from ..safely import safely
from ..theme import plain
from ..translate import translate, visitors_language
from .card_parts import STATES, title_of
from .card_skeleton import NOTHING_HERE
from .run_card import REMEMBERED

FOLDER = Path(__file__).parent
MOST_AT_ONCE = 200  # rows
MOST_CHOSEN = 10_000
MOVING: tuple[State, ...] = ("queued", *ACTIVE)
MOST_NAMED = 3  # runs in the sentence before they are deleted
COLUMNS = {
    "name": "Name",
    "state": "State",
    "model": "Model",
    "data": "Data",
    "differs": "Differs",
    "held_out": "Held-out loss",
    "score": "Exact match",
    "time": "Time",
    "tokens": "Tokens",
    "tags": "Tags",
    "when": "When",
    "method": "Method",
    "note": "Note",
}
FIXED = {"name": "disabled"}  # is always shown
_CHOICES = "".join(
    f'<label><input type="checkbox" value="{name}"{FIXED.get(name, "")}> {words}</label>'
    for name, words in COLUMNS.items()
)
_FILTERS = "".join(
    f'<label data-any="{any_}" hidden><select name="{name}" aria-label="{words}"></select></label>'
    for name, words, any_ in (
        ("state", "State", "Any state"),
        ("model", "Model", "Any model"),
        ("data", "Data", "Any data"),
        ("tag", "Tag", "Any tag"),
    )
)
NONE_YET = """<div class="welcome"><h2>No runs yet</h2><p>Every training you start appears here
and stays until you delete it. Go to <b>Train</b> and press <b>Start training</b>.</p></div>"""
SKELETON = """
<div class="runs-sheet" data-state="loading">
  <div class="runs-tools" role="search">
    <input type="search" name="search" placeholder="Name, model, data, note, tag" aria-label="Search in the runs"
      autocomplete="off">
    FILTERS
    <span class="count" role="status"></span>
    <button type="button" class="link" data-do="archived" hidden></button>
    <details class="columns"><summary>Columns</summary><div>CHOICES</div></details>
  </div>
  <div class="runs-list" tabindex="-1">
    <table class="runs"><thead></thead><tbody></tbody></table>
    <p class="nothing-fits" hidden>No run fits. <button type="button" class="link" data-do="clear">Show all</button></p>
  </div>
  <div class="chosen-bar" hidden><div class="can deeds"></div><div class="more"></div></div>
  <p class="coming quiet" role="status"></p>
  <p class="lost" role="alert" hidden>The app does not answer. This list is as it was; it keeps asking.</p>
  <div class="no-runs">NONE</div>
</div>"""


class RunsTable:
    """The component, what its script asks, and what is done with runs that are chosen in it."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._choice = functools.lru_cache(maxsize=64)(self._chosen)
        self._row = functools.lru_cache(maxsize=4000)(self._row_in)

    # ---- components

    def build(self) -> gr.HTML:
        """The table; an event of it brings the runs it is about."""
        scripts = ("words.js", "table_parts.js", "table.js")
        script = "".join((FOLDER / name).read_text(encoding="utf-8") for name in scripts)
        none = " ".join((NONE_YET if self.page.may_change else NOTHING_HERE).split())  # as its translation is looked up
        skeleton = SKELETON.replace("FILTERS", _FILTERS).replace("CHOICES", _CHOICES).replace("NONE", none)
        texts = json.dumps(texts_in(skeleton + script + json.dumps(COLUMNS)), ensure_ascii=False)
        known = f"const MAY_CHANGE = {json.dumps(self.page.may_change)}, NAMES = {json.dumps(COLUMNS)};"
        self.component = plain(
            "",
            html_template=skeleton,
            js_on_load=f"const TEXTS = {texts};\n{known}\n{script}",
            server_functions=[shared(self.rows), served(self.losing)],
            elem_id="runs-table",
        )
        return self.component

    def wire(self) -> None:
        """What is done in the table itself. Opening, comparing, chatting and training again lead elsewhere."""
        self.component.rename(self.rename, None, None, **FAST)
        self.component.tag(self.tag, None, None, **FAST)
        self.component.archive(self.archive, None, None, **FAST)
        self.component.remove(self.remove, None, None, **FAST)

    # ---- handlers

    @changes
    def rename(self, event: gr.EventData) -> None:
        """{run, name}: what it is called from now on."""
        given = given_by(event)
        relabel(self.page.store.get(str(given.get("run") or "")), name=str(given.get("name") or ""))
        self.page.summaries.look_again()

    @changes
    def tag(self, event: gr.EventData) -> None:
        """{runs, add, drop}: tags put on all of them and taken off."""
        given = given_by(event)
        add, drop = (texts_of(given.get(name)) for name in ("add", "drop"))
        for id in texts_of(given.get("runs")):
            relabel(self.page.store.get(id), add_tags=add, drop_tags=drop)
        self.page.summaries.look_again()

    @changes
    def archive(self, event: gr.EventData) -> None:
        """{runs, archived}: taken out of the list, with all that belongs to them kept, or put back."""
        given = given_by(event)
        is_archived, runs = given.get("archived") is True, texts_of(given.get("runs"))
        for id in runs:
            relabel(self.page.store.get(id), is_archived=is_archived)
        self.page.summaries.look_again()
        gr.Info(translate(archived_words(len(runs), is_archived)))

    @changes
    def remove(self, event: gr.EventData) -> None:
        """{runs}: those that are not being trained are deleted; of the others is said why not."""
        gone, kept = 0, []
        for id in texts_of(given_by(event).get("runs")):
            try:
                self.page.store.delete(id)
                gone += 1
            except UserError as error:
                kept.append(error)
        self.page.summaries.look_again()
        if gone:
            gr.Info(translate("The run was deleted." if gone == 1 else f"{gone:,} runs were deleted."))
        if kept:
            raise kept[0]

    # ---- what the script asks

    def rows(self, asked: Any) -> dict[str, Any]:
        """{sort, down, search, state, model, data, tag, start, count, since, every} -> the rows there.

        since: the revision that the browser has; only rows that changed after it are sent, and {same} where nothing
        did. every: all rows that fit. Anybody may call this with anything.
        """
        given = asked if isinstance(asked, dict) else {}
        found = self.page.summaries.rows()
        revision, live = self.page.summaries.revision, any(row.state in MOVING for row in found[:MOST_AT_ONCE])
        since = _whole(given.get("since"))
        if since > revision:  # of an app that ran here before
            since = 0
        unread = self.page.summaries.unread
        coming = coming_runs(self.page.settings)
        told = {"coming": translate(coming_words(coming)) if coming else "", "live": live or coming is not None}
        if since == revision and not unread:
            return {"same": True, **told}
        wanted, choices, all_, archived = self._choice(revision, Selection.from_json(given))
        start, count = (max(0, _whole(given.get(name))) for name in ("start", "count"))
        shown = wanted[start : start + min(count, MOST_AT_ONCE)]
        if given.get("every") is True:
            shown = wanted[:MOST_CHOSEN]
        language, now = visitors_language(), int(time.monotonic() / REMEMBERED)
        changed = [row for row in shown if self.page.summaries.changed_in(row.id) > since]
        return {
            "total": len(wanted),
            "all": all_ + unread,
            "archived": archived,
            "unread": unread,
            **told,
            "live": told["live"] or unread > 0,
            "since": revision,
            "start": start,
            "ids": [row.id for row in shown],
            "rows": [self._row(row, language, now) for row in changed],
            "choices": {name: [(one, _words(name, one, language)) for one in ones] for name, ones in choices.items()},
        }

    def _chosen(self, revision: int, wanted: Selection) -> tuple[list[RunSummary], dict[str, list[str]], int, int]:
        """(rows that fit, what the filters offer, how many there are, and how many of them are archived); `revision`
        only tells when that is old.
        """
        rows = [self._seen(row) for row in self.page.summaries.rows()]
        return selected(rows, wanted), choices_in(rows), len(rows), sum(row.is_archived for row in rows)

    def _seen(self, row: RunSummary) -> RunSummary:
        """As this visitor may see it."""
        return row if self.page.may_change else for_visitors_row(row, self.page.settings.show_private)

    def _row_in(self, row: RunSummary, language: str, now: int) -> dict[str, Any]:
        """What is sent of a row; `now` only tells when its folder is looked at again."""
        remaining = f"{left(row.seconds_left)} left" if row.seconds_left is not None else ""
        part = None if row.progress is None or not row.is_active else round(100 * min(1.0, row.progress))
        return {
            "id": row.id,
            "name": row.name,
            "state": row.state,
            "word": spoken(STATES[row.state], language),
            "live": row.is_active,
            "part": part,
            "left": spoken(remaining, language),
            "talks": row.talks,
            "model": spoken(row.model, language),
            "data": spoken(row.data, language),
            "method": spoken(row.method, language),
            "differs": differs_in(row.differs, language),
            "held_out": row.held_out,
            "spark": list(row.spark),
            "score": row.score,
            "time": spoken(duration(row.seconds), language) if row.seconds else "",
            "tokens": row.tokens,
            "archived": row.is_archived,
            "made": row.made,
            "note": row.note,
            "tags": list(row.tags),
            "problem": self._problem(self.page.store.at(row.id), language),
        }

    def _problem(self, run: Run, language: str) -> str:
        """What is wrong with its folder; why is told to its owner alone."""

        def read() -> str:
            damages = run.damages()[:1] if self.page.may_change else []
            return problem_in(damages[0], language) if damages else ""

        return safely(read, lambda why: problem_in(why if self.page.may_change else NOT_TOLD, language))

    def losing(self, asked: Any) -> dict[str, Any]:
        """{runs} -> {words: what is lost, button, runs: those that can be deleted}; visitors delete nothing."""
        if not self.page.may_change:
            return {"words": translate(DEMONSTRATION), "button": "", "runs": []}
        ids = texts_of(asked.get("runs") if isinstance(asked, dict) else None)
        runs = [run for run in map(self.page.find, ids) if run is not None]
        idle = [run for run in runs if not (run.is_alive() or run.is_on_its_way())]
        return {
            "words": translate(losing_words(idle, len(runs) - len(idle))),
            "button": translate("Delete this run" if len(idle) == 1 else f"Delete {len(idle):,} runs"),
            "runs": [run.id for run in idle],
        }


def coming_words(coming: Coming) -> str:
    """Of runs that are kept on the Hub."""
    if coming.has_failed:
        return "The runs that are kept on the Hub could not be fetched; it is tried again."
    if not coming.of:
        return "The runs that are kept on the Hub are being fetched."
    return f"The runs that are kept on the Hub are being fetched: {coming.here:,} of {coming.of:,} are here."


def archived_words(count: int, is_archived: bool) -> str:
    """What became of so many runs."""
    if is_archived:
        return "The run is archived." if count == 1 else f"{count:,} runs are archived."
    return "The run is back in the list." if count == 1 else f"{count:,} runs are back in the list."


def losing_words(runs: Sequence[Run], busy: int = 0) -> Problem:
    """What goes with these runs. busy: how many more were chosen that are being trained."""
    names = ", ".join(title_of(run) for run in runs[:MOST_NAMED])
    if len(runs) > MOST_NAMED:
        names += ", …"
    if not runs:
        return Problem("run.all_at_work", "What is chosen is being trained. Stop it first.")
    lost = Problem(
        "run.what_is_lost",
        "This deletes {names}: the adapter, its checkpoints, figures and answers, {bytes}. It cannot be brought back.",
        names=names,
        bytes=size(sum(run.size() for run in runs)),
    )
    if not busy:
        return lost
    kept = Problem("run.kept_at_work", "{count:,} that are being trained stay.", count=busy)
    return Problem("list.sentences", "{first} {rest}", first=lost, rest=kept)


def for_visitors_row(row: RunSummary, show_private: bool = False) -> RunSummary:
    """Its name and figures, never its owner's note and tags; what it learned from where that is the starter's, or all
    data is shown.
    """
    shown = replace(row, note="", tags=())
    if row.source == "starter" or show_private:
        return shown
    return replace(shown, model="", data="", differs="", method="")


def given_by(event: gr.EventData) -> dict[str, Any]:
    """What an event of a script brings along; it comes from the browser."""
    data = event._data
    if isinstance(data, str):
        data = json.loads(data)
    return data if isinstance(data, dict) else {}


def texts_of(value: Any) -> list[str]:
    """A list of texts that a browser sent, without what is none."""
    given = value if isinstance(value, list) else []
    return [one for one in given[:MOST_CHOSEN] if isinstance(one, str)]


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _words(name: str, value: str, language: str) -> str:
    if name == "state":
        return spoken("Archived" if value == ARCHIVED else STATES[value], language)  # type: ignore[index]
    return value if name == "tag" else spoken(value, language)
