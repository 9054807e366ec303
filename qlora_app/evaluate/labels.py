"""Accuracy and macro F1: for questions whose answers are labels, of which some may be rare."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ..tasks import Question
from ..tasks.scores import macro_f1
from .evaluator import Evaluator, Rows
from .figures import Figure
from .question_sets import SetQuestion


class Labels(Evaluator):
    """Capitals and blanks at the ends aside. Macro F1 counts every label the same, however rare it is."""

    name: Literal["labels"] = "labels"
    title: ClassVar[str] = "Right labels"

    def score(self, question: Question, answer: str) -> float:
        return float(_plain(answer) == _plain(question.expected))

    def figures(self, asked: Sequence[SetQuestion], scores: Sequence[float], rows: Rows) -> dict[str, Figure]:
        given = [_plain(str(rows[one.id].get("answer", ""))) for one in asked]
        wanted = [_plain(one.expected) for one in asked]

        def f1(places: Sequence[int]) -> float:
            return macro_f1([given[place] for place in places], [wanted[place] for place in places])

        return {"accuracy": Figure.mean_of(scores), "macro_f1": Figure.drawn(len(asked), f1)}


def _plain(text: str) -> str:
    return text.strip().casefold()
