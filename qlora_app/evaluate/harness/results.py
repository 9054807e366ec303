"""What lm-eval found out about a task, as a row that is kept."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...chance import wilson
from ..figures import Figure
from .documents import asked_in
from .tasks import TASKS


@dataclass(frozen=True)
class TaskResult:
    """value: the mean of `scores`, one a question, each from 0 to 1. stderr: lm-eval's; None where it gives none.

    documents: SHA-256 of all that was asked. cut: prompts that lost their beginning, for which there was no room.
    asked: {question, category, expected, answer} of each score; none of results that an earlier version kept.
    """

    task: str
    metric: str
    value: float
    stderr: float | None
    scores: list[float]
    documents: str
    shots: int
    cut: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def words(self) -> str:
        one = mean_of([self])
        return f"{one.value:.1%} {self.metric} ({one.low:.1%} to {one.high:.1%}), {one.questions:,} questions"

    def to_row(self) -> dict[str, Any]:
        told = {"id": self.task, "question": self.task, "category": self.task, "answer": self.words, "expected": ""}
        return told | {"questions": len(self.scores)} | vars(self)

    @classmethod
    def from_row(cls, row: Any) -> "TaskResult":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name in row})


def result_of(task: str, found: dict[str, Any], cut: int = 0) -> TaskResult:
    """found: what lm-eval's `simple_evaluate` returns, with its samples."""
    known = TASKS[task]
    figures = found["results"][task]
    named = [
        (name, sample)
        for name in sorted(found["samples"])
        for sample in sorted(found["samples"][name], key=lambda sample: int(sample["doc_id"]))
        if sample.get("filter", "none") == known.filter
    ]
    samples = [sample for _, sample in named]
    stderr = figures.get(f"{known.metric}_stderr,{known.filter}")
    documents = _digest([sample["doc_hash"] for sample in samples])
    shots = {int(found["n-shot"][name]) for name in found["samples"]}
    return TaskResult(
        task,
        known.metric,
        float(figures[f"{known.metric},{known.filter}"]),
        float(stderr) if isinstance(stderr, int | float) and math.isfinite(stderr) else None,
        [float(sample[known.metric]) for sample in samples],
        documents,
        max(shots),
        cut,
        [asked_in(sample, name, known.metric, bool(max(shots))) for name, sample in named],
    )


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def mean_of(results: Sequence[TaskResult]) -> Figure:
    """The mean over tasks, each counting the same; its standard error: the root of the sum of theirs, squared, by how
    many they are. The interval is Wilson's of as many questions as would have that standard error.
    """
    count = sum(len(one.scores) for one in results)
    if not count:
        return Figure(0.0, 0, 0.0, 1.0)
    value = sum(one.value for one in results) / len(results)
    spread, square = value * (1 - value), 0.0
    for one in results:
        own = one.stderr or math.sqrt(spread / len(one.scores))  # without a spread it had no width
        square += (own / len(results)) ** 2
    return Figure(value, count, *wilson(value, spread / square if spread else count))
