"""What every evaluator is to the rest of the app: one file, a class with its settings and what it measures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..choices import Choices
from ..jobs import JobWriter
from ..settings import Settings
from ..tasks import Question
from .compare import Better, compared
from .contenders import Check, Contender
from .contestants import Contestant
from .decoding import AnswerDecoding
from .evaluation import Measure, Measured
from .figures import Figure
from .question_sets import QuestionSet, SetQuestion

Rows = Mapping[str, Mapping[str, Any]]  # {id of a question: the kept row of a contestant}


@dataclass(frozen=True)
class Said:
    """How far it is in the middle of a question, in words."""

    sentence: str


class Evaluator(Choices):
    """Scores each answer. A subclass has a `name: Literal[...]`, settings, a title, and `score`.

    One that needs something else than answers says what is kept for it (`kept_for`, `gather`); one for which an answer
    after the other is not enough has a `measure` of its own.
    """

    title: ClassVar[str]  # what it measures, in words: "Answered word for word"
    unit: ClassVar[str] = "share"  # of its figure
    highest: ClassVar[float] = 1.0  # a score may be
    needs_expected: ClassVar[bool] = True  # the right answers
    better: ClassVar[Better] = "higher"
    scores_answers: ClassVar[bool] = True  # one after the other, as `scores` says
    loads_model: ClassVar[bool] = False  # in a process of its own, so that nobody else has to

    def score(self, question: Question, answer: str) -> float:
        """From 0 to 1, how right an answer is. `question.expected` is the right one."""
        raise NotImplementedError

    @classmethod
    def goes_by_answer(cls) -> bool:
        """Is a share of right answers all that it finds out, without settings, so that `score` says it at once?"""
        is_a_share = cls.score is not Evaluator.score and cls.unit == "share" and cls.needs_expected
        return is_a_share and len(cls.model_fields) == 1

    # ---- what is gathered of each contestant

    def check(self, contestant: Contestant) -> None:
        """Raises UserError where such a contestant cannot be measured so."""

    def check_all(self, contestants: Sequence[Contestant], settings: Settings) -> None:
        """Raises UserError where something speaks against a start."""
        for contestant in contestants:
            self.check(contestant)

    def kept_for(self, decoding: AnswerDecoding) -> dict[str, Any]:
        """What the kept rows depend on, beside contestant and questions: evaluators of the same share their rows."""
        return {"decoding": decoding.model_dump(mode="json")}

    def gather(
        self, contender: Contender, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check
    ) -> Iterator[Any]:
        """What is to be kept, question by question: objects with a `row()`, or a `problem` instead; and `Said`."""
        return contender.answers(questions, decoding, check)

    # ---- what is found out

    def measure(
        self, gathered: Mapping[str, Rows], questions: QuestionSet, out: JobWriter, settings: Settings
    ) -> Measure:
        """gathered: {contestant: its rows} of the same questions. `out` is for those who work long."""
        asked = self.scored(questions)
        scores = {name: self.scores(asked, rows) for name, rows in gathered.items()}
        found = [self._measured(name, asked, scores[name], gathered[name]) for name in gathered]
        names = list(gathered)
        largest = self.highest if self.unit == "share" else math.inf
        pairs = [
            compared(names[i], names[k], scores[names[i]], scores[names[k]], self.better, largest)
            for i in range(len(names))
            for k in range(i + 1, len(names))
        ]
        name = type(self).model_fields["name"].default
        return Measure(name, self.title, self.unit, found, pairs, self.notes(questions, asked))

    def lines(self, rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Where a kept row stands for several questions, they as rows.jsonl has them. rows: {contestant: its row}."""
        return []

    def scored(self, questions: QuestionSet) -> list[SetQuestion]:
        """Those that can be measured."""
        if not self.needs_expected:
            return list(questions.questions)
        return [one for one in questions.questions if one.expected.strip()]

    def scores(self, asked: Sequence[SetQuestion], rows: Rows) -> list[float]:
        """One a question."""
        return [self.score(one.question, str(rows[one.id].get("answer", ""))) for one in asked]

    def figures(self, asked: Sequence[SetQuestion], scores: Sequence[float], rows: Rows) -> dict[str, Figure]:
        """The first is the one people are told."""
        name = type(self).model_fields["name"].default
        return {name: Figure.mean_of(scores, highest=self.highest)}

    def notes(self, questions: QuestionSet, asked: Sequence[SetQuestion]) -> list[str]:
        left = len(questions.questions) - len(asked)
        if not left:
            return []
        return [f"{left:,} of {len(questions.questions):,} questions have no right answer and are not counted."]

    def _measured(self, name: str, asked: Sequence[SetQuestion], scores: Sequence[float], rows: Rows) -> Measured:
        categories = {}
        for category in dict.fromkeys(one.category for one in asked if one.category):
            places = [place for place, one in enumerate(asked) if one.category == category]
            some, their = [asked[place] for place in places], [scores[place] for place in places]
            categories[category] = next(iter(self.figures(some, their, rows).values()))
        return Measured(name, self.figures(asked, scores, rows), categories)
