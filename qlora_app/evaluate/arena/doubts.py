"""Votes that somebody may doubt: too quick to have been read, or from where many raters came. The owner leaves them out
or not; nothing is thrown away.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from .arena import Vote

Doubt = Literal["hasty", "crowded"]
DOUBTS: tuple[Doubt, ...] = ("hasty", "crowded")
HASTY = 2.0  # seconds, within which nobody reads two answers
CROWD = 5  # raters of one neighbourhood of the network: a class, or one person who comes again and again


def doubted(votes: Sequence[Vote]) -> dict[Doubt, list[Vote]]:
    """The votes that each doubt is about."""
    raters: dict[str, set[str]] = defaultdict(set)
    for vote in votes:
        raters[vote.near].add(vote.rater)
    return {
        "hasty": [vote for vote in votes if vote.seconds < HASTY],
        "crowded": [vote for vote in votes if vote.near and len(raters[vote.near]) >= CROWD],
    }


def without(votes: Sequence[Vote], doubts: Iterable[str]) -> list[Vote]:
    """Those that none of these doubts is about."""
    found = doubted(votes)
    left_out = {vote.assignment for doubt in DOUBTS if doubt in doubts for vote in found[doubt]}
    return [vote for vote in votes if vote.assignment not in left_out]
