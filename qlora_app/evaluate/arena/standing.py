"""How an arena stands, for its owner: who leads, how sure that is, and how much longer it takes."""

from dataclasses import dataclass
from typing import Any

from ...errors import Problem
from ..ratings import Ratings, rate, votes_to_clear
from ..ratings.reading import Judgments
from .arena import Arena

ORDERS = 200  # of Elo: a page that is looked at while people vote is there at once


@dataclass(frozen=True)
class ArenaStanding:
    """ratings: None before the first vote. more: about how many votes are missing until no two neighbours are alike, 0
    where that is so, None where it cannot be told.
    """

    votes: int
    raters: int
    comments: int
    ratings: Ratings | None
    more: int | None

    @property
    def words(self) -> Problem:
        """What its owner is told first."""
        if not self.votes:
            return Problem("arena.no_votes", "No votes yet. Send the link to those who are to judge.")
        if self.more is None:
            return Problem("arena.not_clear", "It cannot be told yet how many votes it takes until it is clear.")
        if not self.more:
            return Problem("arena.is_clear", "The difference is clear: more votes change little.")
        return Problem(
            "arena.more_votes",
            "About {count:,} more votes until the difference is clear.",
            count=rounded(max(2, self.more)),
        )

    def to_json(self) -> dict[str, Any]:
        ratings = self.ratings.to_json() if self.ratings else None
        told = {"code": self.words.code, "sentence": str(self.words), "more_votes": self.more}
        return {"votes": self.votes, "raters": self.raters, "comments": self.comments, **told, "ratings": ratings}


def standing_of(arena: Arena) -> ArenaStanding:
    """From all votes so far."""
    votes = arena.votes()
    rows = [vote.judgment for vote in votes]
    return ArenaStanding(
        len(votes),
        len({vote.rater for vote in votes}),
        sum(bool(vote.comment) for vote in votes),
        rate(Judgments(rows), orderings=ORDERS) if rows else None,
        votes_to_clear(rows) if rows else None,
    )


def rounded(count: int) -> int:
    """As one says such a figure: 7 -> 7, 43 -> 45, 218 -> 220, 1840 -> 1900."""
    step = next((step for below, step in ((20, 1), (100, 5), (1000, 10)) if count < below), 100)
    return -(-count // step) * step
