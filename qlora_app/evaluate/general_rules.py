"""The general questions as a set, and how many answers are right by the rules that stand beside them."""

import functools
from pathlib import Path
from typing import ClassVar, Literal

from ..settings import Settings
from ..tasks import Question
from .evaluator import Evaluator
from .general import GeneralQuestion, general_questions
from .question_sets import QuestionsChoice, QuestionSet, SetQuestion


class General(QuestionsChoice):
    """Sixty short ones: arithmetic, format, refusal, language."""

    name: Literal["general"] = "general"
    title: ClassVar[str] = "60 general questions"

    def read(self, files: Path, settings: Settings) -> QuestionSet:
        found = []
        for number, one in enumerate(general_questions(), 1):
            question = Question([{"role": "user", "content": one.text}], "")
            found.append(SetQuestion(str(number), one.kind, question))
        return QuestionSet.of("general questions", found)


class GeneralRules(Evaluator):
    """What a training made the model forget shows as a lower share than its base's."""

    name: Literal["general"] = "general"
    title: ClassVar[str] = "General questions answered right"
    needs_expected: ClassVar[bool] = False

    def scored(self, questions: QuestionSet) -> list[SetQuestion]:
        return [one for one in questions.questions if one.text in _by_text()]

    def score(self, question: Question, answer: str) -> float:
        return float(_by_text()[question.text].is_right(answer))


@functools.cache
def _by_text() -> dict[str, GeneralQuestion]:
    return {one.text: one for one in general_questions()}
