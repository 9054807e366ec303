"""What a run answered at a point of its curve that somebody chose: at the step nearest to it at which it was asked."""

from collections.abc import Sequence
from html import escape

from ...runs.rows import AskedRow, SampleRow
from .card_asked import asked_one, step_of
from .card_samples import sample_at, step_of_sample
from .written import by_question

MOST_STEPS = 8  # offered as buttons


def answered_steps(samples: Sequence[SampleRow], asked: Sequence[AskedRow]) -> list[int]:
    """The steps at which it answered anything, in their order; the base, step 0, stands beside each of them."""
    return sorted({*map(step_of_sample, samples), *map(step_of, asked)} - {0})


def pinned_part(samples: Sequence[SampleRow], asked: Sequence[AskedRow], at: int | None, language: str) -> str:
    """Every question of that step with the base's answer, the one of then and the expected one; `at` None: how a point
    is chosen.
    """
    steps = answered_steps(samples, asked)
    if not steps:
        return ""
    chosen = None if at is None else min(steps, key=lambda step: (abs(step - at), step))
    heading = f"<h3>{_title(chosen)}</h3>{_buttons(steps, chosen)}"
    if chosen is None:
        return f'<div class="heading">{heading}</div>'
    rows = by_question(list(samples)).items()
    shown = [sample_at(question, answers, chosen) for question, answers in rows]
    shown += [asked_one(row, language) for row in asked if step_of(row) == chosen]
    return f'<div class="heading">{heading}</div>{"".join(shown)}'


def _title(chosen: int | None) -> str:
    if chosen is None:
        return "Select a point of the curve: what it answered then"
    return f"What it answered at step {chosen:,}"


def _buttons(steps: list[int], chosen: int | None) -> str:
    """Some of the steps, evenly spread, the chosen and the last among them; and a way out."""
    every = -(-len(steps) // MOST_STEPS)
    offered = sorted({*steps[::-every], *([chosen] if chosen is not None else [])})
    buttons = "".join(
        f'<button type="button" data-at="{step}" aria-pressed="{str(step == chosen).lower()}">{step:,}</button>'
        for step in offered
    )
    close = ""
    if chosen is not None:
        close = f'<button type="button" class="close" data-at="{escape(str(chosen))}" aria-label="Close">✕</button>'
    return f'<span class="steps" role="group" aria-label="Answers at a step">{buttons}{close}</span>'
