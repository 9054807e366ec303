"""What a judge found, and how far it can be trusted: what could not be read, whether it favours the answer that stands
first, whether both orders agree, and whether people agree with it.

Both orders and all pairs of a question share that question, so intervals are over questions, not over judgments.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ...chance import student
from ...errors import Problem
from ...storage.typed import filled
from ..figures import Figure
from .budget import Cost
from .judged import Judged

FEWEST = 2  # questions for an interval
NO_SPREAD = 1e-9
SAYS_LITTLE = 0.6  # both orders agree less often than that: the judge decides about by chance
OF_ALL = ""  # the category of everything


@dataclass(frozen=True)
class Standing:
    """Two models: what the first got of the second. A question counts as won where both orders say so, else as a tie;
    where one order alone could be read, as that says.
    """

    model_a: str
    model_b: str
    win: int
    tie: int
    loss: int
    rate: Figure  # wins and half of the ties
    category: str = OF_ALL


@dataclass(frozen=True)
class WithPeople:
    """The same pairs of answers judged by people: how often the judge says the same of three classes."""

    judgments: int
    agree: Figure
    by_chance: float  # how often two who decide independently of each other would agree
    kappa: float | None  # Cohen's; None where it says nothing


@dataclass(frozen=True)
class JudgeReport:
    """All that a judge found."""

    judge: str
    model: str
    way: str  # pairs | single
    prompt: str  # digest of what was asked
    expected: int  # judgments that were to be had
    readable: int
    unreadable: int  # the judge wrote something without a verdict
    cut: int  # of these: what reached the longest it may be
    failed: int  # the endpoint brought nothing
    calls: int
    tokens_in: int
    tokens_out: int
    is_estimated: bool  # some tokens were not counted by the endpoint
    money: float | None  # None: without a price
    is_out_of_budget: bool
    first_won: Figure | None = None  # of decided judgments
    orders_agree: Figure | None = None  # of pairs that were readable in both orders
    standings: list[Standing] = field(default_factory=list)
    scores: dict[str, Figure] = field(default_factory=dict)  # {model: mean of 1 to 10}
    people: WithPeople | None = None

    @property
    def left(self) -> int:
        """Judgments that are missing: not asked for, or failed."""
        return self.expected - self.readable - self.unreadable

    @property
    def unreadable_share(self) -> float:
        return self.unreadable / max(1, self.readable + self.unreadable)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "JudgeReport":
        return filled(cls, values)

    # ---- in words

    @property
    def words(self) -> list[Problem]:
        """What a reader must know of the judge before its verdicts, a sentence each."""
        return [*self._what_is_missing(), *self._how_it_judges()]

    def _what_is_missing(self) -> Iterator[Problem]:
        yield Problem(
            "judge.could_be_read",
            "{readable:,} of {expected:,} judgments could be read.",
            readable=self.readable,
            expected=self.expected,
        )
        if self.unreadable:
            yield Problem(
                "judge.unreadable",
                "{share:.1%} of what the judge wrote has no verdict that could be read ({count:,}; {cut:,} cut off).",
                share=self.unreadable_share,
                count=self.unreadable,
                cut=self.cut,
            )
        if self.is_out_of_budget:
            yield Problem("judge.budget_ended", "The budget ended it: {left:,} judgments are missing.", left=self.left)
        elif self.left:
            yield Problem("judge.missing", "{left:,} judgments are missing: the endpoint brought none.", left=self.left)

    def _how_it_judges(self) -> Iterator[Problem]:
        if self.first_won:
            yield Problem("judge.first_won", "The answer that stood first won {share}.", share=_share(self.first_won))
            if self.first_won.low > 0.5:
                yield Problem("judge.favours_first", "The judge favours what stands first.")
            if self.first_won.high < 0.5:
                yield Problem("judge.favours_second", "The judge favours what stands second.")
        if self.orders_agree:
            yield Problem(
                "judge.orders_agree", "Both orders of a pair agree in {share}.", share=_share(self.orders_agree)
            )
            if self.orders_agree.value < SAYS_LITTLE:
                yield Problem("judge.says_little", "So its verdicts say little.")
        if self.people:
            yield Problem(
                "judge.with_people",
                "Where people judged the same, it agrees in {share}.",
                share=_share(self.people.agree),
            )
            yield Problem("judge.by_chance", "By chance that would be {share:.0%}.", share=self.people.by_chance)


def _share(figure: Figure) -> Problem:
    return Problem(
        "judge.share",
        "{share:.0%} (95 % interval {low:.0%} to {high:.0%})",
        share=figure.value,
        low=figure.low,
        high=figure.high,
    )


def report_of(
    rows: Sequence[Judged],
    *,
    judge: str,
    model: str,
    way: str,
    prompt: str,
    expected: int,
    cost: Cost,
    money: float | None,
    is_out_of_budget: bool,
    is_estimated: bool = False,
    people: Iterable[Mapping[str, Any]] = (),
) -> JudgeReport:
    """rows: the judgments, one each. is_estimated: is some of the cost? people: votes as rows with
    question, model_a, model_b and winner.
    """
    asked = [row for row in rows if row.is_asked]
    readable = [row for row in asked if row.is_readable]
    is_pairs = way == "pairs"
    return JudgeReport(
        judge=judge,
        model=model,
        way=way,
        prompt=prompt,
        expected=expected,
        readable=len(readable),
        unreadable=len(asked) - len(readable),
        cut=sum(row.was_cut and not row.is_readable for row in asked),
        failed=len(rows) - len(asked),
        calls=cost.calls,
        tokens_in=cost.tokens_in,
        tokens_out=cost.tokens_out,
        is_estimated=is_estimated or any(row.is_estimated for row in asked),
        money=money,
        is_out_of_budget=is_out_of_budget,
        first_won=_first_won(readable) if is_pairs else None,
        orders_agree=_orders_agree(readable) if is_pairs else None,
        standings=_standings(readable) if is_pairs else [],
        scores={} if is_pairs else _scores(readable),
        people=with_people(readable, people) if is_pairs else None,
    )


# ---- single figures


def _first_won(rows: Sequence[Judged]) -> Figure | None:
    decided = [row for row in rows if row.first_won is not None]
    return share_by_question([(row.question, float(bool(row.first_won))) for row in decided])


def _orders_agree(rows: Sequence[Judged]) -> Figure | None:
    both = [pair for pair in _by_pair(rows).values() if len(pair) == 2]
    return share_by_question([(pair[0].question, float(pair[0].winner == pair[1].winner)) for pair in both])


def _standings(rows: Sequence[Judged]) -> list[Standing]:
    """Over all questions, then by category."""
    couples: dict[tuple[str, str, str], list[tuple[str, float]]] = {}
    for (question, a, b), pair in _by_pair(rows).items():
        said = {row.winner for row in pair}
        value = {"a": 1.0, "b": 0.0}.get(str(said.pop()), 0.5) if len(said) == 1 else 0.5
        for category in dict.fromkeys((OF_ALL, pair[0].category)):
            couples.setdefault((category, a, b), []).append((question, value))
    ordered = sorted(couples.items(), key=lambda one: one[0][0] != OF_ALL)
    return [_standing(*names, values) for names, values in ordered]


def _standing(category: str, a: str, b: str, values: list[tuple[str, float]]) -> Standing:
    got = [value for _, value in values]
    rate = share_by_question(values) or Figure(0.0, 0, 0.0, 1.0)
    return Standing(a, b, got.count(1.0), got.count(0.5), got.count(0.0), rate, category)


def _scores(rows: Sequence[Judged]) -> dict[str, Figure]:
    by_model: dict[str, list[float]] = {}
    for row in rows:
        by_model.setdefault(row.model_a, []).append(float(row.score or 0.0))
    return {model: Figure.mean_of(scores, 1.0, 10.0) for model, scores in by_model.items()}


def with_people(rows: Sequence[Judged], people: Iterable[Mapping[str, Any]]) -> WithPeople | None:
    """The judge's verdict of a pair beside each vote of people on it; None where they judged no pair in common."""
    judged = {key: one_verdict(pair) for key, pair in _by_pair(rows).items()}
    both = []
    for vote in people:
        question, a, b = (str(vote.get(name)) for name in ("question", "model_a", "model_b"))
        winner = vote.get("winner")
        if (question, b, a) in judged:
            a, b, winner = b, a, {"a": "b", "b": "a"}.get(str(winner), winner)
        if (question, a, b) in judged and winner in ("a", "b", "tie"):
            both.append((question, judged[question, a, b], str(winner)))
    agree = share_by_question([(question, float(one == other)) for question, one, other in both])
    if agree is None:
        return None
    chance = sum(
        sum(one == kind for _, one, _ in both) * sum(other == kind for *_, other in both) / len(both) ** 2
        for kind in ("a", "b", "tie")
    )
    kappa = (agree.value - chance) / (1 - chance) if chance < 1 else None
    return WithPeople(len(both), agree, chance, kappa)


def one_verdict(pair: Sequence[Judged]) -> str:
    said = {str(row.winner) for row in pair}
    return said.pop() if len(said) == 1 else "tie"


def _by_pair(rows: Sequence[Judged]) -> dict[tuple[str, str, str], list[Judged]]:
    found: dict[tuple[str, str, str], list[Judged]] = {}
    for row in rows:
        found.setdefault((row.question, row.model_a, row.model_b), []).append(row)
    return found


def share_by_question(values: Sequence[tuple[str, float]]) -> Figure | None:
    """The share over all values, from 0 to 1, with the interval of a ratio whose observations are questions (Cochran
    1977, 6.4). One value a question is a mean as any other; so is one without a spread, whose interval had no width.
    """
    if not values:
        return None
    by_question: dict[str, list[float]] = {}
    for question, value in values:
        by_question.setdefault(question, []).append(value)
    if len(by_question) == len(values):
        return Figure.mean_of([value for _, value in values])
    count, mean = len(by_question), sum(value for _, value in values) / len(values)
    left = [sum(some) - mean * len(some) for some in by_question.values()]
    spread = math.sqrt(sum(one**2 for one in left)) / len(values)
    if count < FEWEST or spread < NO_SPREAD:
        return Figure.mean_of([mean] * count)
    margin = student(count - 1) * spread * math.sqrt(count / (count - 1))
    return Figure(mean, count, max(0.0, mean - margin), min(1.0, mean + margin))
