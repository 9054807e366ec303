"""What happened to a training on its way that somebody should know: a line each in events.jsonl, never taken back."""

from typing import Any, TypedDict

from ..errors import Problem, sentence_of, with_code


class Event(TypedDict, total=False):
    """One line. The sentence keeps its code and values, so that it can be said in another language."""

    step: int
    seconds: float  # trained until then, in all parts of the run, and what was not saved as often as it was trained
    tokens: int  # learned from until then, counted likewise
    sentence: str
    code: str
    values: dict[str, Any]


def event_row(step: int, seconds: float, tokens: int, sentence: Problem) -> dict[str, Any]:
    """The line of an event."""
    return with_code({"step": step, "seconds": seconds, "tokens": tokens, "sentence": sentence})


def said_of(row: Any) -> str:
    """The sentence of an event as it is kept: a problem again, which knows its code and values; empty of none."""
    return sentence_of(row) if isinstance(row, dict) and isinstance(row.get("sentence"), str) else ""
