"""The kind `evaluate`: contestants are asked a set of questions, and evaluators measure what they answer.

evaluations/NAME/           job.yaml, files/ (copies of what was chosen), rows.jsonl, result.json
evaluations/answers/        what each contestant answered, shared by all evaluations
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..choices import one_of_kinds
from ..errors import Problem, UserError
from ..evaluate import EVALUATORS, Contestant, Evaluation, Evaluator, pace
from ..evaluate.contenders import Contender, EndpointContender, FileContender, HereContender
from ..evaluate.contestants import different
from ..evaluate.decoding import AnswerDecoding
from ..evaluate.evaluation import RESULT, ROWS, Unanswered
from ..evaluate.evaluator import Said
from ..evaluate.kept_answers import FOLDER, READS, KeptAnswers
from ..evaluate.known_sets import QUESTIONS, questions_named
from ..evaluate.pace import TimeLeft
from ..evaluate.question_sets import QuestionsChoice, QuestionSet
from ..formatting import left as time_left
from ..inference.pool import ModelPool
from ..jobs import Job, JobSpec, JobStore, JobWriter, failures
from ..jobs.job import Needs
from ..runs import RunStore
from ..settings import Settings
from ..storage.digests import sha256_of
from ..storage.files import replace_file

EVALUATOR: Any = one_of_kinds(tuple(EVALUATORS.values()))
MOST_CONTESTANTS = 16
FILES = "files"  # the job's copies


class EvaluateSpec(JobSpec):
    """Who is asked what, how they answer, and what is measured of it."""

    kind: Literal["evaluate"] = "evaluate"
    needs: Needs = "torch"
    contestants: tuple[Contestant, ...] = Field(min_length=1, max_length=MOST_CONTESTANTS)
    questions: QUESTIONS
    limit: int | None = Field(None, ge=1)  # so many at most, evenly of all categories
    decoding: AnswerDecoding = AnswerDecoding()
    evaluators: tuple[EVALUATOR, ...] = Field(min_length=1)
    digests: dict[str, str] = {}  # {name of a copied file: its SHA-256}


@dataclass(frozen=True)
class _Gathered:
    """What is kept of one contestant for one kind of evaluators. problem: why questions have no row."""

    kept: KeptAnswers
    rows: dict[str, dict[str, Any]]
    problem: Problem | None


def evaluate_job(settings: Settings, spec: EvaluateSpec, name: str = "") -> Job:
    """A new job, with copies of the files that were named. It is not started here. Raises UserError where something
    speaks against it.
    """
    different(spec.contestants)
    for evaluator in spec.evaluators:
        evaluator.check_all(spec.contestants, settings)
    files = _files(spec)
    if spec.questions.name != "held_out":  # those are looked for by the worker, with the model's tokenizer
        place = spec.questions.file.parent if spec.questions.file else Path()
        check_questions(spec, spec.questions.read(place, settings))
    digests = {file.name: sha256_of(file) for file in files if file.is_file()}
    spec = spec.model_copy(update={"digests": digests})

    def copy(job: Job) -> None:
        (job.folder / FILES).mkdir()
        for file in files:
            bring = shutil.copytree if file.is_dir() else shutil.copyfile
            bring(file, job.folder / FILES / file.name)

    return JobStore(settings.evaluations).create(name or _named(spec), spec, copy)


def spec_from(
    words: Sequence[str],
    settings: Settings,
    questions: str | Path | None,
    by: Sequence[str],
    limit: int | None,
    decoding: AnswerDecoding,
) -> EvaluateSpec:
    """What a command line or a script means; questions: None for those held out by the first run. Raises UserError."""
    contestants = tuple(Contestant.of(word, settings) for word in words)
    first = next((one.run for one in contestants if one.is_here), "")
    if not questions and not first:
        raise UserError("evaluate.which_questions", "Name the questions: --questions FILE.")
    chosen = questions_named(str(questions or f"held_out:{first}"), RunStore(settings.runs), first)
    evaluators = tuple(map(evaluator_named, by))
    if chosen.measured_by and limit is not None:  # of each task, not of the tasks
        evaluators = tuple(_limited(one, limit) for one in evaluators)
        limit = None
    return EvaluateSpec(
        contestants=contestants,
        questions=chosen,
        limit=limit,
        decoding=decoding,
        evaluators=evaluators,
    )


def _limited(evaluator: Any, limit: int) -> Any:
    return evaluator.model_copy(update={"limit": limit}) if "limit" in type(evaluator).model_fields else evaluator


def evaluator_named(word: str) -> Any:
    """`name` or `name:setting=value`. Raises UserError."""
    name, _, rest = word.partition(":")
    if name not in EVALUATORS:
        raise UserError(
            "evaluate.unknown_evaluator",
            "There is no evaluator {name}. There are: {known}.",
            name=name,
            known=", ".join(EVALUATORS),
        )
    setting, equals, value = rest.partition("=")
    if rest and setting not in EVALUATORS[name].model_fields:
        raise UserError(
            "evaluate.unknown_setting",
            "{name} has no setting {setting}. It has: {known}.",
            name=name,
            setting=setting,
            known=", ".join(one for one in EVALUATORS[name].model_fields if one != "name") or "none",
        )
    return EVALUATORS[name].model_validate({setting: value} if equals else {})


def evaluation_of(job: Job) -> Evaluation | None:
    """What it found out; None before it is done, and of a result that somebody damaged."""
    try:
        return Evaluation.from_json(job.result() or {})
    except TypeError:  # something is lacking
        return None


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """Ask what is not answered yet, then measure."""
    spec = job.spec(EvaluateSpec)
    out.say("Reading the questions.", state="starting")
    questions = _questions(job, spec, settings)
    pool = ModelPool()
    places = {one.id: place for place, one in enumerate(questions.questions)}
    contenders = [_contender(job, one, settings, pool, places) for one in spec.contestants]
    asking = _Asking(job.folder.parent, spec, questions, out, len(contenders))
    gathered: dict[str, dict[str, _Gathered]] = {}
    for contender in contenders:
        gathered[contender.contestant.word] = asking.gather(contender)
    _measure(spec, questions, gathered, out, settings)


class _Asking:
    """Every contestant is asked what its file of answers lacks."""

    def __init__(
        self, evaluations: Path, spec: EvaluateSpec, questions: QuestionSet, out: JobWriter, contenders: int
    ) -> None:
        self.evaluations, self.spec, self.questions, self.out = evaluations, spec, questions, out
        self.kinds = {kind_of(one, spec): one for one in spec.evaluators}
        self.total = len(questions.questions) * contenders * len(self.kinds)
        self.done = 0
        self.time_left = TimeLeft(questions.questions, contenders * len(self.kinds))

    def gather(self, contender: Contender) -> dict[str, _Gathered]:
        """{kind of rows: what is kept}"""
        return {kind: self._gather(contender, evaluator) for kind, evaluator in self.kinds.items()}

    def _gather(self, contender: Contender, evaluator: Evaluator) -> _Gathered:
        made_by = {
            "contestant": contender.made_of,
            "questions": self.questions.digest,
            **evaluator.kept_for(self.spec.decoding),
        }
        kept = KeptAnswers(self.evaluations, made_by)
        self.out.append(READS, {"file": kept.path.name})
        with kept.held(self.out.check):
            rows = kept.rows()
            left = [one for one in self.questions.questions if one.id not in rows]
            self.done += len(self.questions.questions) - len(left)
            self.time_left.begin(left)
            self._tell(contender)
            problem = self._ask(contender, evaluator, left, kept) if left else None
            return _Gathered(kept, kept.rows(), problem)

    def _ask(self, contender: Contender, evaluator: Evaluator, left: list[Any], kept: KeptAnswers) -> Problem | None:
        """What first went wrong. One that cannot be asked any more does not keep the others from being measured."""
        problem = None
        try:
            for found in self._answers(contender, evaluator, left):
                if isinstance(found, Said):
                    self.out.progress(self.done, self.total, found.sentence)
                    continue
                self.done += 1
                self.time_left.took(found.question.id)
                if found.problem is None:
                    kept.append(found.row())
                else:
                    problem = problem or found.problem
                self._tell(contender)
        except UserError as error:
            return problem or error.problem
        return problem

    def _answers(self, contender: Contender, evaluator: Evaluator, left: list[Any]) -> Iterator[Any]:
        if isinstance(contender, HereContender) and not evaluator.loads_model:
            self.out.say(f"Loading {contender.contestant.word}.")
            with self.out.leaving():
                _ = contender.session
        self.time_left.ready()
        yield from evaluator.gather(contender, left, self.spec.decoding, self.out.check)

    def _tell(self, contender: Contender) -> None:
        words = f"{self.done:,} of {self.total:,} answers; {contender.contestant.word} is asked"
        seconds = self.time_left.seconds
        if seconds is not None:
            words += f"; about {time_left(seconds)} left"
        self.out.progress(self.done, self.total, words)


def kind_of(evaluator: Evaluator, spec: EvaluateSpec) -> str:
    """Evaluators of the same kind share what is kept of a contestant."""
    return json.dumps(evaluator.kept_for(spec.decoding), sort_keys=True)


def _measure(
    spec: EvaluateSpec,
    questions: QuestionSet,
    gathered: Mapping[str, Mapping[str, _Gathered]],
    out: JobWriter,
    settings: Settings,
) -> None:
    """Of the questions that all have answered: figures of different questions cannot be compared. Who answered less
    than half of them is left out.
    """
    unanswered = [found for name, kinds in gathered.items() if (found := _unanswered(name, kinds, questions))]
    silent = {one.contestant for one in unanswered if 2 * one.questions > len(questions.questions)}
    gathered = {name: kinds for name, kinds in gathered.items() if name not in silent}
    every = [one for kinds in gathered.values() for one in kinds.values()]
    common = tuple(one for one in questions.questions if every and all(one.id in kind.rows for kind in every))
    if not common:
        raise UserError("evaluate.no_answers", "There are no answers to measure: {why}", why=unanswered[0].why)
    asked = QuestionSet(questions.name, questions.digest, common, questions.left_out)
    out.say("Measuring the answers.", state="running")
    measures = []
    for evaluator in spec.evaluators:
        rows = {name: kinds[kind_of(evaluator, spec)].rows for name, kinds in gathered.items()}
        measures.append(evaluator.measure(rows, asked, out, settings))
    answers = {name: f"{FOLDER}/{_side_by_side(kinds).kept.key}.jsonl" for name, kinds in gathered.items()}
    _write_rows(out, spec, asked, gathered)
    first = next(iter(gathered.values()))[kind_of(spec.evaluators[0], spec)].rows
    count = sum(first[one.id].get("questions", 1) for one in common)  # a task of lm-eval asks many
    made = Evaluation(questions.name, questions.digest, count, list(gathered), measures, answers, unanswered)
    out.write(RESULT, made.to_json())
    if unanswered:
        raise UserError(
            "evaluate.some_unanswered",
            "{contestant} did not answer {count:,} of {of:,} questions ({why}). What could be measured without them is "
            "there. Resume asks these again.",
            contestant=unanswered[0].contestant,
            count=unanswered[0].questions,
            of=len(questions.questions),
            why=unanswered[0].why,
        )
    out.end("done", f"All have answered, {count:,} questions are measured.")


def _unanswered(name: str, kinds: Mapping[str, _Gathered], questions: QuestionSet) -> Unanswered | None:
    missing = {one.id for one in questions.questions for kind in kinds.values() if one.id not in kind.rows}
    if not missing:
        return None
    why = next((str(kind.problem) for kind in kinds.values() if kind.problem), "it gave none")
    return Unanswered(name, len(missing), why)


def _side_by_side(kinds: Mapping[str, _Gathered]) -> _Gathered:
    """What is shown of a contestant: its answers, where they were asked for by any evaluator."""
    found = list(kinds.values())
    return next((one for one in found if pace.kind_of(one.kept.made_by) == "decoding"), found[0])


def _write_rows(
    out: JobWriter, spec: EvaluateSpec, asked: QuestionSet, gathered: Mapping[str, Mapping[str, _Gathered]]
) -> None:
    """A line for each question, as the page shows them side by side."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for evaluator in (one for one in spec.evaluators if one.scores_answers):
        scored = evaluator.scored(asked)
        for name, kinds in gathered.items():
            found = evaluator.scores(scored, kinds[kind_of(evaluator, spec)].rows)
            for one, score in zip(scored, found, strict=True):
                scores.setdefault(one.id, {}).setdefault(evaluator.name, {})[name] = score
    lines = []
    for one in asked.questions:
        rows = {name: _side_by_side(kinds).rows[one.id] for name, kinds in gathered.items()}
        answers = {name: row.get("answer", "") for name, row in rows.items()}
        checksums = {name: row["checksum"] for name, row in rows.items()}
        if within := [line for evaluator in spec.evaluators for line in evaluator.lines(rows)]:
            lines += [json.dumps(line | {"checksums": checksums}, ensure_ascii=False) for line in within]
            continue
        line: dict[str, Any] = {"id": one.id, "question": one.text, "category": one.category, "expected": one.expected}
        line |= {"answers": answers, "checksums": checksums, "scores": scores.get(one.id, {})}
        lines.append(json.dumps(line, ensure_ascii=False))
    replace_file(out.folder / f"{ROWS}.jsonl", "\n".join(lines) + "\n")


def stopped(job: Job) -> str:
    return "Stopped. The answers so far are kept; Resume goes on there."


def explain(error: BaseException, job: Job) -> Problem:
    return failures.explain(error)


def _questions(job: Job, spec: EvaluateSpec, settings: Settings) -> QuestionSet:
    questions: QuestionsChoice = spec.questions
    found = questions.read(job.folder / FILES, settings)
    check_questions(spec, found)
    return found.first(spec.limit)


def check_questions(spec: EvaluateSpec, found: QuestionSet) -> None:
    """Raises UserError where an evaluator can measure none of them."""
    only = spec.questions.measured_by
    for evaluator in spec.evaluators:
        if only and evaluator.name != only:
            raise UserError(
                "evaluate.measured_otherwise",
                "{title}: this cannot be measured of {name}, whose questions are measured by {only} alone. Leave "
                "it out.",
                title=evaluator.title,
                name=found.name,
                only=only,
            )
        if not evaluator.scored(found):
            raise UserError(
                "evaluate.no_expected",
                "{title}: this cannot be measured of {name}, which lacks the right answers that it needs. Choose "
                "another evaluator, or other questions.",
                title=evaluator.title,
                name=found.name,
            )


def _contender(
    job: Job, contestant: Contestant, settings: Settings, pool: ModelPool, places: dict[str, int]
) -> Contender:
    if contestant.who == "endpoint":
        return EndpointContender(contestant, settings, places)
    if contestant.who == "file":
        return FileContender(contestant, job.folder / FILES / Path(contestant.file).name, settings)
    return HereContender(contestant, settings, pool, places)


def _files(spec: EvaluateSpec) -> list[Path]:
    """What is copied. Raises UserError where two are called alike."""
    questions = spec.questions.file
    of_several = {Path(one.file) for one in spec.contestants if one.whose}  # stands there once, its questions too
    alone = [Path(one.file) for one in spec.contestants if one.who == "file" and not one.whose]
    files = [*of_several, *alone, *([questions] if questions and questions not in of_several else [])]
    names = [file.name for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError("evaluate.files_alike", "Two files are called {name}. Rename one of them.", name=twice)
    for file in files:
        if not file.exists():
            raise UserError("file.not_there", "There is no file {file}.", file=file)
    return files


def _named(spec: EvaluateSpec) -> str:
    questions = Path(spec.questions.file).stem if spec.questions.file else spec.questions.name
    return "-".join(dict.fromkeys((spec.evaluators[0].name, questions)))
