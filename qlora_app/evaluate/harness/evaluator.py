"""The evaluator `lm_eval`: a model of this machine on tasks of EleutherAI's lm-eval."""

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, Literal

from ...choices import setting
from ...errors import Problem, UserError
from ...jobs import JobWriter
from ...settings import Settings
from ..compare import compared
from ..contenders import Check, Contender, HereContender
from ..contestants import Contestant
from ..decoding import AnswerDecoding
from ..evaluation import Comparison, Measure
from ..evaluator import Evaluator, Rows, Said
from ..figures import Figure
from ..question_sets import QuestionSet, SetQuestion
from .process import HarnessProcess
from .results import TaskResult, mean_of
from .tasks import TASKS, check_installed


@dataclass(frozen=True)
class Measured:
    """A task that is done; it is one question of the set."""

    question: SetQuestion
    result: TaskResult
    problem: Problem | None = None

    def row(self) -> dict[str, Any]:
        return self.result.to_row()


class LmEval(Evaluator):
    """The mean over tasks, each counting the same. Prompts are lm-eval's own, as bare text without a chat template."""

    name: Literal["lm_eval"] = "lm_eval"
    title: ClassVar[str] = "Right by lm-eval, mean over tasks"
    needs_expected: ClassVar[bool] = False
    loads_model: ClassVar[bool] = True
    limit: int | None = setting(None, "Questions of a task", "Its first ones; empty: all.", ge=1)
    shots: int | None = setting(None, "Shots", "Empty: as many as the task has in lm-eval.", ge=0, le=64)

    def check(self, contestant: Contestant) -> None:
        if not contestant.is_here:
            raise UserError(
                "evaluate.no_likelihoods",
                "{contestant} cannot say how likely the right answers are to it: only a model of this machine can. "
                "Leave it out, or measure something else.",
                contestant=contestant.word,
            )

    def check_all(self, contestants: Sequence[Contestant], settings: Settings) -> None:
        check_installed()
        super().check_all(contestants, settings)

    def kept_for(self, decoding: AnswerDecoding) -> dict[str, Any]:
        return {"lm_eval": _version(), "limit": self.limit, "shots": self.shots}

    def scored(self, questions: QuestionSet) -> list[SetQuestion]:
        return [one for one in questions.questions if one.id in TASKS and one.category == one.id]

    def gather(
        self, contender: Contender, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check
    ) -> Iterator[Measured | Said]:
        assert isinstance(contender, HereContender), "others were refused"
        by_task = {one.id: one for one in questions}
        asked = {"tasks": [one.id for one in questions], "limit": self.limit, "shots": self.shots}
        with HarnessProcess({"contestant": contender.contestant.model_dump(mode="json"), **asked}) as process:
            for said in process.lines(check):
                if "result" in said:
                    result = TaskResult(**said["result"])
                    yield Measured(by_task[result.task], result)
                else:
                    yield Said(str(said["says"]))

    # ---- what is found out

    def scores(self, asked: Sequence[SetQuestion], rows: Rows) -> list[float]:
        return [float(rows[one.id]["value"]) for one in asked]

    def figures(self, asked: Sequence[SetQuestion], scores: Sequence[float], rows: Rows) -> dict[str, Figure]:
        return {"lm_eval": mean_of([TaskResult.from_row(rows[one.id]) for one in asked])}

    def lines(self, rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        results = {name: TaskResult.from_row(row) for name, row in rows.items()}
        if len({one.documents for one in results.values()}) > 1 or not all(one.asked for one in results.values()):
            return []
        first = next(iter(results.values()))
        return [_line(first.task, place, results) for place in range(len(first.asked))]

    def measure(
        self, gathered: Mapping[str, Rows], questions: QuestionSet, out: JobWriter, settings: Settings
    ) -> Measure:
        """Pairs are compared question by question, and not task by task."""
        found = super().measure(gathered, questions, out, settings)
        asked = self.scored(questions)
        results = {name: [TaskResult.from_row(rows[one.id]) for one in asked] for name, rows in gathered.items()}
        found.pairs[:] = [pair for two in combinations(results, 2) if (pair := _compared(*two, results))]
        if self.limit is not None:
            found.notes.append(f"Only the first {self.limit:,} questions of each task: not what others publish of it.")
        found.notes.extend(_told(name, one) for name, some in results.items() for one in some if one.cut)
        return found


def _line(task: str, place: int, results: Mapping[str, TaskResult]) -> dict[str, Any]:
    asked = next(iter(results.values())).asked[place]
    told = {name: asked[name] for name in ("question", "category", "expected")}
    answers = {name: one.asked[place]["answer"] for name, one in results.items()}
    scores = {name: one.scores[place] for name, one in results.items()}
    return {"id": f"{task}.{place + 1}", **told, "answers": answers, "scores": {"lm_eval": scores}}


def _compared(first: str, second: str, results: Mapping[str, Sequence[TaskResult]]) -> Comparison | None:
    """None where they were not asked the same, because a task's questions were published anew meanwhile."""
    pairs = list(zip(results[first], results[second], strict=True))
    if any(one.documents != other.documents for one, other in pairs):
        return None
    one, other = ([score for result in results[name] for score in result.scores] for name in (first, second))
    return compared(first, second, one, other, largest=1.0)


def _told(name: str, result: TaskResult) -> str:
    return (
        f"{result.cut:,} prompts of {result.task} with {result.shots} shots are longer than {name} reads: lm-eval cut "
        "their beginning off."
    )


def _version() -> str:
    try:
        return importlib.metadata.version("lm_eval")
    except importlib.metadata.PackageNotFoundError:
        return ""
