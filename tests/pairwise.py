"""A small set of combinations in which every two values that occur together in one of all occur together."""

from collections.abc import Sequence
from itertools import combinations

Row = tuple[str, ...]


def pairwise(rows: Sequence[Row]) -> list[Row]:
    """Of all `rows` some, so that each pair of values in two columns that any row has is in one of these.

    Each step takes the row with the most pairs that are still missing, the first of equals: always the same rows.
    """
    pairs = {row: pairs_of(row) for row in rows}
    missing: set[tuple] = set().union(*pairs.values())
    taken = []
    while missing:
        best = max(rows, key=lambda row: len(pairs[row] & missing))
        taken.append(best)
        missing -= pairs[best]
    return [row for row in rows if row in taken]


def pairs_of(row: Row) -> frozenset[tuple]:
    """(column, value, other column, value) for every two columns."""
    return frozenset((i, row[i], j, row[j]) for i, j in combinations(range(len(row)), 2))
