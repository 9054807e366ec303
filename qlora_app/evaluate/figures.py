"""Means with the interval that holds the true one 95 times of 100, over questions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..chance import LEVEL, Z, student, wilson

DRAWS = 2000  # of a bootstrap
MOST_COUNTED = 100_000.0  # where nothing bounds a count, and one question says nothing of others


@dataclass(frozen=True)
class Figure:
    """A mean over questions, with the interval that holds the true one 95 times of 100."""

    value: float
    questions: int
    low: float
    high: float

    @classmethod
    def mean_of(cls, scores: Sequence[float], lowest: float = 0.0, highest: float = 1.0) -> "Figure":
        """The mean of scores from `lowest` to `highest` (infinite for counts), one a question. Where all are
        0 or 1, the interval is Wilson's (1927).
        """
        count, top = len(scores), min(highest, MOST_COUNTED)
        if not count:
            return cls(0.0, 0, lowest, top)
        mean = sum(scores) / count
        is_share = (lowest, highest) == (0.0, 1.0)
        if is_share and all(score in (0.0, 1.0) for score in scores):
            return cls(mean, count, *wilson(mean, count))
        if count == 1:
            return cls(mean, count, lowest, top)
        if min(scores) == max(scores):
            return cls(mean, count, *all_alike(mean, count, lowest, highest))
        variance = sum((score - mean) ** 2 for score in scores) / (count - 1)
        margin = student(count - 1) * math.sqrt(variance / count)
        return cls(mean, count, max(lowest, mean - margin), min(highest, mean + margin))

    @classmethod
    def drawn(cls, count: int, figure_of: Callable[[Sequence[int]], float], highest: float = 1.0) -> "Figure":
        """Any figure of questions, given by their places: its interval is that of a bootstrap that draws questions
        (percentiles of 2,000 draws; Efron 1979).
        """
        import numpy as np

        if count < 2:
            return cls(figure_of(range(count)) if count else 0.0, count, 0.0, highest)
        chance = np.random.default_rng(0)
        drawn = [figure_of(chance.integers(0, count, count).tolist()) for _ in range(DRAWS)]
        ends: list[float] = np.percentile(drawn, [2.5, 97.5]).tolist()
        value = figure_of(list(range(count)))
        if ends[0] == ends[1]:  # every draw is the same: whatever was not seen is in none of them
            ends = list(all_alike(value, count, 0.0, highest))
        return cls(value, count, min(value, ends[0]), max(value, ends[1]))


def all_alike(value: float, count: int, lowest: float, highest: float) -> tuple[float, float]:
    """The interval of a mean whose `count` scores are all `value`: without a spread it had no width.

    So many of all questions may score otherwise, by as much as there can be, that none of them is drawn 5 times of 100
    only. A count has no bound: it is taken for as scattered as what comes by chance (Poisson's), by the score interval.
    """
    if math.isinf(highest):
        middle, margin = value + Z**2 / (2 * count), Z * math.sqrt(value / count + Z**2 / (4 * count**2))
        return max(lowest, middle - margin), middle + margin
    others = 1 - LEVEL ** (1 / count)
    return value - others * (value - lowest), value + others * (highest - value)
