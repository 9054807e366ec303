"""One run as people see it: state, figures, proof, samples, log. The Train tab and the Runs tab show the same card.

The card lives in the browser: its script asks `poll` and gets only the parts that changed. Parts are made here, and
every word in them that a person or a model wrote is escaped here.
"""

import functools
import json
import time
import zlib
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import UserError
from ...formatting import duration, left, loss_figure
from ...recipe import Recipe
from ...runs import Run
from ...runs import RunStatus as Status
from ...runs.proof_words import Line, proof_lines
from ...runs.recipes import recipe_of
from ...runs.rows import SampleRow
from ...training_data import changed_since
from ..context import AppContext
from ..events import FAST
from ..guard import changes
from ..language import spoken, texts_in, translated
from ..theme import plain
from ..translate import visitors_language
from .charts import chart, newer

FOLDER = Path(__file__).parent
STATES = {
    "queued": "Waiting",
    "starting": "Starting",
    "running": "Training",
    "stopping": "Stopping",
    "done": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
LONGEST_SHOWN = 400  # characters of an answer
SENTENCE_ENDS = (".", "!", "?", "…", ".”", "!”", "?”", '."', '!"', '?"', ")")
NO_FIGURE = "\N{EN DASH}"
MOVING = ("queued", "starting", "running", "stopping")
REMEMBERED = 0.5  # seconds
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


def run_card(cards: "RunCards", **words: Any) -> gr.HTML:
    """The component; its value is the id of the run it shows ("" for none). Its events are named in run_card.js."""
    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in ("words.js", "chart.js", "run_card.js"))
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
        self.page.store.get(run_id(event)).take("start")

    # ---- what the cards ask

    def poll_function(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """`poll` as a plain function: Gradio calls it by that name from the browser."""

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
            parts, facts, drawn = self._picture(run.id, now)
        except UserError as error:
            gone = f'<div class="line"><b>{escape(str(error))}</b></div>'
            empty = EMPTY if self.page.may_change else NOTHING_HERE
            return _only_new({"head": gone if asked.get("run") else empty}, asked) | {"state": "empty", "live": False}
        parts = parts | {"others": _another(run, self._in_training(now)) if asked.get("others") else ""}
        if asked.get("log") and not self.page.may_change:
            parts["log"] = "The log is not shown to visitors."
        elif asked.get("log"):
            parts["log"] = (
                f'<span translate="no">{log}</span>' if (log := escape(run.log_tail())) else "The log is empty."
            )
        known = asked.get("chart")
        return _only_new(parts, asked) | facts | {"chart": newer(drawn, known if isinstance(known, dict) else {})}

    def _read(self, id: str, now: int) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        """(parts, facts, chart) of a run; `now` only tells when it is to be read again."""
        run = self.page.store.get(id)
        status, recipe, proved = run.status(), recipe_of(run), run.proof()
        changed = (
            changed_since(recipe.dataset, self.page.settings.data) if recipe and status.state not in MOVING else []
        )
        parts = {
            "head": head(run, recipe, status, changed),
            "tiles": tiles(status),
            "actions": actions(run, status, self.page.may_change),
            "proof": proof(proved) if proved else "",
            "samples": samples(run.samples()) if self.page.may_show(recipe and recipe.dataset) else "",
        }
        facts = {
            "state": status.state,
            "live": status.state in MOVING,
            "total": status.total,
            "progress": status.progress,
            "say": _announcement(status),
        }
        return parts, facts, chart(run, status.total)

    def _alive(self, now: int) -> list[Run]:
        """The newest runs that are being trained."""
        return [run for run in self.page.store.list()[:50] if run.is_alive()]


def _another(run: Run, alive: Sequence[Run]) -> str:
    """A line about another run that is being trained, with a way to it."""
    live = next((other for other in alive if other.id != run.id), None)
    if live is None:
        return ""
    return (
        f'<p class="note">Being trained now: <span translate="no">{escape(title_of(live))}</span> '
        f'<button type="button" class="link" data-show="{escape(live.id)}">Show it</button></p>'
    )


def _only_new(parts: dict[str, str], asked: dict[str, Any]) -> dict[str, Any]:
    seen = asked.get("seen") if isinstance(asked.get("seen"), dict) else {}
    marks = {name: zlib.crc32(text.encode()) for name, text in parts.items()}
    return {"parts": {name: text for name, text in parts.items() if seen.get(name) != marks[name]}, "seen": marks}


def title_of(run: Run) -> str:
    recipe = recipe_of(run)
    return recipe.title if recipe else run.id


def head(run: Run, recipe: Recipe | None, status: Status, changed: Sequence[str] = ()) -> str:
    """The state and what was noticed on the way; `changed` says that its data is another one by now."""
    title = recipe.title if recipe else run.id
    dot = "live" if status.state in MOVING else status.state
    word = STATES.get(status.state, status.state)
    sentence = status.sentence.removeprefix(f"{word}.").strip()  # the word already stands in front
    if status.state == "done" and run.proof():
        sentence = ""  # the proof below says it in full
    warnings = "".join(f"<li>{escape(text)}</li>" for text in dict.fromkeys((*status.warnings, *changed)))
    decided = run.computes_in()
    how = f'<p class="note">{escape(decided.why)}</p>' if decided and decided.why else ""
    return (
        f'<div class="line"><span class="dot {dot}"></span><b>{escape(word)}</b>'
        f'<span class="what" translate="no">{escape(title)}</span></div>'
        + (f'<p class="sentence">{escape(sentence)}</p>' if sentence else "")
        + how
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
    )


def tiles(status: Status) -> str:
    """The figures under the bar: name, value, remark."""
    if status.loss is None and not status.step:
        return ""
    moving = status.state in MOVING
    cells = [
        (
            "Loss",
            _figure(status.loss, loss_figure),
            f"was {loss_figure(status.first_loss)}" if status.first_loss is not None else "",
        ),
        ("Step", f"{status.step:,}", f"of {status.total:,}"),
    ]
    if moving:
        cells.append(("Time left", left(status.seconds_left) if status.seconds_left is not None else NO_FIGURE, ""))
    else:
        cells.append(("Time", duration(status.seconds), ""))
    cells += [
        ("Speed", _figure(status.tokens_per_second, "{:,.0f}".format), "tokens/s"),
        ("Memory", f"{status.memory_mb:,}" if status.memory_mb else NO_FIGURE, "MB" if status.memory_mb else ""),
    ]
    return "".join(
        f"<div><dt>{name}</dt><dd>{value} <small>{remark}</small></dd></div>" for name, value, remark in cells
    )


def actions(run: Run, status: Status, may_change: bool) -> str:
    """What the visitor can do with this run now, as buttons; the script turns a click into an event of the same
    name.
    """
    talk, buttons = run.newest_adapter() is not None, []
    if status.state == "queued":
        return _button("unqueue", "Take it out of the queue") if may_change else ""
    if talk:
        early = " as it is now" if status.is_active else ""
        words = "Chat with it" if run.task().is_chat else "Try it"
        buttons.append(_button("chat", f"{words}{early}", "" if status.is_active else "main"))
    if status.is_active:
        if not talk:
            buttons.append('<button type="button" disabled aria-describedby="why-no-chat">Chat with it</button>')
        stopping = status.state == "stopping"
        if may_change:
            buttons.append(
                '<button type="button" disabled>Stopping…</button>' if stopping else _button("stop", "Stop and keep")
            )
    elif may_change and status.state in ("stopped", "interrupted", "failed"):
        buttons.append(_button("resume", "Try again" if status.state == "failed" else "Resume", "" if talk else "main"))
    why = (
        "" if talk or not status.is_active else '<small id="why-no-chat">Chat opens with the first checkpoint.</small>'
    )
    return "".join(buttons) + why


def _button(event: str, words: str, kind: str = "") -> str:
    return f'<button type="button" class="{kind}" data-do="{event}">{words}</button>'


def proof(values: dict[str, Any]) -> str:
    """The sentences of proof.json; those of the score and of a broken promise stand out."""
    lines = "".join(_proof_line(line) for line in proof_lines(values))
    return f'<div class="proof"><h3>Proof</h3>{lines}</div>' if lines else ""


def _proof_line(line: Line) -> str:
    kind = "" if line.kind == "fact" else line.kind
    return f'<p class="{kind}">{escape(line.text)}</p>'


def samples(rows: list[SampleRow]) -> str:
    """Each sample question with the answer before training, the newest one, and what was expected."""
    asked: dict[str, list[SampleRow]] = {}
    for row in rows:
        asked.setdefault(str(row.get("question", "")), []).append(row)
    return (
        ("<h3>What it answers</h3>" + "".join(_sample(question, answers) for question, answers in asked.items()))
        if asked
        else ""
    )


def _sample(question: str, answers: list[SampleRow]) -> str:
    first, last = answers[0], answers[-1]
    expected = str(last.get("expected") or "")
    right = bool(expected) and str(last.get("answer", "")).strip() == expected.strip()
    now = '<div class="now"><h4>Now</h4><p class="quiet">soon</p></div>'
    if len(answers) > 1:
        when = f"Now, step {int(last.get('step', 0)):,}{' · as expected' if right else ''}"
        more = _cut(last) if "is_cut" in last else ""
        mark = " right" if right else ""
        now = f'<div class="now{mark}"><h4>{when}</h4><p>{_shown(last.get("answer"))}{more}</p></div>'
    wanted = (
        f'<p class="expected">Expected: <span translate="no">{escape(expected)}</span></p>'
        if expected and not right and len(answers) > 1
        else ""
    )
    return (
        f'<div class="sample"><p class="question" translate="no">{escape(question)}</p><div class="pair">'
        f'<div class="then"><h4>Before '
        f"training</h4><p>{_shown(first.get('answer'))}{_cut(first)}</p></div>{now}</div>{wanted}</div>"
    )


def _shown(answer: Any) -> str:
    text = str(answer or "").strip()
    shown = escape(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…")
    return f'<span translate="no">{shown}</span>' if shown else '<span class="quiet">(nothing)</span>'


def _cut(row: SampleRow) -> str:
    """A base goes on telling until it is stopped at the longest answer; without a sign of that it looks like a fault of
    the page.
    """
    text = str(row.get("answer") or "").rstrip()
    if "is_cut" in row:
        return '<span class="quiet">…</span>' if row["is_cut"] and len(text) <= LONGEST_SHOWN else ""
    is_whole = len(text) > LONGEST_SHOWN or text.endswith(SENTENCE_ENDS) or " " not in text  # a label is a word
    return "" if not text or is_whole else '<span class="quiet">…</span>'


def _figure(value: float | None, formatted: Callable[[float], str]) -> str:
    return NO_FIGURE if value is None else formatted(value)


def _announcement(status: Status) -> str:
    """The state in one line, for a screen reader."""
    word = STATES.get(status.state, status.state)
    if status.step and status.total and status.loss is not None:
        return f"{word}, step {status.step} of {status.total}, loss {loss_figure(status.loss)}."
    return f"{word}. {status.sentence}"


def run_id(event: gr.EventData) -> str:
    """The run a card's event is about. It comes from the browser: RunStore.get checks it."""
    data = event._data
    if isinstance(data, str):
        data = json.loads(data)
    return str((data or {}).get("run", ""))
