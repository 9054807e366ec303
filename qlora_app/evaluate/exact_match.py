"""Exact match: is the answer the right one word for word, blanks at its ends aside?"""

from typing import ClassVar, Literal

from ..tasks import Question
from ..tasks.task import same_answer
from .evaluator import Evaluator


class ExactMatch(Evaluator):
    """The strictest measure, and the one a proof is made of."""

    name: Literal["exact_match"] = "exact_match"
    title: ClassVar[str] = "Answered word for word"

    def score(self, question: Question, answer: str) -> float:
        return float(same_answer(answer, question.expected))
