"""Length: how many words the answers have. A judge likes long ones, so it belongs beside every judgment."""

import math
from typing import ClassVar, Literal

from ..tasks import Question
from .compare import Better
from .evaluator import Evaluator


class Length(Evaluator):
    """Words between blanks. Longer is not better: what is compared is only whether one writes more."""

    name: Literal["length"] = "length"
    title: ClassVar[str] = "Words of an answer"
    unit: ClassVar[str] = "words"
    highest: ClassVar[float] = math.inf
    better: ClassVar[Better] = "neither"
    needs_expected: ClassVar[bool] = False

    def score(self, question: Question, answer: str) -> float:
        return float(len(answer.split()))
