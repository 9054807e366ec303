"""ROUGE-L and chrF: how much of the right answer's wording an answer has.

ROUGE-L (Lin 2004, ROUGE: A package for automatic evaluation of summaries) is that of a proof. chrF (Popović 2015, chrF:
character n-gram F-score for automatic MT evaluation) is that of sacreBLEU for a sentence: n-grams of 1 to 6 characters
without blanks, recall counting twice as much.
"""

from collections import Counter
from typing import ClassVar, Literal

from ..tasks import Question
from ..tasks.scores import rouge_l
from .evaluator import Evaluator

ORDER, BETA = 6, 2  # of chrF


class RougeL(Evaluator):
    """For summaries, and other answers of several sentences."""

    name: Literal["rouge_l"] = "rouge_l"
    title: ClassVar[str] = "ROUGE-L: words in the order of the right answer"

    def score(self, question: Question, answer: str) -> float:
        return rouge_l([answer], [question.expected])


class ChrF(Evaluator):
    """For translations, and languages without blanks between words."""

    name: Literal["chrf"] = "chrf"
    title: ClassVar[str] = "chrF: pieces of words in common with the right answer"

    def score(self, question: Question, answer: str) -> float:
        given, wanted = "".join(answer.split()), "".join(question.expected.split())
        precision = recall = 0.0
        orders = 0
        for order in range(1, ORDER + 1):
            ours, theirs = _pieces(given, order), _pieces(wanted, order)
            if not ours or not theirs:  # one of them is too short
                continue
            common = (ours & theirs).total()
            precision += common / ours.total()
            recall += common / theirs.total()
            orders += 1
        if not precision:
            return 0.0
        precision, recall = precision / orders, recall / orders
        return (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)


def _pieces(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))
