"""Examples as buttons: a click asks them, or puts them into the box."""

from collections.abc import Sequence
from html import escape

from ... import starter
from ...errors import UserError
from ...preflight import examples_of
from ...runs import Run
from ...runs.recipes import recipe_of
from ..context import AppContext

EXAMPLES = 6
LONGEST_SHOWN, LONGEST_ASKED = 90, 400  # characters


def example_questions(page: AppContext, run: Run) -> list[str]:
    """What may be asked of a run: the starter dataset's own questions, else held-out ones of the person's file."""
    recipe = recipe_of(run)
    if recipe is None or not page.may_show(recipe.dataset):
        return []
    if recipe.dataset.source == "starter":
        known = starter.DATASETS.get(recipe.dataset.id)
        return known.questions[:EXAMPLES] if known else []
    try:
        examples = examples_of(recipe.dataset, page.settings.data)
    except UserError:
        return []  # the file is gone; the adapter can be talked to all the same
    asked = examples.held_out or examples.train[:EXAMPLES]
    first = [next((turn["content"] for turn in one if turn["role"] == "user"), "") for one in asked]
    return [text for text in dict.fromkeys(first) if 0 < len(text) <= LONGEST_ASKED][:EXAMPLES]


def chips(texts: Sequence[str], called: str) -> str:
    """`called`: what a screen reader says of them all; "" where there are none."""
    buttons = "".join(
        f'<button type="button" data-question="{escape(text)}" translate="no">{escape(_shown(text))}</button>'
        for text in texts
    )
    return f'<div class="chips" role="group" aria-label="{called}">{buttons}</div>' if buttons else ""


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 2]}…"
