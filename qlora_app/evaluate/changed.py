"""What changed from one contestant to another: the questions they answer differently, and which are better or worse
for it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .evaluator import Evaluator
from .judge.judged import Judged
from .judge.report import one_verdict

Kind = Literal["better", "worse", "other"]  # the second's answer; other: nothing tells, or they are equally good
_TOLD = ("id", "question", "category", "expected")
KINDS: tuple[Kind, ...] = ("better", "worse", "other")


@dataclass(frozen=True)
class Changed:
    """A question with two answers that differ. by: what says which is better; "" where nothing does."""

    id: str
    question: str
    category: str
    expected: str
    first: str
    second: str
    kind: Kind
    by: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class WhatChanged:
    """All of them, and how many questions are answered in the same words."""

    changed: tuple[Changed, ...]
    alike: int

    @property
    def counts(self) -> dict[Kind, int]:
        found = Counter(one.kind for one in self.changed)
        return {kind: found[kind] for kind in KINDS}

    def to_json(self) -> dict[str, Any]:
        return {"counts": self.counts, "alike": self.alike, "changed": [one.to_json() for one in self.changed]}


def directions_of(evaluators: Iterable[Evaluator]) -> dict[str, bool]:
    """{evaluator: is more better?} of those that say, answer by answer, who is better."""
    telling = [one for one in evaluators if one.scores_answers and one.better != "neither"]
    return {type(one).model_fields["name"].default: one.better == "higher" for one in telling}


def what_changed(
    rows: Iterable[Mapping[str, Any]],
    first: str,
    second: str,
    directions: Mapping[str, bool],
    judged: Sequence[Judged] = (),
) -> WhatChanged:
    """rows: lines of an evaluation's rows.jsonl. directions: {evaluator: is more better?} of those that say who is
    better, the one that counts most first. Where a judge decided, it says so before them.
    """
    verdicts = _verdicts(judged, first, second)
    found, alike = [], 0
    for row in rows:
        answers = row.get("answers") or {}
        if first not in answers or second not in answers:
            continue
        texts = str(answers[first]), str(answers[second])
        if texts[0].strip() == texts[1].strip():
            alike += 1
            continue
        kind, by = _kind(row, first, second, directions, verdicts)
        id, question, category, expected = (str(row.get(name) or "") for name in _TOLD)
        found.append(Changed(id, question, category, expected, *texts, kind, by))
    return WhatChanged(tuple(found), alike)


def _kind(
    row: Mapping[str, Any], first: str, second: str, directions: Mapping[str, bool], verdicts: Mapping[str, Kind]
) -> tuple[Kind, str]:
    """(which it is, what says so)"""
    id = str(row.get("id"))
    if id in verdicts:
        return verdicts[id], "judge"
    scores = row.get("scores") or {}
    for name, more_is_better in directions.items():
        one, other = (scores.get(name, {}).get(who) for who in (first, second))
        if one is None or other is None or one == other:
            continue
        return ("better" if (other > one) == more_is_better else "worse"), name
    return "other", ""


def _verdicts(judged: Sequence[Judged], first: str, second: str) -> dict[str, Kind]:
    """{id of a question: what both orders agree on, or the one that could be read}"""
    pairs: dict[str, list[Judged]] = {}
    for one in judged:
        if one.winner is not None and {one.model_a, one.model_b} == {first, second}:
            pairs.setdefault(one.question, []).append(one)
    kinds: dict[str, Kind] = {}
    for id, some in pairs.items():
        verdict = one_verdict(some)
        winner = {"a": some[0].model_a, "b": some[0].model_b}.get(verdict)
        kinds[id] = "other" if winner is None else ("better" if winner == second else "worse")
    return kinds
