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
from ...jobs import State
from ...launch.ending import end_now
from ...runs import Run, RunStatus
from ...runs.recipes import recipe_of
from ...training_data import changed_since
from ..context import AppContext
from ..events import FAST
from ..guard import NOT_TOLD, asked_by_everyone, changes, in_words, names_a_place
from ..language import problem_in, spoken, texts_in, translated
from ..safely import safely
from ..theme import plain
from ..translate import translate, visitors_language
from .card_parts import MOVING, actions, announcement, another, head, proof, samples, tiles
from .charts import Chart, chart, known_of, newer

FOLDER = Path(__file__).parent
REMEMBERED = 0.5  # seconds
PLAIN: tuple[State, ...] = ("starting", "running", "stopping", "done")  # states whose sentences tell no reason
WAITING = "Waiting for its turn."
SKELETON = """
<article class="card" data-state="loading">
  <div data-part="others"></div>
  <div data-part="head"></div>
  <div class="bar" role="progressbar" aria-label="Training progress" aria-valuemin="0" aria-valuemax="100"><i></i></div>
  <dl class="tiles" data-part="tiles"></dl>
  <div class="actions" data-part="actions"></div>
  <div data-part="proof"></div>
  <figure class="chart"><div class="legend"></div><div class="plot"></div><figcaption class="read"></figcaption>
  <details class="numbers"><summary>The curve as a table</summary>
    <div tabindex="0" role="region" aria-label="The curve as a table"></div></details></figure>
  <section data-part="samples"></section>
  <details class="log"><summary>Log</summary><pre data-part="log" tabindex="0"></pre></details>
  <p class="lost" role="alert" hidden>The app does not answer. Training goes on without it; this page keeps asking.</p>
  <p class="only-read" role="status" aria-live="polite"></p>
</article>"""
EMPTY = """<div class="welcome"><h2>Nothing trained yet</h2>
<p>Press <b>Start training</b>. The model learns from the data on the left while you watch, and you can talk to it when
it is done.</p> <ol><li><b>Start</b>one click, everything is set</li><li><b>Watch</b>the loss falls, answers appear</li>
<li><b>Chat</b>before and after, side by side</li></ol></div>"""
NOTHING_HERE = """<div class="welcome"><h2>Nothing to see yet</h2><p>No model has been trained here so far.
When the owner of this demonstration trains one, you can watch it and talk to it.</p></div>"""


class Facts(TypedDict):
    """What the script of the card does with a run, beside showing its parts."""

    state: State
    live: bool  # does anything move?
    total: int  # steps
    progress: float | None  # share that is done
    say: str  # to a screen reader


class Picture(NamedTuple):
    """A run as all cards that show it get it."""

    parts: dict[str, str]  # {part of the card: HTML}
    facts: Facts
    chart: Chart


def run_card(cards: "RunCards", **words: Any) -> gr.HTML:
    """The component; its value is the id of the run it shows ("" for none). Its events are named in run_card.js."""
    files = (FOLDER.parent / "focus.js", *(FOLDER / name for name in ("words.js", "chart.js", "run_card.js")))
    script = "\n".join(file.read_text(encoding="utf-8") for file in files)
    texts = json.dumps(texts_in(SKELETON + script), ensure_ascii=False)
    return plain(
        "",
        html_template=SKELETON,
        js_on_load=f"const TEXTS = {texts};\n{script}",
        server_functions=[cards.poll_function()],
        **words,
    )


class RunCards:
    """Answers what the cards of all browsers ask. What fifty of them ask within half a second is read from the disk
    once.
    """

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._picture = functools.lru_cache(maxsize=200)(self._read)
        self._in_training = functools.lru_cache(maxsize=1)(self._alive)

    def wire(self, card: gr.HTML) -> None:
        """The buttons on a card."""
        card.stop(self.stop_run, None, None, **FAST)
        card.resume(self.resume_run, None, None, **FAST)
        card.unqueue(self.unqueue_run, None, None, **FAST)
        card.kill(self.kill_run, None, None, **FAST)

    # ---- handlers

    @changes
    def stop_run(self, event: gr.EventData) -> None:
        """It saves what it has learned and ends."""
        self.page.store.get(run_id(event)).request("stop")

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

    # ---- what the cards ask

    def poll_function(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """`poll` as a plain function: Gradio calls it by that name from the browser."""

        @asked_by_everyone
        def poll(asked: dict[str, Any]) -> dict[str, Any]:
            return self.poll(asked)

        return poll

    def poll(self, asked: dict[str, Any]) -> dict[str, Any]:
        """{"run": id, "seen": {part: hash}, "chart": what is drawn, "log": is it open} -> what is new.

        Anybody may call this with anything: the id is checked, the rest is only compared.
        """
        news, language = self._news(asked if isinstance(asked, dict) else {}), visitors_language()
        news["parts"] = {name: translated(text, language) for name, text in news["parts"].items()}
        return news | {"say": spoken(news.get("say", ""), language)}

    def _news(self, asked: dict[str, Any]) -> dict[str, Any]:
        now = int(time.monotonic() / REMEMBERED)
        try:
            run = self.page.store.get(str(asked.get("run") or ""))
            picture = self._picture(run.id, now, visitors_language())
        except UserError as error:
            gone = f'<div class="line"><b>{escape(translate(in_words(error, self.page.may_change)))}</b></div>'
            empty = EMPTY if self.page.may_change else NOTHING_HERE
            return _only_new({"head": gone if asked.get("run") else empty}, asked) | {"state": "empty", "live": False}
        parts = picture.parts | {"others": another(run, self._in_training(now)) if asked.get("others") else ""}
        if asked.get("log"):
            parts["log"] = self._log(run)
        drawn = newer(picture.chart, known_of(asked.get("chart")))
        return _only_new(parts, asked) | picture.facts | {"chart": drawn}

    def _log(self, run: Run) -> str:
        """The end of what the worker wrote."""
        if not self.page.may_change:
            return "The log is not shown to visitors."
        log = escape(run.log_tail())
        return f'<span translate="no">{log}</span>' if log else "The log is empty."

    def _read(self, id: str, now: int, language: str) -> Picture:
        """The picture of a run, its failure in a language; `now` only tells when it is to be read again."""
        run = self.page.store.get(id)
        status, recipe, proved = run.status(), recipe_of(run), run.proof()
        data = recipe.dataset if recipe else None
        is_at_rest = status.state not in MOVING
        is_looked_at = data is not None and is_at_rest and self.page.may_change
        if not self.page.may_change:  # a reason may name a file or a row
            status = _for_visitors(status)
        is_open = self.page.may_open(run)

        def noticed() -> list[str]:
            if not self.page.may_change:
                return []
            changed = changed_since(data, self.page.settings.data) if data and is_looked_at else []
            return [*changed, *(problem_in(problem, language) for problem in run.damages())]

        makers: dict[str, Callable[[], str]] = {
            "head": lambda: head(run, _translated(status, language), noticed()),
            "tiles": lambda: tiles(status),
            "actions": lambda: actions(run, status, self.page.may_change),
            "proof": lambda: proof(proved) if proved else "",
            "samples": lambda: samples(run.samples()) if is_open else "",
        }

        def otherwise(problem: Problem) -> str:
            return _sentence(problem if self.page.may_change else NOT_TOLD, language)

        parts = {name: safely(make, otherwise) for name, make in makers.items()}
        facts = Facts(
            state=status.state,
            live=not is_at_rest,
            total=status.total,
            progress=status.progress,
            say=announcement(status, language),
        )
        return Picture(parts, facts, chart(run, status.total))

    def _alive(self, now: int) -> list[Run]:
        """The newest runs that are being trained."""
        return [run for run in self.page.store.list()[:50] if run.is_alive()]


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
    data = event._data
    if isinstance(data, str):
        data = json.loads(data)
    return str((data or {}).get("run", ""))
