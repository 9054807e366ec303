"""The evaluator `judge`: an OpenAI-compatible endpoint of the settings says which of two answers is better."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import field_validator, model_validator
from typing_extensions import Self

from ...choices import setting
from ...errors import UserError
from ...inference.sides import Side, endpoint_of
from ...jobs import JobWriter
from ...settings import Endpoint, Settings
from ...storage.reading import read_lines
from ..compare import compared
from ..contestants import Contestant
from ..evaluation import Comparison, Measure, Measured
from ..evaluator import Evaluator, Rows
from ..figures import Figure
from ..question_sets import QuestionSet, SetQuestion
from .budget import Budget, Cost, Estimate, Limits, Price
from .client import Asking
from .judged import Judged, begun, judge_of, judged_in, lost_in, total_of
from .judging import Task, copies, estimate_of, judge_all, pairs_of, singles_of, tasks_of, to_ask
from .people import votes_on
from .prompts import LARGEST_PROMPT, JudgePrompt, Way
from .report import JudgeReport, one_verdict, report_of, share_by_question
from .verdicts import HIGHEST, LOWEST

JUDGMENTS = "judgments"  # .jsonl in the job's folder
BEGUN = "begun"  # .jsonl beside it: a line before each call
SCALES = {"pairs": (0.0, 1.0), "single": (LOWEST, HIGHEST)}  # of what is got for a question


class Judge(Evaluator):
    """Which endpoint judges, what it is asked, and what that may cost. Its key is in the settings and nowhere else."""

    title: ClassVar[str] = "Preferred by a judge"
    needs_expected: ClassVar[bool] = False
    scores_answers: ClassVar[bool] = False

    name: Literal["judge"] = "judge"
    endpoint: str = setting("", "Judge", "An OpenAI-compatible endpoint of QLORA_APP_ENDPOINTS.", max_length=60)
    way: Way = setting(
        "pairs",
        "How it judges",
        "Two answers to a question are shown in both orders; one alone gets a score.",
        labels={"pairs": "Which of two is better", "single": "Each alone, from 1 to 10"},
    )
    prompt: str = setting(
        "",
        "Prompt of the judge",
        "Empty: the words of the QLoRA paper. {question}, {answer_1} and {answer_2} stand for what is judged.",
        max_length=LARGEST_PROMPT,
    )
    against: str = setting("", "Compared with", "The one all others are compared with. Empty: each with each.")
    temperature: float = setting(0.2, "Temperature of the judge", "As in the paper.", ge=0, le=2)
    longest: int = setting(1024, "Longest judgment", "In tokens. What is cut off has no verdict.", ge=1, le=32_768)
    at_once: int = setting(4, "Questions at once", "How many judgments are asked for at the same time.", ge=1, le=64)
    seconds: float = setting(120.0, "Patience", "Seconds for one judgment; then it is asked for again.", gt=0, le=3600)
    price_in: float = setting(0.0, "Price of reading", "For a million tokens that the judge reads.", ge=0)
    price_out: float = setting(0.0, "Price of writing", "For a million tokens that the judge writes.", ge=0)
    most_money: float | None = setting(None, "Most money", "No call is made that might go beyond it.", ge=0)
    most_tokens: int | None = setting(None, "Most tokens", "No call is made that might go beyond them.", ge=1)
    most_calls: int | None = setting(None, "Most calls", "Attempts that failed count too.", ge=1)

    @field_validator("prompt")
    @classmethod
    def _as_one_text(cls, prompt: str) -> str:
        return prompt.replace("\r\n", "\n")

    @model_validator(mode="after")
    def _is_affordable(self) -> Self:
        if self.most_money is not None and not (self.price_in or self.price_out):
            raise ValueError("most_money needs a price: price_in and price_out, for a million tokens")
        return self

    # ---- before the start

    @property
    def asked(self) -> JudgePrompt:
        """Raises UserError for a prompt that lacks a placeholder."""
        return JudgePrompt.of(self.way, self.prompt)

    @property
    def price(self) -> Price:
        return Price(self.price_in, self.price_out)

    def endpoint_in(self, settings: Settings) -> Endpoint:
        """Raises UserError where the settings know no such endpoint."""
        endpoints = settings.endpoints or ()
        if not endpoints:
            raise UserError(
                "judge.no_endpoint",
                'A judge is an endpoint, and there is none. Set QLORA_APP_ENDPOINTS to [{{"name": "big", "url": '
                '"https://…/v1", "model": "…", "key": "…"}}] and start the app again; our own /v1 can be one.',
            )
        return endpoint_of(Side(who="endpoint", endpoint=self.endpoint or endpoints[0].name), endpoints)

    def check_all(self, contestants: Sequence[Contestant], settings: Settings) -> None:
        """Raises UserError where nothing could be judged so."""
        _ = self.endpoint_in(settings), self.asked
        names = [one.word for one in contestants]
        if self.way == "pairs" and len(names) < 2:
            raise UserError("judge.one_alone", "A judge of pairs needs two contestants. Name another one.")
        if self.against and self.against not in names:
            raise UserError(
                "judge.against_nobody",
                "{name} is not among those that are judged: {known}.",
                name=self.against,
                known=", ".join(names),
            )

    def estimate(self, gathered: Mapping[str, Rows], settings: Settings) -> Estimate:
        """What it costs to judge these answers, less what was judged before."""
        tasks = self._tasks(gathered, self.endpoint_in(settings))
        known = known_in(settings.evaluations, self.longest)
        asked = to_ask(tasks, known)
        return estimate_of(asked, self.asked, self.longest, self.price, len(tasks) - len(asked))

    def _tasks(self, gathered: Mapping[str, Rows], endpoint: Endpoint) -> list[Task]:
        judge = judge_of(endpoint, self.temperature)
        if self.way == "single":
            return tasks_of(singles_of(gathered), self.asked, judge)
        return tasks_of(pairs_of(gathered, self.against)[0], self.asked, judge)

    # ---- the work

    def measure(
        self, gathered: Mapping[str, Rows], questions: QuestionSet, out: JobWriter, settings: Settings
    ) -> Measure:
        endpoint = self.endpoint_in(settings)
        asked = {one.id for one in questions.questions}
        rows = {name: {id: row for id, row in some.items() if id in asked} for name, some in gathered.items()}
        report, judged = self._judge(rows, endpoint, out, settings)
        figures = _by_contestant(judged, self.way)
        found = [_measured(name, figures.get(name, {}), SCALES[self.way]) for name in gathered]
        notes = [str(words) for words in report.words]
        unit = "share" if self.way == "pairs" else "of 10"
        pairs = _comparisons(figures, list(gathered), self.way)
        return Measure(self.name, self.title, unit, found, pairs, notes, {"report": report.to_json()})

    def scored(self, questions: QuestionSet) -> list[SetQuestion]:
        return list(questions.questions)

    def _judge(
        self, rows: Mapping[str, Rows], endpoint: Endpoint, out: JobWriter, settings: Settings
    ) -> tuple[JudgeReport, list[Judged]]:
        tasks, file = self._tasks(rows, endpoint), out.folder / f"{JUDGMENTS}.jsonl"
        self._write_known(tasks, out, settings, file)
        lines = read_lines(file, 0)[0]
        left = to_ask(tasks, {row.key for row in judged_in(lines) if row.holds(self.longest)})
        budget = Budget(Limits(self.most_calls, self.most_tokens, self.most_money), self.price, spent_in(out.folder))
        is_whole, all_of_them = True, len(tasks)

        def tell(done: int, of: int) -> None:
            made = all_of_them - of + done
            out.progress(made, all_of_them, f"{made:,} of {all_of_them:,} judgments, {self._spent(budget)}")

        if left:
            asking = Asking(self.temperature, self.longest, seconds=self.seconds)
            has_texts = len(left) < all_of_them
            is_whole = judge_all(
                left,
                endpoint,
                self.asked,
                asking,
                budget,
                self.at_once,
                self._writer(out),
                tell,
                has_texts,
                begin=lambda key, most: out.append(BEGUN, begun(key, most)),
            )
            self._write_known(tasks, out, settings, file)
        wanted = {(task.answered.question, task.answered.model_a, task.answered.model_b, task.key) for task in tasks}
        lines = read_lines(file, 0)[0]
        judged = [row for row in judged_in(lines) if (row.question, row.model_a, row.model_b, row.key) in wanted]
        cost = spent_in(out.folder)
        report = report_of(
            judged,
            judge=endpoint.name,
            model=endpoint.model,
            way=self.way,
            prompt=self.asked.digest,
            expected=len(tasks),
            cost=cost,
            money=self.price.of(cost.tokens_in, cost.tokens_out) if self.price_in or self.price_out else None,
            is_estimated=cost != total_of(lines),
            is_out_of_budget=not is_whole,
            people=votes_on(rows, settings.evaluations),
        )
        return report, judged

    def _writer(self, out: JobWriter) -> Any:
        return lambda line: out.append(JUDGMENTS, line)

    def _spent(self, budget: Budget) -> str:
        if self.price_in or self.price_out:
            return f"{budget.spent.calls:,} calls, {budget.money:,.2f} spent"
        return f"{budget.spent.calls:,} calls, {budget.spent.tokens:,} tokens"

    def _write_known(self, tasks: Sequence[Task], out: JobWriter, settings: Settings, file: Path) -> None:
        """What an earlier evaluation asked in the same words is taken from there."""
        there = [row for row in judged_in(read_lines(file, 0)[0]) if row.holds(self.longest)]
        known = known_in(settings.evaluations, self.longest)
        for row in copies(tasks, known, there):
            out.append(JUDGMENTS, row.to_json())


def spent_in(folder: Path) -> Cost:
    """What all calls of a job took, with those that were on their way when it was ended."""
    lines, began = (read_lines(folder / f"{name}.jsonl", 0)[0] for name in (JUDGMENTS, BEGUN))
    return total_of(lines) + lost_in(began, lines)


def known_in(evaluations: Path, longest: int) -> dict[str, Judged]:
    """{key: judgment} of all that was ever judged here, and holds where one may have `longest` tokens."""
    found: dict[str, Judged] = {}
    for file in sorted(evaluations.glob(f"*/{JUDGMENTS}.jsonl")):
        for row in judged_in(read_lines(file, 0)[0]):
            if row.holds(longest) and not (row.was_cut and row.key in found):
                found[row.key] = row
    return found


# ---- figures

Values = dict[str, list[float]]  # {id of a question: what was got there}


def _by_contestant(judged: Sequence[Judged], way: str) -> dict[str, dict[tuple[str, str], Values]]:
    """{contestant: {(opponent, category): {question: what it got}}}; the opponent of one alone is ""."""
    found: dict[str, dict[tuple[str, str], Values]] = {}
    for name, other, category, question, value in _gains(judged, way):
        found.setdefault(name, {}).setdefault((other, category), {}).setdefault(question, []).append(value)
    return found


def _gains(judged: Sequence[Judged], way: str) -> Iterator[tuple[str, str, str, str, float]]:
    """(contestant, opponent, category, question, what it got)"""
    readable = [row for row in judged if row.is_readable]
    if way == "single":
        for row in readable:
            yield row.model_a, "", row.category, row.question, float(row.score or 0.0)
        return
    pairs: dict[tuple[str, str, str], list[Judged]] = {}
    for row in readable:
        pairs.setdefault((row.question, row.model_a, row.model_b), []).append(row)
    for (question, a, b), some in pairs.items():
        value = {"a": 1.0, "b": 0.0}.get(one_verdict(some), 0.5)
        yield a, b, some[0].category, question, value
        yield b, a, some[0].category, question, 1 - value


def _measured(name: str, got: Mapping[tuple[str, str], Values], scale: tuple[float, float]) -> Measured:
    categories = dict.fromkeys(category for _, category in got if category)
    by = {one: _figure([some for (_, category), some in got.items() if category == one], scale) for one in categories}
    return Measured(name, {"judge": _figure(got.values(), scale)}, by)


def _figure(some: Iterable[Values], scale: tuple[float, float]) -> Figure:
    """The mean of what was got, whoever it was compared with; its interval is over questions."""
    every = [(question, value) for values in some for question, got in values.items() for value in got]
    if scale == SCALES["pairs"]:
        return share_by_question(every) or Figure.mean_of([])
    return Figure.mean_of([value for _, value in every], *scale)


def _comparisons(
    figures: Mapping[str, Mapping[tuple[str, str], Values]], names: Sequence[str], way: str
) -> list[Comparison]:
    found = []
    for a, b in itertools.combinations(names, 2):
        one = _values(figures.get(a, {}), b if way == "pairs" else "")
        other = _values(figures.get(b, {}), a if way == "pairs" else "")
        both = [question for question in one if question in other]
        if both:
            gap = SCALES[way][1] - SCALES[way][0]
            found.append(compared(a, b, [one[q] for q in both], [other[q] for q in both], largest=gap))
    return found


def _values(got: Mapping[tuple[str, str], Values], opponent: str) -> dict[str, float]:
    return {
        question: sum(values) / len(values)
        for (other, _), some in got.items()
        if other == opponent
        for question, values in some.items()
    }
