"""The buttons with which somebody who waits is moved up and down in line; line.js does the same by drag."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

SCRIPT = (Path(__file__).parent / "line.js").read_text(encoding="utf-8")


def move_buttons(address: str, line: Sequence[str]) -> str:
    """`line`: the addresses of those that wait, as they are shown. At an end a button stays, so that the focus does."""
    place = line.index(address)
    above = line[place - 1] if place else ""
    below = line[place + 1] if place + 1 < len(line) else ""
    up = _button("up", "↑", "Move up", address, above, "before")
    return up + _button("down", "↓", "Move down", address, below, "after")


def _button(name: str, sign: str, words: str, address: str, beside: str, side: str) -> str:
    off = "" if beside else ' aria-disabled="true"'
    return (
        f'<button type="button" class="move" data-do="{name}" data-job="{escape(address)}" '
        f'data-beside="{escape(beside)}" data-side="{side}" title="{words}" aria-label="{words}"{off}>{sign}</button>'
    )


def row_marks(address: str) -> str:
    """The attributes of a row that can be dragged."""
    return f' draggable="true" data-waits="{escape(address)}"'
