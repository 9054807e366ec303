"""Judgments as they are kept: one line each, written as they come, and never asked for twice."""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ...settings import Endpoint
from .budget import Cost

Winner = Literal["a", "b", "tie"]
Side = Literal["a", "b"]


def judge_of(endpoint: Endpoint, temperature: float | None) -> str:
    """What makes a judge another one: many call their model "default", so its address is told too, without secrets."""
    return json.dumps([endpoint.place, endpoint.model, temperature])


@dataclass(frozen=True)
class Answered:
    """One question with what two models answered, or one: then `model_b` is ""."""

    question: str  # its id
    text: str
    category: str
    model_a: str
    answer_a: str
    model_b: str = ""
    answer_b: str = ""
    expected: str = ""
    checksum_a: str = ""  # of what answered; "" where it is not known
    checksum_b: str = ""

    def key(self, first: Side, digest: str, judge: str) -> str:
        """Tells apart everything that a judgment depends on: question, answers, which stood first, prompt and judge.

        judge: the words of `judge_of`.
        """
        answers = [self.answer_a, self.answer_b] if first == "a" else [self.answer_b, self.answer_a]
        parts = [self.text, self.expected, self.category, *answers, digest, judge]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Judged:
    """One line of judgments.jsonl. `winner` is None where nothing could be read, `score` is that of one answer alone.

    `problem`: why there is no text at all; such a line is asked for again. The columns that ratings are made of are
    called as there: question, category, model_a, model_b, winner, rater, checksum_a, checksum_b.
    """

    key: str
    question: str
    category: str
    model_a: str
    model_b: str
    first: Side  # which stood first
    winner: Winner | None
    score: float | None
    rater: str
    text: str
    problem: str
    was_cut: bool
    calls: int
    tokens_in: int
    tokens_out: int
    is_estimated: bool
    seconds: float
    longest: int = 0  # tokens that it might have had
    checksum_a: str = ""  # of what answered; "" where it is not known
    checksum_b: str = ""

    @property
    def is_asked(self) -> bool:
        """The judge wrote something, whether or not that can be read."""
        return not self.problem

    def holds(self, longest: int) -> bool:
        """It is not asked for again where a judgment may have `longest` tokens: what was cut off before may end now."""
        return self.is_asked and not (self.was_cut and self.longest < longest)

    @property
    def is_readable(self) -> bool:
        return self.winner is not None or self.score is not None

    @property
    def place(self) -> tuple[str, ...]:
        """What it is about: of all lines about the same one counts."""
        return (self.question, self.model_a, self.model_b, self.first, self.key)

    @property
    def cost(self) -> Cost:
        return Cost(self.calls, self.tokens_in, self.tokens_out)

    @property
    def first_won(self) -> bool | None:
        """None for a tie, and for what cannot be read."""
        return None if self.winner in (None, "tie") else self.winner == self.first

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Judged":
        """Raises TypeError and AttributeError for what is no such line."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


def judged_rows(lines: Iterable[Any]) -> Iterator[Judged]:
    """All of them; lines of another form are passed over."""
    for line in lines:
        with contextlib.suppress(TypeError, AttributeError):
            yield Judged.from_json(line)


def judged_in(lines: Iterable[Any]) -> list[Judged]:
    """Of each judgment the last line that tells of it."""
    found: dict[tuple[str, ...], Judged] = {}
    for row in judged_rows(lines):
        there = found.get(row.place)
        if there is None or row.is_asked or not there.is_asked:
            found[row.place] = row
    return list(found.values())


def total_of(lines: Iterable[Any]) -> Cost:
    """What all lines took, those of failed attempts too."""
    return sum((row.cost for row in judged_rows(lines)), Cost())


def begun(key: str, most: Cost) -> dict[str, Any]:
    """The line that is written before a call. most: what it takes at most."""
    return {"key": key, "tokens_in": most.tokens_in, "tokens_out": most.tokens_out}


def lost_in(began: Iterable[Any], lines: Iterable[Any]) -> Cost:
    """What calls may have taken whose end is told in no line: they were on their way when the process was ended."""
    told: Counter[str] = Counter()
    for row in judged_rows(lines):
        told[row.key] += row.calls
    lost = Cost()
    for line in began:
        try:
            key, cost = str(line["key"]), Cost(1, int(line["tokens_in"]), int(line["tokens_out"]))
        except (TypeError, KeyError, ValueError):
            continue
        told[key] -= 1
        if told[key] < 0:
            lost += cost
    return lost
