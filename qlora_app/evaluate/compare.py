"""Two contestants on the same questions: who is better, by how much, and is it more than chance?

Where every score is 0 or 1, the exact test of McNemar (1947) over the questions that only one got right; otherwise a
bootstrap that draws questions. The interval of the difference is that of the paired differences.
"""

import math
from collections.abc import Sequence
from typing import Literal

from ..chance import Pairs
from .evaluation import Comparison, How
from .figures import DRAWS, student

Better = Literal["higher", "lower", "neither"]  # which score is the better one


def compared(
    first: str, second: str, one: Sequence[float], other: Sequence[float], better: Better = "higher"
) -> Comparison:
    """one, other: the scores of each, question by question."""
    count = len(one)
    differences = [a - b for a, b in zip(one, other, strict=True)]
    sign = -1 if better == "lower" else 1
    first_better = sum(sign * gap > 0 for gap in differences)
    second_better = sum(sign * gap < 0 for gap in differences)
    mean = sum(differences) / count if count else 0.0
    margin = _margin(differences, mean)
    is_right_or_wrong = all(score in (0.0, 1.0) for score in (*one, *other))
    if is_right_or_wrong:
        p = Pairs(count, first_better, second_better).p
    else:
        p = _drawn_p(differences, mean)
    low, high = (None, None) if margin is None else (mean - margin, mean + margin)
    how: How = "right" if is_right_or_wrong else "better"
    if better == "neither":
        how = "more"
    return Comparison(first, second, count, first_better, second_better, mean, low, high, p, how)


def _margin(differences: Sequence[float], mean: float) -> float | None:
    """None of a single question: it says nothing about others."""
    count = len(differences)
    if count < 2:
        return None
    variance = sum((gap - mean) ** 2 for gap in differences) / (count - 1)
    return student(count - 1) * math.sqrt(variance / count)


def _drawn_p(differences: Sequence[float], mean: float) -> float:
    """How often a draw of as many questions from differences without any gap in the mean has one as large as theirs."""
    import numpy as np

    if not differences or mean == 0:
        return 1.0
    gaps = np.asarray(differences) - mean
    drawn = np.random.default_rng(0).choice(gaps, (DRAWS, len(gaps))).mean(1)
    return float((1 + (np.abs(drawn) >= abs(mean)).sum()) / (1 + DRAWS))
