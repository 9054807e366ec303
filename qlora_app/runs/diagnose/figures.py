"""Means and medians of parts of a curve, whose buckets each hold one value or several."""

import math

from ..curve import Buckets

Bucket = list[float]  # [first step, number of values, sum, lowest, highest]


def newest(buckets: Buckets, last: int) -> list[Bucket]:
    """The newest buckets that hold at least so many values."""
    found: list[Bucket] = []
    count = 0.0
    for bucket in reversed(buckets.buckets):
        if count >= last:
            break
        found.append(bucket)
        count += bucket[1]
    return found


def mean_of(buckets: list[Bucket]) -> float:
    """The mean of all values in them; 0 of none."""
    return sum(one[2] for one in buckets) / max(1, sum(one[1] for one in buckets))


def recent_mean(buckets: Buckets, last: int) -> float:
    """The mean of the newest so many values."""
    return mean_of(newest(buckets, last))


def first_of(buckets: Buckets, count: int) -> float:
    """The mean of the first so many values."""
    found: list[Bucket] = []
    for bucket in buckets.buckets:
        if sum(one[1] for one in found) >= count:
            break
        found.append(bucket)
    return mean_of(found)


def stretches(buckets: Buckets, size: int) -> list[float]:
    """The means of so many values each, oldest first; what is left over at the end is no stretch."""
    return [mean_of(part) for part in _parts(buckets, size)]


def error_of_means(buckets: Buckets, size: int) -> float:
    """By how much the means of so many values each differ where nothing has changed: their standard error, from how
    the values differ inside of each stretch.
    """
    parts = [part for part in _parts(buckets, size) if len(part) > 1]
    errors = [_variance([one[2] / one[1] for one in part]) / len(part) for part in parts]
    return math.sqrt(sum(errors) / len(errors)) if errors else 0.0


def _variance(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _parts(buckets: Buckets, size: int) -> list[list[Bucket]]:
    parts: list[list[Bucket]] = []
    part: list[Bucket] = []
    count = 0.0
    for bucket in buckets.buckets:
        part.append(bucket)
        count += bucket[1]
        if count >= size:
            parts.append(part)
            part, count = [], 0.0
    return parts


def median(values: list[float]) -> float:
    """The upper one of two in the middle; 0 of none."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0
