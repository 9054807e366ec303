"""Who stands where, and how sure that is: everything that is told of some judgments."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...errors import Problem, UserError
from .agreement import AgreementOfAll, agreement
from .bradley_terry import Fit, bradley_terry
from .elo import elo
from .games import Games
from .reading import Judgments
from .rows import Judgment, told_apart

ENOUGH = 10  # matches of a model, below which its rating is not told as one
FEW_QUESTIONS = 10
MOST_NAMED = 20  # raters in a sentence


@dataclass(frozen=True)
class Standing:
    """One model. rank: 1 and how many models are surely better; those of equal rank are not told apart."""

    model: str
    rank: int
    rating: float  # of Bradley and Terry
    low: float
    high: float
    elo: float
    matches: int
    wins: float  # a tie is half a win
    ties: int
    group: int  # of models that can be compared

    @property
    def has_enough(self) -> bool:
        return self.matches >= ENOUGH

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"enough_votes": self.has_enough}


@dataclass(frozen=True)
class Ratings:
    """standings: the best first. wins[a][b]: what a got against b. notes: what a reader has to know."""

    k: float
    orderings: int
    seed: int
    judgments: int
    questions: int
    standings: tuple[Standing, ...]
    wins: dict[str, dict[str, float]]
    categories: dict[str, tuple[Standing, ...]]
    agreement: AgreementOfAll
    notes: tuple[Problem, ...]
    judged: Judgments

    def to_json(self) -> dict[str, Any]:
        return {
            "elo": {one.model: round(one.elo, 2) for one in self.standings},
            "bradley_terry": _intervals(self.standings),
            "leaderboard": [one.to_json() for one in self.standings],
            "wins": self.wins,
            "categories": {name: _intervals(standings) for name, standings in self.categories.items()},
            "agreement": self.agreement.to_json(),
            "judgments": self.judgments,
            "questions": self.questions,
            "k": self.k,
            "orderings": self.orderings,
            "seed": self.seed,
            "notes": [{"code": note.code, "sentence": str(note)} for note in self.notes],
            "bad_rows": [row.to_json() for row in self.judged.bad],
            "bad_row_count": self.judged.bad_count,
        }


def rate(
    judged: Judgments, *, k: float = 32.0, orderings: int = 10_000, seed: int = 0, judges: Sequence[str] = ()
) -> Ratings:
    """All that some judgments say. judges: raters who are no people. Raises UserError for what rates nothing."""
    rows, several = told_apart(judged.rows)
    _check(rows, k, seed, judges)
    games = Games.of(rows)
    fit = bradley_terry(games)
    standings = _standings(games, fit, elo(games, k, orderings, seed))
    table = games.wins()
    wins = {
        model: {other: float(table[at, place]) for place, other in enumerate(games.models) if place != at}
        for at, model in enumerate(games.models)
    }
    return Ratings(
        k,
        orderings,
        seed,
        len(rows),
        games.questions,
        standings,
        wins,
        _by_category(rows, k, seed),
        agreement(rows, judges),
        (*_several_notes(several), *_notes(judged, games, fit, standings)),
        judged,
    )


def _check(rows: Sequence[Judgment], k: float, seed: int, judges: Sequence[str]) -> None:
    if not 0 < k < math.inf:
        raise UserError("ratings.bad_k", "K is {k}: a match moves a rating by a number above 0. Usual is 32.", k=k)
    if seed < 0:
        raise UserError("ratings.bad_seed", "The seed is {seed}: it starts at 0.", seed=seed)
    raters = {row.rater for row in rows if row.rater}
    for judge in judges:
        if judge not in raters:
            raise UserError(
                "ratings.no_such_rater",
                "No row was judged by {judge}. Those who judged: {raters}.",
                judge=judge,
                raters=", ".join(sorted(raters)[:MOST_NAMED]) or "nobody who has a name",
            )


def standings_of(
    rows: Sequence[Judgment], *, k: float = 32.0, orderings: int = 200, seed: int = 0
) -> tuple[Standing, ...]:
    """A leaderboard by itself, the best first."""
    games = Games.of(told_apart(rows)[0])
    return _standings(games, bradley_terry(games), elo(games, k, orderings, seed))


def votes_to_clear(rows: Sequence[Judgment]) -> int | None:
    """About how many more judgments like these it takes until every model is surely better or worse than the one next
    to it; 0 where that is so, None where it cannot be told yet: too few matches, groups that never met, or two that
    are as good as each other.
    """
    games = Games.of(told_apart(rows)[0])
    fit = bradley_terry(games)
    matches = np.bincount(games.first, minlength=len(games.models)) + np.bincount(
        games.second, minlength=len(games.models)
    )
    if len(games.models) < 2 or matches.min() < ENOUGH or fit.group.max() > 0:
        return None
    order = np.argsort(-fit.ratings)
    ratios = []
    for first, second in itertools.pairwise(order):
        apart, margin = fit.difference(int(first), int(second))
        ratios.append(margin / apart if apart > margin / 20 else math.inf)
    worst = max(ratios)
    if math.isinf(worst):
        return None
    return max(0, math.ceil(len(rows) * (worst**2 - 1)))


def _standings(games: Games, fit: Fit, elos: Any) -> tuple[Standing, ...]:
    low, high = fit.ratings - fit.margin, fit.ratings + fit.margin
    is_better = fit.surely_better()
    wins = games.wins().sum(axis=1)
    m, is_tie = len(games.models), (games.score == 0.5).astype(float)
    ties = np.bincount(games.first, is_tie, m) + np.bincount(games.second, is_tie, m)
    matches = np.bincount(games.first, minlength=m) + np.bincount(games.second, minlength=m)
    found = []
    for at, model in enumerate(games.models):
        found.append(
            Standing(
                model,
                1 + int(is_better[:, at].sum()),
                float(fit.ratings[at]),
                float(low[at]),
                float(high[at]),
                float(elos[at]),
                int(matches[at]),
                float(wins[at]),
                int(ties[at]),
                int(fit.group[at]),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.rating, one.model)))


def _intervals(standings: Sequence[Standing]) -> dict[str, dict[str, float]]:
    return {one.model: {name: round(getattr(one, name), 2) for name in ("rating", "low", "high")} for one in standings}


def _by_category(rows: Sequence[Judgment], k: float, seed: int) -> dict[str, tuple[Standing, ...]]:
    """None where all rows are of one category."""
    parts: dict[str, list[Judgment]] = defaultdict(list)
    for row in rows:
        parts[row.category].append(row)
    if len(parts) < 2:
        return {}
    return {name: standings_of(part, k=k, seed=seed) for name, part in sorted(parts.items()) if name}


def _several_notes(several: Mapping[str, int]) -> Iterator[Problem]:
    for name, count in several.items():
        yield Problem(
            "ratings.several_models",
            "{model} names {count} models with different weights: each is rated by itself, with the beginning of its "
            "checksum behind the name.",
            model=name,
            count=count,
        )


def _notes(judged: Judgments, games: Games, fit: Fit, standings: Sequence[Standing]) -> list[Problem]:
    notes = []
    rows = judged.rows
    if judged.bad_count:
        notes.append(
            Problem(
                "ratings.left_out",
                "Rows left out: {count:,}. They do not say who was better.",
                count=judged.bad_count,
            )
        )
    unnamed = sum(not row.question for row in rows)
    if unnamed:
        notes.append(
            Problem(
                "ratings.no_question",
                "{count:,} rows name no question: each is taken for independent of the others, so the intervals are "
                "narrower than they should be if several judge the same question.",
                count=unnamed,
            )
        )
    elif games.questions < FEW_QUESTIONS:
        notes.append(
            Problem(
                "ratings.few_questions",
                "So few questions ({count:,}) say little of others: the intervals cannot show that.",
                count=games.questions,
            )
        )
    if not any(row.rater for row in rows):
        notes.append(Problem("ratings.no_rater", "No row names its rater: whether raters agree is not known."))
    if fit.group.max(initial=0) > 0:
        notes.append(
            Problem(
                "ratings.not_connected",
                "The models fall into {count} groups that never met: ratings of different groups cannot be compared.",
                count=int(fit.group.max()) + 1,
            )
        )
    if fit.is_virtual:
        notes.append(
            Problem(
                "ratings.virtual",
                "A model won or lost everything: half a virtual win of each was added between all pairs that met.",
            )
        )
    few = [one.model for one in standings if not one.has_enough]
    if few:
        notes.append(
            Problem(
                "ratings.not_enough",
                "Not enough votes to rate {models}: at least {enough} matches are wanted.",
                models=", ".join(few),
                enough=ENOUGH,
            )
        )
    return notes
