"""The drawer as HTML: every job that moves, and this machine. Every word in it that a person wrote is escaped here."""

from collections.abc import Sequence
from html import escape

from ... import hardware
from ...doctor import BROKEN, GOOD, Finding
from ...formatting import gigabytes, left, size
from ...hardware import Machine
from ...jobs import RESUMABLE
from ...tidy import Usage
from ..language import problem_in
from ..line_buttons import move_buttons, row_marks
from ..runs.card_parts import STATES
from .checkup import Checkup
from .work import WorkLine

LITTLE, TIGHT = 1e9, 0.1  # bytes, and the share, of memory that is free
MARKS = {GOOD: "✓", BROKEN: "✕"}


def work_chip(lines: Sequence[WorkLine]) -> str:
    """What runs or waits, in one line; empty where nothing does."""
    if not lines:
        return ""
    first, others = lines[0], len(lines) - 1
    words = STATES["queued"] if first.waits else first.figures
    more = f'<span class="more">+{others}</span>' if others else ""
    dot = "queued" if first.waits else "live"
    return (
        f'<span class="dot {dot}"></span><span class="name" translate="no">{escape(first.name)}</span>'
        f'<span class="figures">{words}</span>{more}'
    )


def machine_level(machine: Machine, checkup: Checkup) -> tuple[str, str]:
    """("good", "tight" or "bad", the word that says why)."""
    if machine.free < LITTLE and machine.kind == "cpu":
        return "bad", "Little memory"
    if checkup.level == BROKEN:
        return "bad", "Needs mending"
    return ("tight" if machine.free < TIGHT * machine.total else "good"), ""


def machine_chip(machine: Machine, checkup: Checkup) -> str:
    """Its dot, what it computes with, and how much of its memory is taken."""
    level, word = machine_level(machine, checkup)
    kind = "GPU" if machine.kind == "cuda" else "CPU"
    said = f'<b class="word">{word}</b>' if word else ""
    return f'<span class="dot {level}"></span><span class="figures">{kind} {_taken(machine)}</span>{said}'


def _taken(machine: Machine) -> str:
    taken = (machine.total - machine.free) / 2**30
    return f"{taken:.1f} of {machine.total / 2**30:.0f} GB"


# ---- what moves


def jobs_part(
    lines: Sequence[WorkLine], ended: Sequence[WorkLine], language: str, may_change: bool, may_hurry: bool
) -> str:
    """The lines of what runs and waits, and below them what ended before its time and can go on. may_hurry: may those
    who look start something beside what is worked on?
    """
    if not lines and not ended:
        return '<p class="quiet">Nothing runs or waits.</p>'
    waiting = [line.address for line in lines if line.waits]
    rows = "".join(_row(line, language, may_change, may_hurry, waiting) for line in (*lines, *ended))
    return f'<ul class="work">{rows}</ul>'


def _row(line: WorkLine, language: str, may_change: bool, may_hurry: bool, waiting: Sequence[str]) -> str:
    dot = "live" if line.state in ("starting", "running", "stopping") else line.state
    buttons = _buttons(line, waiting, may_hurry) if may_change else ""
    kind = ' class="waits"' if line.waits else ""
    marks = row_marks(line.address) if may_change and line.waits and len(waiting) > 1 else ""
    return (
        f'<li{marks}{kind}><span class="dot {dot}"></span><div class="about"><p><b>{escape(_word(line))}</b> '
        f'<span class="name" translate="no">{escape(line.name)}</span></p>{_bar(line)}'
        f"{_small(line, language, may_change)}</div>{buttons}</li>"
    )


def _word(line: WorkLine) -> str:
    """A training is called by its state, any other job by its kind while it is worked on."""
    is_working = line.state in ("starting", "running")
    return STATES[line.state] if line.kind == "Training" or not is_working else line.kind


def _bar(line: WorkLine) -> str:
    if line.progress is None or line.waits or line.state in RESUMABLE:
        return ""
    share = 100 * min(1.0, line.progress)
    return (
        f'<div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div>'
    )


def _small(line: WorkLine, language: str, may_change: bool) -> str:
    """The figures; of what waits when it starts; to the owner also what it says of itself."""
    parts = [line.figures] if line.figures else []
    if line.waits:
        parts.append(f"Number {line.place} in the queue")
    if line.starts_in is not None:
        parts.append(f"starts in about {left(line.starts_in)}")
    said = f"<small>{' · '.join(parts)}</small>" if parts else ""
    if not may_change:
        return said
    is_plain = line.kind == "Training" and line.state not in RESUMABLE
    if line.sentence and not is_plain:
        said += f'<small translate="no">{escape(problem_in(line.sentence, language))}</small>'
    if line.silence:
        said += f'<small class="warning" translate="no">{escape(problem_in(line.silence, language))}</small>'
    return said


def _buttons(line: WorkLine, waiting: Sequence[str], may_hurry: bool) -> str:
    name = escape(line.name)
    if line.state in RESUMABLE:
        resume = "Try again" if line.state == "failed" else "Resume"
        made = _button("resume", resume, line) + _button("dismiss", "Dismiss", line)
    elif line.waits:
        moving = move_buttons(line.address, waiting) if len(waiting) > 1 else ""
        now = _button("now", "Start now", line) if may_hurry else ""
        made = moving + now + _button("stop", "Take it out", line)
    elif line.state == "stopping":
        made = '<button type="button" disabled>Stopping…</button>'
    else:
        made = _button("stop", "Stop", line)
    if line.silence:
        made += _button("kill", "End it now", line)
    return f'<div class="do" role="group" aria-label="{name}">{made}</div>'


def _button(event: str, words: str, line: WorkLine) -> str:
    return f'<button type="button" data-do="{event}" data-job="{escape(line.address)}">{words}</button>'


# ---- the machine


def machine_part(checkup: Checkup) -> str:
    """GPU, memory, disk, and what the doctor found."""
    computing, memory = hardware.here(), hardware.main_memory()
    gpu = _meter("GPU", computing, "") if computing.kind == "cuda" else _no_gpu()
    return (
        f'<dl class="meters">{gpu}{_meter("Memory", memory, "")}{_disk(checkup)}</dl>'
        f"{_findings(checkup)}{_versions(checkup.findings)}"
    )


def _no_gpu() -> str:
    return (
        "<div><dt>GPU</dt><dd>None: models are trained on the processor. The starter takes minutes, a model of a "
        "billion parameters hours.</dd></div>"
    )


def _meter(name: str, machine: Machine, more: str) -> str:
    share = 100 * (1 - machine.free / machine.total) if machine.total else 0
    words = f"{(machine.total - machine.free) / 2**30:.1f} of {gigabytes(machine.total)}"
    return f"<div><dt>{name}</dt><dd>{_gauge(share)}<span>{words}</span>{more}</dd></div>"


def _gauge(share: float) -> str:
    level = "full" if share > 100 * (1 - TIGHT) else ""
    return f'<span class="gauge {level}"><i style="width:{share:.0f}%"></i></span>'


def _disk(checkup: Checkup) -> str:
    usage = checkup.usage
    if usage is None:
        return '<div><dt>Disk</dt><dd class="quiet">Being measured…</dd></div>'
    share = 100 * usage.taken / usage.total if usage.total else 0
    words = f"{size(usage.taken)} of {size(usage.total)}"
    return f"<div><dt>Disk</dt><dd>{_gauge(share)}<span>{words}</span>{_tidy(usage, checkup)}</dd></div>"


def _tidy(usage: Usage, checkup: Checkup) -> str:
    runs = f"<small>Runs take {size(usage.runs)}.</small>"
    if checkup.is_tidying:
        return f"{runs}<small>Being tidied…</small>"
    freed = f"<small>{size(checkup.freed)} freed.</small>" if checkup.freed else ""
    if not usage.tidied:
        return f"{runs}{freed or '<small>Nothing needs tidying.</small>'}"
    return (
        f"{runs}{freed}<small>{size(usage.tidied)} can be made again at any time: tokens, data that was read, finished "
        "downloads and imports, answers of deleted evaluations. "
        '<button type="button" class="link" data-do="tidy">Tidy up</button></small>'
    )


def _findings(checkup: Checkup) -> str:
    mended = [one for one in checkup.mended() if one.name != "GPU"]  # it has a line of its own
    if not checkup.findings:
        return '<p class="quiet">Being looked at…</p>'
    good = sum(one.level == GOOD for one in checkup.findings)
    first = f'<p class="good"><span aria-hidden="true">✓</span> {good} things were looked at and are well.</p>'
    spaces = [
        one for one in checkup.findings if one.name == "Space" and one not in mended
    ]  # said even where all is well
    rows = "".join(_finding(one) for one in [*spaces, *mended])
    return f'<div class="findings">{first}<ul>{rows}</ul>{_examine(checkup)}</div>'


def _finding(one: Finding) -> str:
    mark = MARKS.get(one.level, "!")
    advice = f"<small>{escape(one.advice)}</small>" if one.advice else ""
    return (
        f'<li class="{escape(one.level)}"><span aria-hidden="true">{mark}</span><div><p><b>{escape(one.name)}</b> '
        f"<span>{escape(one.value)}</span></p>{advice}</div></li>"
    )


def _examine(checkup: Checkup) -> str:
    if checkup.is_examining:
        return '<p class="quiet" role="status">Being tried out, which takes some seconds…</p>'
    tried = "" if checkup.is_whole else "<small>The GPU, 4-bit layers and the network were not tried yet.</small>"
    return f'<p class="examine"><button type="button" data-do="examine">Try everything out</button>{tried}</p>'


def _versions(findings: Sequence[Finding]) -> str:
    found = next((one.value for one in findings if one.name == "Versions"), "")
    return f'<p class="quiet versions" translate="no">{escape(found)}</p>' if found else ""
