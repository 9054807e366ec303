"""Is a difference more than chance? Shares with their intervals, and answers to the same questions compared in pairs.

Interval of a share: Wilson (1927), Probable inference, the law of succession, and statistical inference. Two answerers
on the same questions: the exact test of McNemar (1947), Note on the sampling error of the difference between
correlated proportions, as Dror et al. (ACL 2018, The hitchhiker's guide to testing statistical significance in natural
language processing) advise where an answer is right or wrong. Several comparisons at once: Holm (1979), A simple
sequentially rejective multiple test procedure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.959964  # standard deviations to each side of a mean, between which 95 of 100 normal values lie
LEVEL = 0.05  # what would come by chance less often than this is called more than chance


@dataclass(frozen=True)
class Share:
    """So many of so many, with the interval that holds the true share 95 times of 100."""

    right: int
    questions: int

    @property
    def value(self) -> float:
        return self.right / self.questions if self.questions else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest, from 0 to 1; of no questions nothing is known."""
        return wilson(self.value, self.questions) if self.questions else (0.0, 1.0)

    @property
    def words(self) -> str:
        """On the page and in a terminal the same."""
        low, high = self.interval
        return f"{self.value:.0%} right (95 % interval: {low:.0%} to {high:.0%})."


def wilson(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share of `count`: never beyond 0 and 1, also for few questions."""
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    margin = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
    return max(0.0, min(share, middle - margin)), min(1.0, max(share, middle + margin))


@dataclass(frozen=True)
class Pairs:
    """Two answerers on the same questions: how many there are, and how many only one of them got right."""

    questions: int
    only_first: int
    only_second: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> "Pairs":
        """Counted from whether each answer is right, question by question. Raises ValueError for unequal lengths."""
        pairs = list(zip(first, second, strict=True))
        return cls(len(pairs), pairs.count((True, False)), pairs.count((False, True)))

    @property
    def p(self) -> float:
        """How often so large a difference, or a larger one, would come by chance: McNemar's exact test, two-sided."""
        differing = self.only_first + self.only_second
        fewer = min(self.only_first, self.only_second)
        ways = sum(math.comb(differing, count) for count in range(fewer + 1))
        return min(1.0, 2 * ways / 2**differing)


def holm(chances: Sequence[float]) -> list[float]:
    """The p values of several comparisons, each as large as it must be so that all of them together hold; in the order
    given.
    """
    corrected = [0.0] * len(chances)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda place: chances[place])):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = largest
    return corrected


def student(degrees: int) -> float:
    """The two-sided 95 % quantile of Student's t (Abramowitz & Stegun 26.7.5; of the fewest degrees from the table)."""
    exact = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764}
    if degrees < 1:
        return math.inf
    if degrees in exact:
        return exact[degrees]
    z, f = Z, degrees
    terms = (
        z,
        (z**3 + z) / (4 * f),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * f**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * f**4),
    )
    return sum(terms)
