"""Answers that are there already, judged: those of an evaluation, or of files. The cost is known before it starts."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..evaluate import Contestant, Judge, pace
from ..evaluate.answer_files import answer_rows
from ..evaluate.contenders import FileContender
from ..evaluate.contestants import file_and_whose
from ..evaluate.decoding import AnswerDecoding
from ..evaluate.judge.budget import Estimate
from ..evaluate.kept_answers import rows_in
from ..evaluate.known_sets import questions_named
from ..evaluate.question_sets import QuestionFile, QuestionsChoice, QuestionSet, SetQuestion, Vicuna
from ..jobs import Job, JobStore
from ..runs import RunStore
from ..settings import Settings
from .evaluate import FILES, EvaluateSpec, evaluate_job, evaluation_of

Rows = dict[str, dict[str, Any]]  # {id of a question: the row of a contestant}


@dataclass(frozen=True)
class Judgeable:
    """What can be judged: who answered what, and the job that would judge it but for the judge."""

    spec: EvaluateSpec
    answers: dict[str, Rows]  # {contestant: what it answered}
    name: str

    @property
    def questions(self) -> int:
        """How many all of them answered."""
        return len(set.intersection(*(set(rows) for rows in self.answers.values())))

    def with_judge(self, judge: Judge, settings: Settings) -> "tuple[EvaluateSpec, Estimate]":
        """(what is to be done, what it costs). Raises UserError where something speaks against it."""
        judge.check_all(self.spec.contestants, settings)
        common = set.intersection(*(set(rows) for rows in self.answers.values()))
        rows = {name: {id: row for id, row in some.items() if id in common} for name, some in self.answers.items()}
        return self.spec.model_copy(update={"evaluators": (judge,)}), judge.estimate(rows, settings)

    def job(self, judge: Judge, settings: Settings, name: str = "") -> Job:
        """It is not started here."""
        return evaluate_job(settings, self.with_judge(judge, settings)[0], name or self.name)


@contextmanager
def judgeable(words: Sequence[str | Path], questions: str, settings: Settings) -> Iterator[Judgeable]:
    """An evaluation by its name, or files of answers. questions: those of the files, in one word; "" finds them.

    Raises UserError where the words name neither.
    """
    evaluation = None if _is_file(words[0]) else find_evaluation(str(words[0]), settings)
    if evaluation is not None and len(words) == 1:
        yield of_evaluation(evaluation, settings)
        return
    missing = next((word for word in words if not _is_file(word)), None)
    if missing is not None:
        raise UserError(
            "judge.not_there", "There is neither an evaluation nor a file {name}. `jobs` lists them.", name=missing
        )
    asked = questions_named(questions, RunStore(settings.runs)) if questions else None
    with of_files(words, asked, settings) as found:
        yield found


def _is_file(word: str | Path) -> bool:
    return file_and_whose(str(word)) is not None


def of_evaluation(job: Job, settings: Settings) -> Judgeable:
    """The answers of an evaluation that is done. Raises UserError, also where it has asked for none."""
    made = evaluation_of(job)
    if made is None:
        raise UserError(
            "judge.not_answered",
            "{name} has not all its answers yet. Wait until it is done, or resume it.",
            name=job.id,
        )
    spec = job.spec(EvaluateSpec)
    copied = {
        "contestants": tuple(_from_copy(one, job) for one in spec.contestants),
        "questions": _questions_from_copy(spec.questions, job),
        "digests": {},
    }
    answers = {name: rows_in(settings.evaluations / file) for name, file in made.answers.items()}
    if all(pace.kind_of(one.kept_for(spec.decoding)) != "decoding" for one in spec.evaluators):
        raise UserError(
            "judge.without_answers",
            "{name} has measured without asking for answers, so there are none to judge. Evaluate the same questions "
            "by exact_match or length first.",
            name=job.id,
        )
    return Judgeable(spec.model_copy(update=copied), answers, f"judge-{job.id}")


@contextmanager
def of_files(files: Sequence[str | Path], questions: QuestionsChoice | None, settings: Settings) -> Iterator[Judgeable]:
    """Answers in files. questions: None takes those that stand beside the answers, else Vicuna's, which FastChat's
    files are answers to. Raises UserError where a file has no answers to them.
    """
    contestants = tuple(Contestant.of(f"file:{file}", settings) for file in files)
    with tempfile.TemporaryDirectory(prefix="questions-") as folder:
        asked = questions or _questions_beside(contestants, Path(folder), settings) or Vicuna()
        found = asked.read(asked.file.parent if asked.file else Path(folder), settings)
        answers = {one.word: _answers_of(one, found, settings) for one in contestants}
        common = [one for one in found.questions if all(one.id in rows for rows in answers.values())]
        if not common:
            raise UserError(
                "judge.nothing_in_common",
                "No question of {questions} is answered in every file. Name the file of questions.",
                questions=found.name,
            )
        if len(common) < len(found.questions):
            asked = _written(common, Path(folder))
        spec = EvaluateSpec(contestants=contestants, questions=asked, evaluators=(Judge(),))
        yield Judgeable(spec, answers, "judge-files")


def find_evaluation(name: str, settings: Settings) -> Job | None:
    """By its whole name, by the beginning of one, or the newest as `latest`; None where there is none."""
    jobs = [job for job in JobStore(settings.evaluations).list() if job.kind == "evaluate"]
    same = [job for job in jobs if job.id == name] or [job for job in jobs if job.id.startswith(name)]
    if name == "latest":
        same = jobs[:1]
    return same[0] if len(same) == 1 else None


def _answers_of(contestant: Contestant, questions: QuestionSet, settings: Settings) -> Rows:
    contender = FileContender(contestant, Path(contestant.file), settings)
    answered = contender.answers(questions.questions, AnswerDecoding(), lambda: None)
    return {one.question.id: one.row() for one in answered if one.problem is None}


def _questions_beside(contestants: Sequence[Contestant], folder: Path, settings: Settings) -> QuestionFile | None:
    """Those of the rows that say what was asked."""
    asked: dict[str, dict[str, Any]] = {}
    for file in dict.fromkeys(Path(one.file) for one in contestants):
        for line in answer_rows(file, settings):
            if isinstance(line.get("question"), str) and line["question"].strip():
                id = str(line.get("question_id", line.get("id", line["question"].strip())))
                more = {"category": line["category"]} if isinstance(line.get("category"), str) else {}
                asked.setdefault(id, {"question_id": id, "text": line["question"], **more})
    if not asked:
        return None
    return _file_of(asked.values(), folder / "questions.jsonl")


def _written(questions: Sequence[SetQuestion], folder: Path) -> QuestionFile:
    """Only these, as a file of their own."""
    rows = []
    for one in questions:
        row = {"question_id": one.id, "question": one.text, "category": one.category}
        rows.append(row | ({"answer": one.expected} if one.expected else {}))
    return _file_of(rows, folder / "answered-questions.jsonl")


def _file_of(rows: Iterable[Mapping[str, Any]], path: Path) -> QuestionFile:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return QuestionFile(path=str(path))


def _from_copy(contestant: Contestant, job: Job) -> Contestant:
    """The file that was named may be gone; the job has its copy."""
    if contestant.who != "file":
        return contestant
    return contestant.model_copy(update={"file": str(job.folder / FILES / Path(contestant.file).name)})


def _questions_from_copy(questions: Any, job: Job) -> Any:
    if questions.file is None or "path" not in type(questions).model_fields:
        return questions
    return questions.model_copy(update={"path": str(job.folder / FILES / questions.file.name)})
