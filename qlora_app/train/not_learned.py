"""Every row meets the template, the tokenizer and the length before the first step; what cannot be learned is said with
its row.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..tasks.dataset import EncodedExamples, NotLearned
from ..training_data import Examples

REPORT_EVERY = 1.0  # seconds


def meet(train: EncodedExamples, held_out: EncodedExamples, say: Callable[[str], None]) -> None:
    """Encode all examples and leave out those that teach nothing. Raises UserError where none of those to train on is
    left.
    """
    reported_at = time.monotonic()

    def progress(done: int, of: int) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at > REPORT_EVERY:
            reported_at = time.monotonic()
            say(f"Cutting the data into tokens: {done:,} of {of:,} examples.")

    train.meet_all(progress)
    train.cache.save()
    if len(held_out):
        held_out.meet_all(progress, may_be_none=True)
        held_out.cache.save()


def not_learned_words(train: EncodedExamples, held_out: EncodedExamples, examples: Examples) -> list[str]:
    """Sentences with how many rows are not learned, or not wholly, and why the first of them is not."""
    words = []
    for part, rows, name in ((train, examples.train_rows, "rows"), (held_out, examples.held_out_rows, "held-out rows")):
        whole = f"of {len(part.given):,} {name}"
        words += _words(part.left_out, rows, f"Left out: {{count:,}} {whole} cannot be learned from with this model")
        words += _words(part.partly_learned, rows, f"In {{count:,}} {whole} not every answer is learned")
    return words


def _words(noted: Sequence[NotLearned], rows: Sequence[int], sentence: str) -> list[str]:
    if not noted:
        return []
    count = len({one.place for one in noted})
    return [f"{sentence.format(count=count)}. The first: row {_row(noted[0].place, rows)}: {noted[0].reason}"]


def not_learned_rows(train: EncodedExamples, held_out: EncodedExamples, examples: Examples) -> list[dict[str, Any]]:
    """All of them, as they are kept in the run: [{part, row, reason}]."""
    listed = []
    for part, rows, name in ((train, examples.train_rows, "train"), (held_out, examples.held_out_rows, "held_out")):
        noted = sorted({*part.left_out, *part.partly_learned})
        listed += [{"part": name, "row": _row(one.place, rows), "reason": one.reason} for one in noted]
    return listed


def _row(place: int, rows: Sequence[int]) -> int:
    return int(rows[place]) if len(rows) > place else place + 1
