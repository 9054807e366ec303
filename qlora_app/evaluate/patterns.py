"""Contains and regular expression: what an answer must hold, wherever it stands."""

import re
from typing import ClassVar, Literal

from pydantic import field_validator

from ..choices import setting
from ..errors import Problem, UserError
from ..tasks import Question
from .evaluator import Evaluator

LONGEST = 20_000  # letters of an answer that are looked through
PATIENCE = 5.0  # seconds of a search; what ends at all takes milliseconds
SPACED = (
    r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # of scripts with blanks
)


class Contains(Evaluator):
    """For short right answers that a model puts into a sentence."""

    name: Literal["contains"] = "contains"
    title: ClassVar[str] = "Answers that hold the right one"
    ignore_case: bool = setting(True, "Ignore capitals", "Is Mira the same as mira?")

    def score(self, question: Question, answer: str) -> float:
        """Whole words and whole numbers: 5 stands neither in 15 nor in 1.5, and no in no word that begins so."""
        given, wanted = answer, question.expected.strip()
        if self.ignore_case:
            given, wanted = given.casefold(), wanted.casefold()
        return float(bool(wanted) and re.search(_alone(wanted), given) is not None)


def _alone(wanted: str) -> str:
    """The expression that finds it where no letter, figure or sign goes on."""
    before = after = ""
    if re.match(SPACED, wanted[0]):
        before = f"(?<!{SPACED})"
    if re.match(SPACED, wanted[-1]):
        after = f"(?!{SPACED})"
    if wanted[0].isdigit():
        before += r"(?<!\d[.,])(?<!(?<!\w)[-\u2212])"
    if wanted[-1].isdigit():
        after += r"(?![.,]\d)"
    return f"{before}{re.escape(wanted)}{after}"


class Pattern(Evaluator):
    """A regular expression as Python has it, found anywhere in the answer; ^ and $ are the ends of the whole."""

    name: Literal["regex"] = "regex"
    title: ClassVar[str] = "Answers that fit a regular expression"
    needs_expected: ClassVar[bool] = False
    pattern: str = setting(".", "Pattern", "Such as ^[0-9]+$", max_length=1000)

    @field_validator("pattern")
    @classmethod
    def _can_be_read(cls, pattern: str) -> str:
        if problem := broken(pattern):
            raise ValueError(str(problem))
        return pattern

    def score(self, question: Question, answer: str) -> float:
        """Raises UserError where the search comes to no end."""
        import regex  # Python's own cannot be ended

        text = answer.strip()[:LONGEST]
        try:
            return float(regex.search(self.pattern, text, regex.DOTALL, timeout=PATIENCE) is not None)
        except TimeoutError:
            raise UserError(
                "evaluate.endless_pattern",
                "The regular expression {pattern} comes to no end on an answer of {letters:,} letters. Write it "
                "without a repetition of something that is repeated in it: a+ and not (a+)+.",
                pattern=self.pattern,
                letters=len(text),
            ) from None


def broken(pattern: str) -> Problem | None:
    """Why it cannot be searched for; None where it can."""
    import regex

    try:
        regex.compile(pattern, regex.DOTALL)
    except regex.error as error:
        return Problem(
            "evaluate.bad_pattern", "{pattern} is no regular expression: {why}.", pattern=pattern, why=str(error)
        )
    return None
