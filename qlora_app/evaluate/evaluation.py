"""What an evaluation found out: figures with their intervals, and who is right where the other is wrong."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..chance import LEVEL
from ..errors import Problem
from ..storage.typed import filled, misfits
from .figures import Figure

RESULT = "result"  # .json in the job's folder
ROWS = "rows"  # .jsonl: a question with all answers and scores
How = Literal["right", "better", "more"]  # how two are told apart


@dataclass(frozen=True)
class Measured:
    """What one evaluator says of one contestant. The first figure is the one people are told."""

    contestant: str
    figures: dict[str, Figure]
    categories: dict[str, Figure] = field(default_factory=dict)  # the first figure, by category


@dataclass(frozen=True)
class Comparison:
    """Two contestants on the same questions. first_better, second_better: questions where one scored higher."""

    first: str
    second: str
    questions: int
    first_better: int
    second_better: int
    difference: float  # of the means, first minus second
    low: float | None  # the 95 % interval of the difference; None of a single question
    high: float | None
    p: float  # how often so large a difference would come by chance
    how: How = "right"

    @property
    def is_sure(self) -> bool:
        """Is it more than chance?"""
        return self.p < LEVEL

    @property
    def verdict(self) -> Problem:
        """Is it more than chance, in words?"""
        p = f"p = {self.p:.3f}" if self.p >= 0.001 else "p < 0.001"
        if self.is_sure:
            return Problem("evaluate.more_than_chance", "more than chance ({p})", p=p)
        return Problem("evaluate.no_more_than_chance", "no more than chance ({p})", p=p)

    @property
    def sentence(self) -> Problem:
        """For people."""
        if self.how == "right":
            return Problem(
                "evaluate.pair_right",
                "Of {count:,} questions {first} is right where {second} is wrong on {ahead:,}, and the other way round "
                "on {behind:,}: {verdict}.",
                count=self.questions,
                first=self.first,
                second=self.second,
                ahead=self.first_better,
                behind=self.second_better,
                verdict=self.verdict,
            )
        if self.how == "more":
            return Problem(
                "evaluate.pair_longer",
                "Of {count:,} questions {first} writes more on {ahead:,} and {second} on {behind:,}: {verdict}.",
                count=self.questions,
                first=self.first,
                second=self.second,
                ahead=self.first_better,
                behind=self.second_better,
                verdict=self.verdict,
            )
        return Problem(
            "evaluate.pair_better",
            "Of {count:,} questions {first} does better on {ahead:,} and {second} on {behind:,}: {verdict}.",
            count=self.questions,
            first=self.first,
            second=self.second,
            ahead=self.first_better,
            behind=self.second_better,
            verdict=self.verdict,
        )


@dataclass(frozen=True)
class Measure:
    """What one evaluator found out about all contestants."""

    evaluator: str
    title: str
    unit: str  # of its first figure: "share", or what it is counted in
    contestants: list[Measured]
    pairs: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what a reader must know, in sentences
    more: dict[str, Any] = field(default_factory=dict)  # what only this evaluator has

    def of(self, contestant: str) -> Measured | None:
        return next((one for one in self.contestants if one.contestant == contestant), None)


@dataclass(frozen=True)
class Unanswered:
    """Questions that a contestant did not answer: how many, and why the first."""

    contestant: str
    questions: int
    why: str


@dataclass(frozen=True)
class Evaluation:
    """What a job of the kind `evaluate` leaves. asked: the questions that all contestants answered."""

    questions: str  # the name of the set
    digest: str
    asked: int
    contestants: list[str]
    measures: list[Measure]
    answers: dict[str, str]  # {contestant: the file of its answers, beside the evaluations}
    unanswered: list[Unanswered] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """With the sentence of each pair, for scripts."""
        values = asdict(self)
        for measure, told in zip(self.measures, values["measures"], strict=True):
            for pair, one in zip(measure.pairs, told["pairs"], strict=True):
                one["words"] = str(pair.sentence)
        return values

    @classmethod
    def from_json(cls, values: Any) -> "Evaluation":
        """What an evaluator found out that cannot be read, as of another version, takes no other's away."""
        measures = values.get("measures") if isinstance(values, dict) else None
        if isinstance(measures, list):
            values = values | {"measures": [one for one in measures if not misfits(cls, {"measures": [one]})]}
        return filled(cls, values)
