"""Votes to take along: as rows for `ratings`, and as pairs to train on."""

from collections.abc import Iterator
from typing import Any

from .arena import Arena, Vote


def rows_of(arena: Arena) -> Iterator[dict[str, Any]]:
    """A row a vote, with what was asked and answered. model_a stood on the left."""
    for vote in arena.votes():
        asked = arena.questions[vote.question]
        answers = {"answer_a": asked.answers[vote.model_a], "answer_b": asked.answers[vote.model_b]}
        yield {**vars(vote), "prompt": asked.text, **answers}


def preferences_of(arena: Arena) -> Iterator[dict[str, Any]]:
    """{"prompt": [message], "chosen": [message], "rejected": [message], "source"} of each vote for one of two, as TRL
    reads them.
    """
    for vote in arena.votes():
        if vote.winner == "tie":
            continue
        asked, better, worse = arena.questions[vote.question], *_sides(vote)
        yield {
            "prompt": [{"role": "user", "content": asked.text}],
            "chosen": [{"role": "assistant", "content": asked.answers[better]}],
            "rejected": [{"role": "assistant", "content": asked.answers[worse]}],
            "source": {"from": "arena", "arena": arena.id, "answered": better, "rejected": worse, "rater": vote.rater},
        }


def _sides(vote: Vote) -> tuple[str, str]:
    """(the better one, the other)"""
    return (vote.model_a, vote.model_b) if vote.winner == "a" else (vote.model_b, vote.model_a)
