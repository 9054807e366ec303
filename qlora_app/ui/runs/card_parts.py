"""The parts of a run's card as HTML, and what its states are called. Every word in them that a person or a model wrote
is escaped here.
"""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from ...base_models.cards import Decision
from ...differs import figure
from ...formatting import duration, left, loss_figure
from ...hardware import Machine
from ...jobs import ACTIVE, RESUMABLE, State
from ...recipe import Recipe
from ...runs import Run, RunStatus
from ...runs.ancestry import origin_of
from ...runs.proof import Proof
from ...starter import DATASETS
from ...storage.process import ProcessFile
from ...training_data import DatasetChoice
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
PRECISIONS = {"nf4": "4-bit NF4", "fp4": "4-bit FP4", "int8": "8-bit", "bf16": "16-bit", "fp32": "32-bit"}
NO_FIGURE = "\N{EN DASH}"
OF_ITSELF = 3  # base, method, precision: all that is known of an adapter that was made elsewhere
MOVING: tuple[State, ...] = ("queued", *ACTIVE)


def title_of(run: Run) -> str:
    """What a run is called."""
    return run.title


def data_title(choice: DatasetChoice) -> str:
    """What data is called: what comes with the app by its title, a file by its own name."""
    own = DATASETS.get(choice.id) if choice.source == "starter" else None
    return own.title if own else choice.title


def what_is_trained(recipe: Recipe, compute: str) -> list[str]:
    """What a run trains beside its data, in the field's words: the base, the method, the figures that matter most."""
    training, method = recipe.training, recipe.method
    rank = getattr(method, "rank", None)
    return [
        recipe.base_model.title,
        f"{method.title()} r{rank}" if rank else method.title(),
        PRECISIONS[recipe.base_model.precision],
        f"lr {figure(training.learning_rate)}",
        f"batch {training.batch_size:,}",
        *([compute] if compute else []),
    ]


def head(
    run: Run, status: RunStatus, noticed: Sequence[str] = (), may_change: bool = False, trained: Recipe | None = None
) -> str:
    """The state, the name, what is trained and what was noticed on the way; `noticed` since: its data is another one by
    now, a file is damaged. `trained`: what may be said of its recipe.
    """
    dot = "live" if status.state in MOVING else status.state
    word = STATES[status.state]
    sentence = status.sentence.removeprefix(f"{word}.").strip()  # the word already stands in front
    if status.state == "done" and run.proof():
        sentence = ""  # the verdict says it in full
    warnings = "".join(f"<li>{escape(text)}</li>" for text in dict.fromkeys((*status.warnings, *noticed)))
    decided = run.computes_in()
    pencil = (
        '<button type="button" class="pencil" data-do="rename" title="Rename" aria-label="Rename">✎</button>'
        if may_change
        else ""
    )
    return (
        f'<div class="line"><span class="dot {escape(dot)}"></span><b>{escape(word)}</b>'
        f'<span class="what" translate="no">{escape(title_of(run))}</span>{pencil}</div>'
        + _trained_line(run, trained, decided, may_change)
        + _origin_line(run, may_change)
        + (f'<p class="sentence">{escape(sentence)}</p>' if sentence else "")
        + (engine_line(run.launch_file, status) if may_change else "")
        + (f'<p class="warning" role="status" translate="no">{escape(status.silence)}</p>' if status.silence else "")
        + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")
    )


def _origin_line(run: Run, may_change: bool) -> str:
    """What it came from, with a way there; a folder is named to its owner only."""
    origin = origin_of(run)
    if origin is None:
        return ""
    words = "Goes on from" if origin.how == "extends" else "Began with the adapter of"
    parent = Run(run.folder.parent / origin.named)
    if "/" in origin.named or not parent.folder.is_dir():
        shown = origin.named if may_change else Path(origin.named).name
        return f'<p class="note">{words} <code translate="no">{escape(shown)}</code></p>'
    return (
        f'<p class="note">{words} <button type="button" class="link" data-do="open" data-run="{escape(parent.id)}" '
        f'translate="no">{escape(title_of(parent))}</button></p>'
    )


def engine_line(launched: ProcessFile, status: RunStatus) -> str:
    """Which other program works on it, what that says of it, and what all its jobs have cost."""
    engine, spent = launched.engine(), launched.spent()
    if engine is None and spent:
        return f'<p class="note"><span>It cost ${spent:.2f}</span></p>'
    is_said = engine is not None and (engine.state == "queued" or status.state == "queued" or status.silence)
    if engine is None or not (spent or (engine.is_there and not is_said)):
        return ""  # whose sentence says it already
    words = [f'<b translate="no">{escape(engine.title)}</b>']
    if engine.id:
        words.append(f'<code translate="no">{escape(engine.id)}</code>')
    if engine.is_there and engine.said and not is_said:
        words.append(f'<span translate="no">{escape(engine.said)}</span>')
    if spent:
        cost = f"${spent:.2f}"
        words.append(f"<span>{cost} so far</span>" if engine.is_there else f"<span>It cost {cost}</span>")
    return f'<p class="note">{" · ".join(words)}</p>'


def _trained_line(run: Run, trained: Recipe | None, decided: Decision | None, may_change: bool) -> str:
    """What is trained; on demand why it computes in that type, and where its folder is."""
    if trained is None:
        return ""
    compute = decided.taken if decided else ""
    known = what_is_trained(trained, compute)
    if not Proof.from_json(run.proof()).is_trained:
        known = known[:OF_ITSELF]
    words = [f'<span translate="no">{escape(one)}</span>' for one in known]
    is_ours = trained.dataset.source == "starter"  # its title is translated, the name of a file is not
    mark = "" if is_ours else ' translate="no"'
    words.insert(1, f"<span{mark}>{escape(data_title(trained.dataset))}</span>")
    how = f'<p class="note">{escape(decided.why)}</p>' if decided and decided.why else ""
    where = f'<code translate="no">{escape(str(run.folder))}</code>' if may_change else ""
    more = f'<details class="where"><summary>More</summary>{how}{where}</details>' if how or where else ""
    line = " · ".join(words)
    return f'<div class="trained"><span>{line}</span>{more}</div>'


def progress_words(status: RunStatus, seconds: float) -> str:
    """How far it is, and how long it takes; `seconds`: that it has trained."""
    if not status.step or not status.total:
        return ""
    if status.state in MOVING:
        rest = f"{left(status.seconds_left)} left" if status.seconds_left is not None else ""
        return _dotted([f"step {status.step:,} of {status.total:,}", rest])
    return _dotted([f"{status.step:,} of {status.total:,} steps", duration(seconds)])


def _dotted(parts: list[str]) -> str:
    return " · ".join(f"<span>{part}</span>" for part in parts if part)


def seconds_of(status: RunStatus, proof: Proof | None) -> float:
    """How long a run trained: what its proof says, where there is one, so that it is the same everywhere."""
    measured = proof.seconds.training if proof else None
    return status.seconds if measured is None else measured


class Tile(NamedTuple):
    """A figure under the bar."""

    name: str
    value: str
    remark: str = ""


def tiles(status: RunStatus, before: float | None, machine: Machine) -> str:
    """The figures under the bar. `before`: the held-out loss of the base, where it is known."""
    if status.loss is None and not status.step:
        return ""
    was = "" if status.first_loss is None else f"was {loss_figure(status.first_loss)}"
    held_out = "" if before is None else f"was {loss_figure(before)}"
    shown = [
        Tile("Loss", _figure(status.loss, loss_figure), was),
        Tile("Held-out loss", _figure(status.held_out_loss, loss_figure), held_out),
        Tile("Speed", _figure(status.tokens_per_second, "{:,.0f}".format), "tokens/s"),
        _memory(status, machine),
    ]
    return "".join(f"<div><dt>{one.name}</dt><dd>{one.value} <small>{one.remark}</small></dd></div>" for one in shown)


def _memory(status: RunStatus, machine: Machine) -> Tile:
    """Of what, and whose: a bare number says neither."""
    if not status.memory_mb:
        return Tile("Memory", NO_FIGURE)
    used, total = status.memory_mb / 1024, machine.total / 2**30
    name = "GPU memory, peak" if machine.kind == "cuda" else "Memory, this run's process"
    return Tile(name, f"{used:.1f}", f"of {total:.0f} GB")


def actions(run: Run, status: RunStatus, may_change: bool, may_open: bool = True, is_recommended: bool = True) -> str:
    """What the visitor can do with this run now, as buttons; the script turns a click into an event of the same
    name. `is_recommended`: is chatting the next step? Not with an adapter that is broken.
    """
    if status.state == "queued":
        return _button("unqueue", "Take it out of the queue") if may_change else ""
    talk = run.newest_adapter() is not None
    if status.is_active:
        return _of_a_live_one(run, status, talk, may_change)
    buttons = []
    if talk:
        buttons.append(_button("chat", _chat_words(run), "main" if is_recommended else ""))
    if talk and may_change:
        buttons.append(_button("test", "Test it on a file"))
    if talk and may_open:
        buttons.append(_button("use", "Use it elsewhere"))
    if may_change and status.state in RESUMABLE:
        buttons.append(_button("resume", "Try again" if status.state == "failed" else "Resume", "" if talk else "main"))
    if may_change:
        buttons.append(_button("again", "Train again…"))
    return "".join(buttons)


def _of_a_live_one(run: Run, status: RunStatus, talk: bool, may_change: bool) -> str:
    buttons = []
    if talk:
        buttons.append(_button("chat", f"{_chat_words(run)} as it is now"))
    else:
        buttons.append('<button type="button" disabled aria-describedby="why-no-chat">Chat with it</button>')
    if may_change and status.state == "stopping":
        buttons.append('<button type="button" disabled>Stopping…</button>')
    elif may_change:
        buttons.append(_button("stop", "Stop and keep"))
        buttons.append(_button("ask-discard", "Stop without saving…", "bad"))
    if may_change and status.silence:
        buttons.append(_button("kill", "End it now", "bad"))
    why = "" if talk else '<small id="why-no-chat">Chat opens with the first checkpoint.</small>'
    return "".join(buttons) + why


def _chat_words(run: Run) -> str:
    return "Chat with it" if run.task().is_chat else "Try it"


def _button(event: str, words: str, kind: str = "") -> str:
    return f'<button type="button" class="{kind}" data-do="{event}">{words}</button>'


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
