"""The parts of a run's card as HTML, and what its states are called. Every word in them that a person or a model wrote
is escaped here.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

from ...formatting import duration, left, loss_figure
from ...jobs import ACTIVE, State
from ...runs import Run, RunStatus
from ...runs.labels import labels_of
from ...runs.proof_words import Line, proof_lines
from ...runs.rows import SampleRow
from ..language import problem_in, spoken

STATES: dict[State, str] = {
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
MOVING: tuple[State, ...] = ("queued", *ACTIVE)


def title_of(run: Run) -> str:
    """What a run is called."""
    if name := labels_of(run).name:
        return name
    read = run.read_recipe()
    return read.recipe.title if not read.problem or read.recipe.name else run.id


def head(run: Run, status: RunStatus, noticed: Sequence[str] = ()) -> str:
    """The state and what was noticed on the way; `noticed` since: its data is another one by now, a file is damaged."""
    dot = "live" if status.state in MOVING else status.state
    word = STATES[status.state]
    sentence = status.sentence.removeprefix(f"{word}.").strip()  # the word already stands in front
    if status.state == "done" and run.proof():
        sentence = ""  # the proof below says it in full
    warnings = "".join(f"<li>{escape(text)}</li>" for text in dict.fromkeys((*status.warnings, *noticed)))
    decided = run.computes_in()
    how = f'<p class="note">{escape(decided.why)}</p>' if decided and decided.why else ""
    return (
        f'<div class="line"><span class="dot {escape(dot)}"></span><b>{escape(word)}</b>'
        f'<span class="what" translate="no">{escape(title_of(run))}</span></div>'
        + (f'<p class="sentence">{escape(sentence)}</p>' if sentence else "")
        + (f'<p class="warning" role="status" translate="no">{escape(status.silence)}</p>' if status.silence else "")
        + how
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
    )


class Tile(NamedTuple):
    """A figure under the bar."""

    name: str
    value: str
    remark: str = ""


def tiles(status: RunStatus) -> str:
    """The figures under the bar."""
    if status.loss is None and not status.step:
        return ""
    moving = status.state in MOVING
    was = "" if status.first_loss is None else f"was {loss_figure(status.first_loss)}"
    time = Tile("Time left", _figure(status.seconds_left, left)) if moving else Tile("Time", duration(status.seconds))
    memory = Tile("Memory", f"{status.memory_mb:,}", "MB") if status.memory_mb else Tile("Memory", NO_FIGURE)
    shown = [
        Tile("Loss", _figure(status.loss, loss_figure), was),
        Tile("Step", f"{status.step:,}", f"of {status.total:,}"),
        time,
        Tile("Speed", _figure(status.tokens_per_second, "{:,.0f}".format), "tokens/s"),
        memory,
    ]
    return "".join(f"<div><dt>{one.name}</dt><dd>{one.value} <small>{one.remark}</small></dd></div>" for one in shown)


def actions(run: Run, status: RunStatus, may_change: bool) -> str:
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
        if may_change and status.silence:
            buttons.append(_button("kill", "End it now"))
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
        when = f"Now, step {_step_of(last):,}{' · as expected' if right else ''}"
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


def _step_of(row: SampleRow) -> int:
    step = row.get("step", 0)
    return step if isinstance(step, int) else 0


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


def announcement(status: RunStatus, language: str) -> str:
    """The state in one line, for a screen reader."""
    word = STATES[status.state]
    if status.step and status.total and status.loss is not None:
        return f"{word}, step {status.step} of {status.total}, loss {loss_figure(status.loss)}."
    return f"{spoken(f'{word}.', language)} {problem_in(status.sentence, language)}"


def another(run: Run, alive: Sequence[Run]) -> str:
    """A line about another run that is being trained, with a way to it."""
    live = next((other for other in alive if other.id != run.id), None)
    if live is None:
        return ""
    return (
        f'<p class="note">Being trained now: <span translate="no">{escape(title_of(live))}</span> '
        f'<button type="button" class="link" data-show="{escape(live.id)}">Show it</button></p>'
    )
