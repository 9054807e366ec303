"""What every evaluator is to the rest of the app: one file, a class with its settings and what it measures."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from ..chance import Z, wilson
from ..choices import Choices
from ..inference.answerer import Answerer, Progress
from ..tasks import Question
from ..tasks.asked import Asked


@dataclass(frozen=True)
class Figure:
    """A mean over questions, with the interval that holds the true one 95 times of 100."""

    value: float
    questions: int
    low: float
    high: float

    @classmethod
    def mean_of(cls, scores: Sequence[float]) -> "Figure":
        """The mean of scores from 0 to 1, one a question. Where all are 0 or 1, the interval is Wilson's (1927)."""
        count = len(scores)
        if not count:
            return cls(0.0, 0, 0.0, 1.0)
        mean = sum(scores) / count
        if all(score in (0.0, 1.0) for score in scores):
            low, high = wilson(mean, count)
        else:
            variance = sum((score - mean) ** 2 for score in scores) / max(1, count - 1)
            margin = Z * math.sqrt(variance / count)
            low, high = max(0.0, mean - margin), min(1.0, mean + margin)
        return cls(mean, count, low, high)


@dataclass(frozen=True)
class Row:
    """One question with its right answer, what was answered, and the score of that from 0 to 1."""

    question: str
    expected: str
    answer: str
    score: float


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found out about one answerer."""

    evaluator: str
    answerer: str
    figures: dict[str, Figure]  # by name; the first is the one people are told
    rows: list[Row] = field(default_factory=list)

    @property
    def misses(self) -> list[Row]:
        """The rows that are not wholly right."""
        return [row for row in self.rows if row.score < 1.0]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Evaluation":
        figures = {name: Figure(**figure) for name, figure in values["figures"].items()}
        rows = [Row(**row) for row in values["rows"]]
        return cls(values["evaluator"], values["answerer"], figures, rows)


class Evaluator(Choices):
    """Asks every question and scores each answer. A subclass has a `name: Literal[...]`, settings, a title, `score`."""

    title: ClassVar[str]  # what it measures, in words: "Answered word for word"

    def score(self, question: Question, answer: str) -> float:
        """From 0 to 1, how right an answer is. `question.expected` is the right one."""
        raise NotImplementedError

    def run(self, answerer: Answerer, questions: Sequence[Asked], on_progress: Progress) -> Evaluation:
        """Ask them all and score what comes. `on_progress` hears how many of how many are answered."""
        answers = answerer.answers(questions, on_progress)
        rows = []
        for asked, answer in zip(questions, answers, strict=True):
            question = asked.question
            rows.append(Row(question.text, question.expected, answer, self.score(question, answer)))
        name = type(self).model_fields["name"].default
        return Evaluation(name, answerer.name, {name: Figure.mean_of([row.score for row in rows])}, rows)
