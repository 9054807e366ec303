"""What waits: below the run that is being trained, and on the card of one that waits itself."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from ...formatting import about
from ...runs import Run
from .card_parts import title_of


class Waiting(NamedTuple):
    """A run in the queue, and in how many seconds it begins; None where that cannot be said."""

    run: Run
    starts_in: float | None


def starts(waiting: Sequence[tuple[Run, float | None]], until: float | None) -> list[Waiting]:
    """When each begins. `waiting`: in their order, with how long each takes; `until`: seconds until the first may."""
    found = []
    for run, takes in waiting:
        found.append(Waiting(run, until))
        until = None if until is None or takes is None else until + takes
    return found


def queue(waiting: Sequence[Waiting], may_change: bool) -> str:
    """The line under the curve: what comes after this."""
    if not waiting:
        return ""
    lines = "".join(_line(place, one, may_change) for place, one in enumerate(waiting, start=1))
    return f"<h3>Waiting after this</h3><ol>{lines}</ol>"


def _line(place: int, one: Waiting, may_change: bool) -> str:
    name = title_of(one.run)
    out = (
        f'<button type="button" class="out" data-do="unqueue" data-run="{escape(one.run.id)}" '
        'title="Take it out of the queue" aria-label="Take it out of the queue">✕</button>'
        if may_change
        else ""
    )
    return (
        f'<li><span class="place">{place}</span><button type="button" class="link" data-show="{escape(one.run.id)}" '
        f'translate="no">{escape(name)}</button> <span class="quiet">{starts_words(one.starts_in)}</span>{out}</li>'
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
