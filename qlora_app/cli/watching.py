"""A job seen from a terminal: a progress bar while it is worked on."""

import math
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ..formatting import duration, loss_figure, sparkline
from ..jobs import Job, Status
from ..runs import Run, RunStatus
from ..runs.reported import reported
from ..usage import Usage, usage_in

_DRAWN_EVERY = 1.5  # seconds between two looks at its curve
_EVERY = 0.3  # seconds between two looks at the job's folder


def watch(job: Job, console: Console) -> Status:
    """Show the job until it ends; returns its last status. A terminal gets a moving bar, a file a line now and then."""
    said = _Reported(console)
    if console.is_terminal:
        return _watch_moving(job, console, said)
    return _watch_in_lines(job, console, said)


class _Reported:
    """Says once where the measurements can be looked at too, as soon as that is known."""

    def __init__(self, console: Console) -> None:
        self._console, self._line = console, ""

    def look(self, job: Job) -> None:
        found = reported(job) if isinstance(job, Run) else None
        if found is not None and found.in_a_line() != self._line:
            self._line = found.in_a_line()
            self._console.print(Text(self._line), soft_wrap=True)


def _watch_moving(job: Job, console: Console, said: _Reported) -> Status:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=None, figures="")
        drawn, drawn_at = "", -math.inf
        while not (status := job.status()).has_ended:
            total = None if status.progress is None else 1  # None: a bar that moves to and fro
            done = status.progress or 0
            if time.monotonic() - drawn_at > _DRAWN_EVERY:
                drawn, drawn_at = loss_line(job), time.monotonic()
                said.look(job)
            words = " ".join(filter(None, [drawn, figures(status), usage_line(usage_in(job.folder))]))
            progress.update(bar, description=status.state, completed=done, total=total, figures=words)
            time.sleep(_EVERY)
    return status


def _watch_in_lines(job: Job, console: Console, said: _Reported) -> Status:
    """A line whenever the state changes and at every tenth of the work."""
    last_shown = None
    while not (status := job.status()).has_ended:
        tenth = int(10 * (status.progress or 0))
        silence = getattr(status.silence, "code", "")
        if last_shown != (last_shown := (status.state, tenth, silence)):
            line = status.silence or status.sentence or status.state
            if status.step and not silence:
                line = f"{status.state}: {figures(status)}"
            console.print(Text(line), soft_wrap=True)
            said.look(job)
        time.sleep(_EVERY)
    return status


def loss_line(job: Job) -> str:
    """The training loss so far as a line of blocks; empty where there are not two points of it."""
    if not isinstance(job, Run):
        return ""
    losses = job.curve().points()["y"]
    return sparkline(losses) if len(losses) > 1 else ""


def usage_line(usage: Usage | None) -> str:
    """· CPU 83% · GPU 97% · 71 °C · 310 W: what is known of the machine; empty of nothing."""
    if usage is None:
        return ""
    parts = [f"{name} {share:.0%}" for name, share in (("CPU", usage.cpu), ("GPU", usage.gpu)) if share is not None]
    if usage.temperature is not None:
        parts.append(f"{usage.temperature:.0f} °C")
    if usage.power is not None:
        parts.append(f"{usage.power:.0f} W")
    return "".join(f"· {part} " for part in parts).strip()


def figures(status: Status) -> str:
    """step 40/200 · loss 3.10 -> 0.52 · 5,210 tokens/s · 31 s left; of other work than training its sentence; of what
    hangs for how long
    """
    if status.silence:
        return status.silence
    return _of_training(status) if isinstance(status, RunStatus) else status.sentence


def _of_training(status: RunStatus) -> str:
    if status.downloaded is not None:
        return status.sentence
    parts = [f"step {status.step}/{status.total}"] if status.total else []
    if status.loss is not None:
        parts.append(f"loss {_before(status.first_loss)}{loss_figure(status.loss)}")
    if status.tokens_per_second:
        parts.append(f"{status.tokens_per_second:,.0f} tokens/s")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    return " · ".join(parts)


def _before(loss: float | None) -> str:
    if loss is None:
        return ""
    return f"{loss_figure(loss)} -> "
