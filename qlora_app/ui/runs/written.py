"""What a person or a model wrote, as HTML, with a mark where it is an answer."""

from html import escape
from typing import Any

from ...runs.rows import SampleRow
from ...tasks.task import same_answer

LONGEST_CELL = 2000  # characters of a question or an answer
NOTHING = '<span class="quiet">(nothing)</span>'


def written(text: Any) -> str:
    """What a person or a model wrote."""
    words = str(text or "").strip()[:LONGEST_CELL]
    return f'<span translate="no">{escape(words)}</span>' if words else NOTHING


def right_mark(answer: str, expected: str) -> str:
    """Whether an answer is the expected one; "" where none is."""
    if not expected:
        return ""
    return mark(same_answer(answer, expected))


def mark(is_right: bool) -> str:
    """A tick or a cross."""
    if is_right:
        return '<span class="right" role="img" aria-label="right" title="right">✓</span>'
    return '<span class="wrong" role="img" aria-label="wrong" title="wrong">✗</span>'


def by_question(rows: list[SampleRow]) -> dict[str, list[SampleRow]]:
    """Sample answers by the question they answer, oldest first."""
    asked: dict[str, list[SampleRow]] = {}
    for row in rows:
        asked.setdefault(str(row.get("question", "")), []).append(row)
    return asked
