"""One run as people see it: state, figures, proof, samples, log. The Train tab and the Runs tab show the same card.

The card lives in the browser: its script asks `poll` and gets only the parts that changed. Parts are made here, and
every word in them that a person or a model wrote is escaped here.
"""

import functools
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import gradio as gr

from ...errors import Problem, UserError
from ...foreign import FOREIGN, is_known_as_foreign
from ...hardware import here
from ...jobs import State
from ...launch.places import end_now
from ...runs import Run, RunStatus
from ...runs.asking import ASKABLE, ask, waiting
from ...runs.diagnose import Finding, diagnose
from ...runs.events import said_of
from ...runs.labels import relabel
from ...runs.proof import Proof
from ...runs.recipes import recipe_of
from ...runs.since import changed_words
from ...runs.verdict import Verdict, stopped_verdict, verdict
from ...training_data import DatasetChoice, changed_since
from ...usage import usage_in
from ..context import AppContext, for_visitors
from ..events import FAST
from ..guard import DEMONSTRATION, NOT_TOLD, changes, in_words, names_a_place, owners, shared
from ..job_card import move_in_line
from ..language import problem_in, spoken, texts_in, translated
from ..safely import safely
from ..theme import plain
from ..train.where import AWAITED, resume_price
from ..translate import translate, visitors_language
from .card_again import again_form
from .card_asked import asked_part
from .card_ending import ending
from .card_findings import findings_part
from .card_machine import machine_strip
from .card_parts import MOVING, actions, announcement, another, head, progress_words, seconds_of, tiles
from .card_pinned import pinned_part
from .card_queue import own_turn, queue
from .card_samples import samples
from .card_skeleton import EMPTY, NOTHING_HERE, SKELETON
from .charts import LOSS, Chart, chart, known_of, newer, series_of
from .said import Said, said_by

FOLDER = Path(__file__).parent
SCRIPTS = (
    "words.js",
    "chart_scales.js",
    "chart_smoothing.js",
    "chart_drawing.js",
    "chart.js",
    "card_again.js",
    "card_ask.js",
    "run_card.js",
)
REMEMBERED = 0.5  # seconds
DIAGNOSED = 10  # of these: five seconds
MOST_FOUND = 200  # runs
PLAIN: tuple[State, ...] = ("starting", "running", "stopping", "done")  # states whose sentences tell no reason
WAITING = "Waiting for its turn."
GOING = "It is being thrown away."
NOT_KNOWN = "Its data cannot be read here: whether the starter has ever read about such things is not known."


class Facts(TypedDict):
    """What the script of the card does with a run, beside showing its parts."""

    state: State
    live: bool  # does anything move?
    total: int  # steps
    progress: float | None  # share that is done
    say: str  # to a screen reader
    asks: bool  # can it be asked a question?


class Picture(NamedTuple):
    """A run as all cards that show it get it."""

    parts: dict[str, str]  # {part of the card: HTML}
    facts: Facts
    chart: Chart  # of the loss
    status: RunStatus


def run_card(cards: "RunCards", **words: Any) -> gr.HTML:
    """Its value is the id of the run it shows, "" for none, None while not known yet; run_card.js has its events."""
    files = (FOLDER.parent / "focus.js", FOLDER.parent / "line.js", *(FOLDER / name for name in SCRIPTS))
    script = "\n".join(file.read_text(encoding="utf-8") for file in files)
    texts = json.dumps(texts_in(" ".join((SKELETON + script).split())), ensure_ascii=False)
    return plain(
        None,
        html_template=SKELETON,
        js_on_load=f"const TEXTS = {texts};\n{script}",
        server_functions=[shared(cards.poll), owners(cards.ask)],
        **words,
    )


class RunCards:
    """Answers what the cards of all browsers ask. What fifty of them ask within half a second is read from the disk
    once.
    """

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._picture = functools.lru_cache(maxsize=200)(self._read)
        self._found: dict[str, tuple[object, list[Finding]]] = {}  # {run: (when it was looked at, what was found)}
        self._series = functools.lru_cache(maxsize=50)(self._read_series)
        self._pinned_at = functools.lru_cache(maxsize=50)(self._read_pinned_at)
        self._was_foreign: dict[str, bool] = {}  # {run: of one whose proof does not say it}

    def wire(self, card: gr.HTML) -> None:
        """The buttons on a card."""
        card.stop(self.stop_run, None, None, **FAST)
        card.discard(self.discard_run, None, None, **FAST)
        card.leave(self.leave_run, None, None, **FAST)
        card.resume(self.resume_run, None, None, **FAST)
        card.unqueue(self.unqueue_run, None, None, **FAST)
        card.kill(self.kill_run, None, None, **FAST)
        card.move(self.move_run, None, None, **FAST)
        card.rename(self.rename_run, None, None, **FAST)

    # ---- handlers

    @changes
    def stop_run(self, event: gr.EventData) -> None:
        """It saves what it has learned and ends."""
        self.page.store.get(run_id(event)).request("stop")

    @changes
    def leave_run(self, event: gr.EventData) -> None:
        """It ends at once; what was saved before is kept, and Resume goes on there."""
        self.page.store.get(run_id(event)).request("stop-now")

    @changes
    def discard_run(self, event: gr.EventData) -> None:
        """It ends at once and is deleted then."""
        self.page.store.discard(run_id(event))
        gr.Info(translate(GOING))  # the card may turn to another run before it can say so

    @changes
    def resume_run(self, event: gr.EventData) -> None:
        """It goes on from its newest checkpoint."""
        self.page.start(self.page.store.get(run_id(event)))

    @changes
    def unqueue_run(self, event: gr.EventData) -> None:
        """It is not started any more."""
        self.page.store.get(run_id(event)).request("stop")

    @changes
    def kill_run(self, event: gr.EventData) -> None:
        """The process of one that hangs is ended; what it saved is kept."""
        end_now(self.page.store.get(run_id(event)))

    @changes
    def move_run(self, event: gr.EventData) -> None:
        """Another place in line."""
        move_in_line(self.page, event)

    @changes
    def rename_run(self, event: gr.EventData) -> None:
        """Another name for it; its recipe stays as it is."""
        relabel(self.page.store.get(run_id(event)), name=str(_data_of(event).get("name", "")))
        self._picture.cache_clear()

    # ---- what the cards ask

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """{"run": id, "question": text} -> {"refused": why, or empty}.

        Anybody may call this with anything; visitors of a demonstration are refused.
        """
        given = asked if isinstance(asked, dict) else {}
        try:
            if not self.page.may_change:
                raise UserError.of(DEMONSTRATION)
            ask(self.page.store.get(str(given.get("run") or "")), str(given.get("question") or ""))
        except UserError as error:
            return {"refused": problem_in(error.problem, visitors_language())}
        self._picture.cache_clear()
        return {"refused": ""}

    def poll(self, asked: dict[str, Any]) -> dict[str, Any]:
        """{"run": id, "seen": {part: hash}, "chart": what is drawn and which curve is wanted, "log": is it open, "at":
        step whose answers are wanted} -> what is new.

        Anybody may call this with anything: the id is checked, the rest is only compared.
        """
        news, language = self._news(asked if isinstance(asked, dict) else {}), visitors_language()
        news["parts"] = {name: translated(text, language) for name, text in news["parts"].items()}
        return news | {"say": spoken(news.get("say", ""), language)}

    def _news(self, asked: dict[str, Any]) -> dict[str, Any]:
        now, language = int(time.monotonic() / REMEMBERED), visitors_language()
        try:
            run = self.page.store.get(str(asked.get("run") or ""))
            picture = self._picture(run.id, now, language)
        except UserError as error:
            shown = self.page.shown_run() if asked.get("run") and asked.get("others") else None
            if shown is not None:  # this one was thrown away: the page goes on with the next
                return {"parts": {}, "seen": {}, "state": "loading", "live": True, "next": shown.id}
            gone = f'<div class="line"><b>{escape(translate(in_words(error, self.page.may_change)))}</b></div>'
            empty = EMPTY if self.page.may_change else NOTHING_HERE
            return _only_new({"head": gone if asked.get("run") else empty}, asked) | {"state": "empty", "live": False}
        parts = picture.parts | self._around(run, picture, asked, now)
        if asked.get("log"):
            parts["log"] = self._log(run)
        step = asked.get("at")
        if isinstance(step, int) and parts["pinned"]:
            parts["pinned"] = self._pinned_at(run.id, now, language, step)
        wanted = series_of(asked.get("chart"))
        whole = picture.chart if wanted == LOSS else self._series(run.id, now, wanted)
        drawn = newer(whole, known_of(asked.get("chart")))
        return _only_new(parts, asked) | picture.facts | {"chart": drawn}

    def _around(self, run: Run, picture: Picture, asked: dict[str, Any], now: int) -> dict[str, str]:
        """What of other runs stands on its card."""
        if not asked.get("others"):
            return {"others": "", "queue": ""}
        alive, waiting = self.page.turns.alive(now), self.page.turns.waiting(now)
        if picture.status.state == "queued":
            place = next((place for place, one in enumerate(waiting, 1) if one.job.folder == run.folder), 1)
            starts_in = next((one.starts_in for one in waiting if one.job.folder == run.folder), None)
            before = next((one for one in alive if one.id != run.id), None)
            return {"others": own_turn(place, before, starts_in), "queue": ""}
        after = [one for one in waiting if one.job.folder != run.folder] if picture.status.is_active else []
        return {"others": another(run, alive), "queue": queue(after, self.page.may_change)}

    def _log(self, run: Run) -> str:
        """The end of what the worker wrote."""
        if not self.page.may_change:
            return "The log is not shown to visitors."
        log = escape(run.log_tail())
        return f'<span translate="no">{log}</span>' if log else "The log is empty."

    def _read_series(self, id: str, now: int, series: str) -> Chart:
        run = self.page.store.get(id)
        return chart(run, run.status().total, series, _proof_of(run), said_by(run, self.page.may_change))

    def _read_pinned_at(self, id: str, now: int, language: str, step: int | None) -> str:
        run = self.page.store.get(id)
        return pinned_part(*said_by(run, self.page.may_change), step, language)

    def _foreign(self, run: Run, proved: Proof) -> str:
        """Why its base cannot answer about its data; empty where it can."""
        recipe = recipe_of(run)
        if recipe is None or recipe.base_model.source != "starter":
            return ""
        is_foreign = proved.data.foreign
        if is_foreign is None:
            is_foreign = self._looked_up(run, recipe.dataset)
        if is_foreign is None:
            return NOT_KNOWN
        return FOREIGN if is_foreign else ""

    def _looked_up(self, run: Run, data: DatasetChoice) -> bool | None:
        """Of an older run, by the data as it is here now. What cannot be read now is looked at again later."""
        if run.id not in self._was_foreign:
            found = is_known_as_foreign(data, self.page.settings.data)
            if found is None:
                return None
            self._was_foreign[run.id] = found
        return self._was_foreign[run.id]

    def _verdict(self, run: Run, status: RunStatus, proved: Proof | None, drawn: Chart) -> Verdict | None:
        if proved is not None and status.state == "done":
            return verdict(proved, self._foreign(run, proved), changed_words(run, proved))
        losses = [one["loss"] for one in drawn["held_out"]]
        first, last = (losses[0], losses[-1]) if len(losses) > 1 else (None, None)
        return stopped_verdict(status.state, status.step, status.total, first, last)

    def _findings(self, run: Run, status: RunStatus, now: int) -> list[Finding]:
        """What the doctor finds: of one that moves anew every few seconds, of one at rest once."""
        mark = (status.state, now // DIAGNOSED if status.state in MOVING else status.seconds)
        known = self._found.get(run.id)
        if known is None or known[0] != mark:
            while len(self._found) >= MOST_FOUND:
                self._found.pop(next(iter(self._found)), None)
            known = self._found[run.id] = (mark, diagnose(run, status))
        return known[1]

    def _read(self, id: str, now: int, language: str) -> Picture:
        """The picture of a run, its failure in a language; `now` only tells when it is to be read again."""
        run = self.page.store.get(id)
        status, recipe, proved = run.status(), recipe_of(run), _proof_of(run)
        data = recipe.dataset if recipe else None
        is_at_rest = status.state not in MOVING
        is_looked_at = data is not None and is_at_rest and self.page.may_change
        may_change, is_open = self.page.may_change, self.page.may_open(run)
        as_said = status
        if not may_change:  # a reason may name a file or a row
            status = _for_visitors(status)
        waits = waiting(run) if may_change else []  # read first: a question goes when its answer is there
        said = said_by(run, may_change)
        drawn = chart(run, status.total, LOSS, proved, said)
        trained = self._trained(run) if is_open else None
        is_going = run.is_asked("discard")
        if is_going:
            status = replace(status, state="stopping", sentence=GOING)

        def noticed() -> list[str]:
            if not may_change:
                return []
            changed = changed_since(data, self.page.settings.data) if data and is_looked_at else []
            happened = [words for event in run.events() if (words := said_of(event)) != as_said.sentence]
            return [*changed, *(problem_in(one, language) for one in (*happened, *run.damages()))]

        def judged() -> Verdict | None:
            return self._verdict(run, status, proved, drawn)

        def is_good() -> bool:
            found = judged()
            return found is None or found.colour != "bad"

        def again() -> str:
            is_offered = may_change and not status.is_active and status.state != "queued"
            return resume_price(self.page, run, status) + again_form(recipe) if is_offered else ""

        makers: dict[str, Callable[[], str]] = {
            "head": lambda: head(run, _translated(status, language), noticed(), may_change, trained),
            "progress": lambda: progress_words(status, seconds_of(status, proved)),
            "tiles": lambda: tiles(status, _before(drawn), here()),
            "machine": lambda: machine_strip(usage_in(run.folder)) if may_change and status.is_active else "",
            "actions": lambda: actions(run, status, may_change, is_open, is_good()) + again(),
            "verdict": lambda: ending(judged(), run.proof()),
            "findings": lambda: findings_part(self._findings(run, as_said, now), may_change, language),
            "samples": lambda: _samples(run, said, status) if is_open else "",
            "pinned": lambda: pinned_part(*said, None, language) if is_open else "",
            "asked": lambda: asked_part(waits, said.asked, status, language),
        }

        def otherwise(problem: Problem) -> str:
            return _sentence(problem if may_change else NOT_TOLD, language)

        parts = {name: safely(make, otherwise) for name, make in makers.items()}
        facts = Facts(
            state=status.state,
            live=not is_at_rest or is_going or AWAITED in parts["actions"],
            total=status.total,
            progress=status.progress,
            say=announcement(status, language),
            asks=may_change and status.state in ASKABLE and not is_going,
        )
        return Picture(parts, facts, drawn, status)

    def _trained(self, run: Run) -> Any:
        recipe = recipe_of(run)
        return recipe if recipe is None or self.page.may_change else for_visitors(recipe)


def _proof_of(run: Run) -> Proof | None:
    found = run.proof()
    return Proof.from_json(found) if found else None


def _before(drawn: Chart) -> float | None:
    """The held-out loss of the base."""
    return next((one["loss"] for one in drawn["held_out"] if one["step"] == 0), None)


def _samples(run: Run, said: Said, status: RunStatus) -> str:
    recipe = recipe_of(run)
    return samples(said.samples, status, recipe.training.samples if recipe else 0)


def _only_new(parts: dict[str, str], asked: dict[str, Any]) -> dict[str, Any]:
    known = asked.get("seen")
    seen = known if isinstance(known, dict) else {}
    marks = {name: zlib.crc32(text.encode()) for name, text in parts.items()}
    return {"parts": {name: text for name, text in parts.items() if seen.get(name) != marks[name]}, "seen": marks}


def _for_visitors(status: RunStatus) -> RunStatus:
    """Without why it failed or waits, and what was noticed of its data."""
    return replace(status, sentence=_sentence_for_visitors(status), warnings=[])


def _sentence_for_visitors(status: RunStatus) -> str:
    if status.state == "queued":
        return WAITING
    is_reason = isinstance(status.sentence, Problem) or names_a_place(status.sentence)
    return status.sentence if status.state in PLAIN and not is_reason else ""


def _sentence(problem: Problem, language: str) -> str:
    return f'<p class="warning">{escape(problem_in(problem, language))}</p>'


def _translated(status: RunStatus, language: str) -> RunStatus:
    """With what went wrong in a language; any other sentence is translated with the page around it."""
    silence = problem_in(status.silence, language) if status.silence else ""
    if not isinstance(status.sentence, Problem):
        return replace(status, silence=silence)
    return replace(status, sentence=problem_in(status.sentence, language), silence=silence)


def run_id(event: gr.EventData) -> str:
    """The run a card's event is about. It comes from the browser: RunStore.get checks it."""
    return str(_data_of(event).get("run", ""))


def _data_of(event: gr.EventData) -> dict[str, Any]:
    data = event._data
    if isinstance(data, str):
        data = json.loads(data)
    return data if isinstance(data, dict) else {}
