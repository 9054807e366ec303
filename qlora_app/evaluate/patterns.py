"""Contains and regular expression: what an answer must hold, wherever it stands."""

import re
from typing import ClassVar, Literal

from pydantic import field_validator

from ..choices import setting
from ..tasks import Question
from .evaluator import Evaluator

LONGEST = 20_000  # letters of an answer that are looked through


class Contains(Evaluator):
    """For short right answers that a model puts into a sentence."""

    name: Literal["contains"] = "contains"
    title: ClassVar[str] = "Answers that hold the right one"
    ignore_case: bool = setting(True, "Ignore capitals", "Is Mira the same as mira?")

    def score(self, question: Question, answer: str) -> float:
        given, wanted = answer, question.expected.strip()
        if self.ignore_case:
            given, wanted = given.casefold(), wanted.casefold()
        return float(wanted in given)


class Pattern(Evaluator):
    """A regular expression as Python's `re` has it, found anywhere in the answer; ^ and $ are the ends of the whole."""

    name: Literal["regex"] = "regex"
    title: ClassVar[str] = "Answers that fit a regular expression"
    needs_expected: ClassVar[bool] = False
    pattern: str = setting(".", "Pattern", "Such as ^[0-9]+$", max_length=1000)

    @field_validator("pattern")
    @classmethod
    def _can_be_read(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return pattern

    def score(self, question: Question, answer: str) -> float:
        return float(re.search(self.pattern, answer.strip()[:LONGEST], re.DOTALL) is not None)
