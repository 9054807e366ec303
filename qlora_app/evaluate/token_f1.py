"""Token F1: how many words of the answer and of the right one are the same, whatever their order.

As SQuAD scores answers (Rajpurkar et al. 2016, arXiv 1606.05250), without leaving out articles and punctuation, which
are an English custom.
"""

from collections import Counter
from typing import ClassVar, Literal

from ..tasks import Question
from .evaluator import Evaluator


class TokenF1(Evaluator):
    """For answers that may be right in more than one wording."""

    name: Literal["token_f1"] = "token_f1"
    title: ClassVar[str] = "Words in common with the right answer"

    def score(self, question: Question, answer: str) -> float:
        given, wanted = answer.lower().split(), question.expected.lower().split()
        if not given or not wanted:
            return float(given == wanted)
        common = sum((Counter(given) & Counter(wanted)).values())
        return 2 * common / (len(given) + len(wanted))
