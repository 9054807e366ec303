"""Which tasks of lm-eval may be asked for: a list of our own.

What is on it is read from YAML that comes with lm-eval, downloads plain tables from the Hub and runs no text that a
model wrote. Nobody's own YAML is taken: `!function` in one runs code of its author. IFEval is left out, because what
checks its answers downloads more when it is imported.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from ...errors import UserError
from ...settings import Settings
from ...tasks import Question
from ..question_sets import QuestionsChoice, QuestionSet, SetQuestion


@dataclass(frozen=True)
class HarnessTask:
    """folder: below lm-eval's tasks. metric, filter: the figure that is commonly told, a mean over questions."""

    folder: str
    metric: str
    filter: str = "none"


INSTALL = "pip install lm-eval==0.4.13"
TASKS = {
    "hellaswag": HarnessTask("hellaswag", "acc_norm"),
    "arc_easy": HarnessTask("arc", "acc_norm"),
    "arc_challenge": HarnessTask("arc", "acc_norm"),
    "piqa": HarnessTask("piqa", "acc_norm"),
    "winogrande": HarnessTask("winogrande", "acc"),
    "boolq": HarnessTask("super_glue/boolq", "acc"),
    "openbookqa": HarnessTask("openbookqa", "acc_norm"),
    "lambada_openai": HarnessTask("lambada", "acc"),
    "truthfulqa_mc1": HarnessTask("truthfulqa", "acc"),
    "truthfulqa_mc2": HarnessTask("truthfulqa", "acc"),
    "gsm8k": HarnessTask("gsm8k", "exact_match", "strict-match"),
    "mmlu": HarnessTask("mmlu/default", "acc"),
}


class HarnessTasks(QuestionsChoice):
    """Each task is one question of the set here: what it asks in all is lm-eval's."""

    name: Literal["lm_eval"] = "lm_eval"
    title: ClassVar[str] = "Tasks of lm-eval"
    measured_by: ClassVar[str] = "lm_eval"
    tasks: tuple[str, ...] = Field(min_length=1)

    @field_validator("tasks")
    @classmethod
    def _are_known(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return known_tasks(tasks)
        except UserError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def of(cls, words: str) -> "HarnessTasks":
        """words: names with commas between them. Raises UserError for one that is not on the list."""
        return cls(tasks=known_tasks([word.strip() for word in words.split(",") if word.strip()]))

    def read(self, files: Path, settings: Settings) -> QuestionSet:
        return QuestionSet.of("lm-eval", [_question(task) for task in self.tasks])


def known_tasks(names: Sequence[str]) -> tuple[str, ...]:
    """Each once, in the order of the names. Raises UserError where one is not on the list."""
    unknown = next((name for name in names if name not in TASKS), None)
    if unknown is not None or not names:
        raise UserError(
            "evaluate.unknown_task",
            "{name} is none of the tasks that are measured with lm-eval here. They are: {known}.",
            name=unknown or "“”",
            known=", ".join(TASKS),
        )
    return tuple(dict.fromkeys(names))


def check_installed() -> None:
    """Raises UserError where lm-eval cannot be imported."""
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError(
            "evaluate.no_lm_eval",
            "These tasks are measured with lm-eval, which is not installed. Install it beside this app ({command}, "
            "about 200 MB), then start again.",
            command=INSTALL,
        )


def _question(task: str) -> SetQuestion:
    return SetQuestion(task, task, Question([{"role": "user", "content": task}], ""))
