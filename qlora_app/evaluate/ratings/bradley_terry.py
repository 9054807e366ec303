"""Ratings that do not depend on the order of the matches (Bradley & Terry 1952), and how sure they are.

Judgments of one question share the question and the mood of its judge: both orders and all pairs of it count as one
observation. So the variance is the sandwich of Liang & Zeger (1986), clustered by question, with the quantile of
Student's t of as many degrees of freedom as there are questions, less one.
"""

import math
from dataclasses import dataclass

import numpy as np

from ...chance import student
from .elo import SCALE, START
from .games import Array, Games, groups_of

STEPS, NEAR = 100, 1e-10  # of Newton's method; in nats
LONGEST_STEP = 2.0  # nats
HALF = 0.5  # a virtual win of each of two models that met


@dataclass(frozen=True)
class Fit:
    """m models. ratings: [m] Elo points, whose mean over each group is 1000; covariance: [m, m] of them; group: [m] of
    models that can be compared; quantile: how many standard errors make 95 %; is_virtual: half games were added.
    """

    ratings: Array
    covariance: Array
    group: Array
    quantile: float
    is_virtual: bool

    @property
    def margin(self) -> Array:
        """[m] to each side of a rating."""
        return self.quantile * np.sqrt(np.diag(self.covariance))

    def difference(self, first: int, second: int) -> tuple[float, float]:
        """(points between two models, margin of that)."""
        c = self.covariance
        variance = c[first, first] + c[second, second] - 2 * c[first, second]
        return float(self.ratings[first] - self.ratings[second]), self.quantile * math.sqrt(max(0.0, float(variance)))

    def surely_better(self) -> Array:
        """[m, m] whether the model of a row is better than that of a column, by the interval of their difference; never
        between groups.
        """
        own = np.diag(self.covariance)
        variance = own[:, None] + own[None, :] - 2 * self.covariance
        apart = self.ratings[:, None] - self.ratings[None, :]
        is_clear = apart > self.quantile * np.sqrt(np.maximum(0.0, variance))
        return is_clear & (self.group[:, None] == self.group[None, :])


def bradley_terry(games: Games) -> Fit:
    """Fit all matches. Where a model only won or only lost (or a set of them against all others), half a virtual win
    and half a loss are added between each pair that met, else it had no finite rating.
    """
    wins = games.wins()
    group = groups_of(wins + wins.T > 0)
    is_virtual = len(np.unique(groups_of(wins > 0))) > len(np.unique(group))
    if is_virtual:
        wins = wins + HALF * (wins + wins.T > 0)
    strengths = _newton(wins, group)
    bread = _inverse(_information(wins, strengths), group)
    independent = bread
    clustered = bread @ _meat(games, strengths) @ bread
    covariance = _wider(clustered, independent) / SCALE**2
    return Fit(START + strengths / SCALE, covariance, group, student(max(1, games.questions - 1)), is_virtual)


def _newton(wins: Array, group: Array) -> Array:
    """[m] strengths in nats, at which every model won as often as it is expected to; their mean in a group is 0."""
    played = wins + wins.T
    x = np.zeros(len(wins))
    for _ in range(STEPS):
        missing = (wins - played * _expected(x)).sum(axis=1)
        step = _inverse(_information(wins, x), group) @ missing
        longest = np.abs(step).max(initial=0.0)
        x = x + step * min(1.0, LONGEST_STEP / max(longest, NEAR))
        if longest < NEAR:
            break
    return x


def _expected(x: Array) -> Array:
    """[m, m] the share that the model of a row is expected to win against that of a column."""
    return 1 / (1 + np.exp(x[None, :] - x[:, None]))


def _information(wins: Array, x: Array) -> Array:
    """[m, m] of Fisher: a Laplacian, in which every row adds up to 0."""
    expected = _expected(x)
    weight = (wins + wins.T) * expected * (1 - expected)
    return np.diag(weight.sum(axis=1)) - weight


def _inverse(information: Array, group: Array) -> Array:
    """Its inverse among strengths whose mean in each group is 0."""
    together = (group[:, None] == group[None, :]).astype(float)
    mean = together / together.sum(axis=1, keepdims=True)
    return np.linalg.pinv(information + mean, hermitian=True) - mean


def _meat(games: Games, x: Array) -> Array:
    """[m, m] sum over questions of what each adds to the score, times itself."""
    m, left = len(x), games.score - 1 / (1 + np.exp(x[games.second] - x[games.first]))
    scores = np.bincount(games.question * m + games.first, left, games.questions * m)
    scores -= np.bincount(games.question * m + games.second, left, games.questions * m)
    by_question = scores.reshape(games.questions, m)
    return by_question.T @ by_question


def _wider(clustered: Array, independent: Array) -> Array:
    """The clustered covariance, in no direction narrower than if every judgment were independent: few questions, or
    matches that one model won almost all of, would claim a certainty that nobody has.
    """
    values, vectors = np.linalg.eigh(independent)
    known = values > values.max(initial=0.0) * 1e-9
    root = vectors[:, known] * np.sqrt(values[known])
    back = vectors[:, known] / np.sqrt(values[known])
    ratio, turned = np.linalg.eigh(back.T @ clustered @ back)
    inside = turned * np.maximum(ratio, 1.0)
    return root @ inside @ turned.T @ root.T
