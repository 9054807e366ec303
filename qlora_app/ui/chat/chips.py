"""Examples as buttons: a click asks them, or puts them into the box."""

from collections.abc import Sequence
from html import escape

LONGEST_SHOWN = 90  # characters


def chips(texts: Sequence[str], called: str) -> str:
    """`called`: what a screen reader says of them all; "" where there are none."""
    buttons = "".join(
        f'<button type="button" data-question="{escape(text)}" translate="no">{escape(_shown(text))}</button>'
        for text in texts
    )
    return f'<div class="chips" role="group" aria-label="{called}">{buttons}</div>' if buttons else ""


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 2]}…"
