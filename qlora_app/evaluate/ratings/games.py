"""Judgments as arrays: what every rating is computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .rows import Judgment

Array = Any  # numpy's types say nothing of shapes


@dataclass(frozen=True)
class Games:
    """n judgments of m models. first, second: [n] places in `models`; score: [n] what the first got, 1, 0 or a half;
    question: [n] from 0 on: judgments of one question are not independent. One that names none is one of its own.
    """

    models: tuple[str, ...]
    first: Array
    second: Array
    score: Array
    question: Array

    @classmethod
    def of(cls, rows: Sequence[Judgment], models: Sequence[str] = ()) -> "Games":
        """models: in which order they stand; by name where that is not said."""
        named = tuple(models) or tuple(sorted({name for row in rows for name in row.pair}))
        place = {name: at for at, name in enumerate(named)}
        seen: dict[str, int] = {}
        question = [seen.setdefault(row.question or f"\0{at}", len(seen)) for at, row in enumerate(rows)]
        return cls(
            named,
            np.array([place[row.model_a] for row in rows], dtype=np.int64),
            np.array([place[row.model_b] for row in rows], dtype=np.int64),
            np.array([row.score for row in rows], dtype=float),
            np.array(question, dtype=np.int64),
        )

    @property
    def questions(self) -> int:
        return int(self.question.max()) + 1 if len(self.question) else 0

    def wins(self) -> Array:
        """[m, m] what the model of a row got against that of a column: a tie is half a win of each."""
        m = len(self.models)
        table = np.zeros((m, m))
        np.add.at(table, (self.first, self.second), self.score)
        np.add.at(table, (self.second, self.first), 1 - self.score)
        return table


def groups_of(linked: Array) -> Array:
    """[m] the number of the group that each model belongs to; linked: [m, m] whether one leads to another. In one group
    are models that lead to each other, through others too.
    """
    m = len(linked)
    reach = linked.astype(bool) | np.eye(m, dtype=bool)
    for _ in range(max(1, m).bit_length()):  # each time twice as far
        reach = (reach.astype(float) @ reach.astype(float)) > 0
    mutual = reach & reach.T
    first = mutual.argmax(axis=1)  # the first model of its group names it
    return np.unique(first, return_inverse=True)[1]
