"""Two contestants on the same questions: who is better, by how much, and is it more than chance?

Where every score is 0 or 1, the exact test of McNemar (1947) over the questions that only one got right; otherwise a
bootstrap that draws questions. The interval of the difference is that of the paired differences.
"""

import math
from collections.abc import Sequence

from ..chance import LEVEL, Pairs
from .evaluation import Comparison
from .figures import DRAWS, student


def compared(
    first: str, second: str, one: Sequence[float], other: Sequence[float], higher_is_better: bool = True
) -> Comparison:
    """one, other: the scores of each, question by question."""
    count = len(one)
    differences = [a - b for a, b in zip(one, other, strict=True)]
    sign = 1 if higher_is_better else -1
    first_better = sum(sign * gap > 0 for gap in differences)
    second_better = sum(sign * gap < 0 for gap in differences)
    mean = sum(differences) / count if count else 0.0
    margin = _margin(differences, mean)
    is_right_or_wrong = all(score in (0.0, 1.0) for score in (*one, *other))
    if is_right_or_wrong:
        p = Pairs(count, first_better, second_better).p
    else:
        p = _drawn_p(differences, mean)
    words = _words(first, second, count, (first_better, second_better), is_right_or_wrong, sign * mean, p)
    low, high = mean - margin, mean + margin
    return Comparison(first, second, count, first_better, second_better, mean, low, high, p, words)


def _margin(differences: Sequence[float], mean: float) -> float:
    count = len(differences)
    if count < 2:
        return math.inf if count else 0.0
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


def _words(
    first: str, second: str, count: int, better: tuple[int, int], is_right_or_wrong: bool, gain: float, p: float
) -> str:
    """In one sentence."""
    is_right = "is right where the other is wrong" if is_right_or_wrong else "scores higher"
    told = f"Of {count:,} questions, {first} {is_right} on {better[0]:,}, {second} on {better[1]:,}"
    chance = f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
    if p >= LEVEL:
        return f"{told}: no more than chance ({chance})."
    return f"{told}: {first if gain > 0 else second} is better by more than chance ({chance})."
