"""Two contestants on the same questions: who is better, by how much, and is it more than chance?

Where every score is 0 or 1, the exact test of McNemar (1947) over the questions that only one got right; otherwise the
permutation test of Fisher (1935) and Pitman (1937) for pairs. The interval is that of the paired differences.
"""

import math
from collections.abc import Sequence
from typing import Literal

from ..chance import LEVEL, Pairs, student
from .evaluation import Comparison, How
from .figures import DRAWS, all_alike

MOST_TURNED = 10  # questions of which every way is tried
Better = Literal["higher", "lower", "neither"]  # which score is the better one


def compared(
    first: str,
    second: str,
    one: Sequence[float],
    other: Sequence[float],
    better: Better = "higher",
    largest: float = math.inf,
) -> Comparison:
    """one, other: the scores of each, question by question. largest: difference that there can be."""
    count = len(one)
    differences = [a - b for a, b in zip(one, other, strict=True)]
    sign = -1 if better == "lower" else 1
    first_better = sum(sign * gap > 0 for gap in differences)
    second_better = sum(sign * gap < 0 for gap in differences)
    mean = sum(differences) / count if count else 0.0
    is_right_or_wrong = all(score in (0.0, 1.0) for score in (*one, *other))
    if is_right_or_wrong:
        p = Pairs(count, first_better, second_better).p
    else:
        p = _turned_p(differences, mean)
    low, high = _interval(differences, mean, p, largest)
    how: How = "right" if is_right_or_wrong else "better"
    if better == "neither":
        how = "more"
    return Comparison(first, second, count, first_better, second_better, mean, low, high, p, how)


def _interval(
    differences: Sequence[float], mean: float, p: float, largest: float
) -> tuple[float, float] | tuple[None, None]:
    """Of the difference, by Student's t; none of a single question, which says nothing about others, nor of those that
    all differ alike where there is no largest. What may be chance holds no difference too, and nothing else does.
    """
    count = len(differences)
    if count < 2:
        return None, None
    if min(differences) == max(differences):
        if math.isinf(largest):
            return None, None
        low, high = all_alike(mean, count, -largest, largest)
    else:
        variance = sum((gap - mean) ** 2 for gap in differences) / (count - 1)
        margin = student(count - 1) * math.sqrt(variance / count)
        low, high = max(-largest, mean - margin), min(largest, mean + margin)
    if p >= LEVEL:
        return min(0.0, low), max(0.0, high)
    return (max(0.0, low), high) if mean > 0 else (low, min(0.0, high))


def _turned_p(differences: Sequence[float], mean: float) -> float:
    """How often a difference as large comes about where, for each question by a coin, the two change places."""
    import numpy as np

    if mean == 0:
        return 1.0
    gaps = np.sort([gap for gap in differences if gap])  # whatever order the answers came in
    if len(gaps) <= MOST_TURNED:  # every way of the coins
        coins = (np.arange(2 ** len(gaps))[:, None] >> np.arange(len(gaps))) & 1
    else:
        drawn = np.random.default_rng(0).integers(0, 2, (DRAWS, len(gaps)))
        coins = np.vstack([drawn, np.ones((1, len(gaps)), int)])  # as it was is one of the ways
    sums = np.abs(((2 * coins - 1) * gaps).sum(axis=1))
    return float((sums >= abs(gaps.sum()) * (1 - 1e-9)).mean())
