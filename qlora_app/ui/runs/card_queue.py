"""What waits: below the run that is being trained, and on the card of one that waits itself."""

from collections.abc import Sequence
from html import escape

from ...formatting import about
from ...launch.turns import Waiting
from ...runs import Run, address_of
from ..line_buttons import move_buttons, row_marks
from .card_parts import title_of


def queue(waiting: Sequence[Waiting], may_change: bool) -> str:
    """The line under the curve: the runs that come after this."""
    runs = [(one.job, one.starts_in) for one in waiting if isinstance(one.job, Run)]
    if not runs:
        return ""
    line = [address_of(run) for run, _ in runs]
    rows = [_row(place, run, begins, line, may_change) for place, (run, begins) in enumerate(runs, start=1)]
    return f"<h3>Waiting after this</h3><ol>{''.join(rows)}</ol>"


def _row(place: int, run: Run, starts_in: float | None, line: Sequence[str], may_change: bool) -> str:
    address = line[place - 1]
    buttons = ""
    if may_change:
        out = (
            f'<button type="button" class="out" data-do="unqueue" data-job="{escape(address)}" '
            f'data-run="{escape(run.id)}" title="Take it out of the queue" '
            'aria-label="Take it out of the queue">✕</button>'
        )
        moving = move_buttons(address, line) if len(line) > 1 else ""
        buttons = f'<span class="moves">{moving}{out}</span>'
    marks = row_marks(address) if may_change and len(line) > 1 else ""
    return (
        f'<li{marks}><span class="place">{place}</span><button type="button" class="link" data-show="{escape(run.id)}" '
        f'translate="no">{escape(title_of(run))}</button> <span class="quiet">{starts_words(starts_in)}</span>'
        f"{buttons}</li>"
    )


def starts_words(seconds: float | None) -> str:
    """When it begins, as one says it beforehand; empty where that is not known."""
    return "" if seconds is None else f"starts in about {about(seconds)}"


def own_turn(place: int, before: Run | None, seconds: float | None) -> str:
    """On the card of a run that waits: the how-manieth it is, and what is trained now."""
    if before is None:
        return ""
    words = f"Number {place} in the queue."
    when = f" It starts in about {about(seconds)}." if seconds is not None else ""
    return (
        f'<p class="note">{words}{when} Being trained now: '
        f'<button type="button" class="link" data-show="{escape(before.id)}" translate="no">'
        f"{escape(title_of(before))}</button></p>"
    )
