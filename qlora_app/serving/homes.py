"""Whose keys open what: the owner's home, and that of each member, with how much may be asked of it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from .answering import Answers
from .keys import ApiKeys
from .models import ServedModels
from .problems import ApiError


@dataclass(frozen=True)
class Limits:
    """Of one person, whose questions on the page count too. most: at once; asked: how many of the page are under way;
    check: raises UserError for whoever had as many tokens as one may have; add: so many were written.
    """

    most: int
    asked: Callable[[], int]
    check: Callable[[], None]
    add: Callable[[int], None]


@dataclass
class Home:
    """What the keys of one person open. own: the folders that may be opened for them; None for the owner, for whom any
    may.
    """

    models: ServedModels
    keys: ApiKeys
    own: Sequence[Path] | None = None
    limits: Limits | None = None
    begun: list[Answers] = field(default_factory=list)  # those of which something may still be computed
    _beginning: list[int] = field(default_factory=list)  # answers wished for whose model may still be loading

    def requests(self) -> int:
        """How many are answered or wait."""
        self.begun = [one for one in self.begun if not one.is_over]
        return len(self._beginning) + len(self.begun)

    def answers(self) -> int:
        """How many are wished for or written: a request may wish for several."""
        self.begun = [one for one in self.begun if not one.is_over]
        return sum(self._beginning) + sum(len(one.writings) for one in self.begun)

    @contextlib.contextmanager
    def beginning(self, count: int) -> Iterator[None]:
        """So many answers are about to be written. Raises ApiError where they are more than one may have."""
        self._check(count)
        self._beginning.append(count)
        try:
            yield
        finally:
            self._beginning.remove(count)

    def count(self, answers: Answers) -> None:
        """They have come to their end, or nobody waits for them any more."""
        if self.limits:
            self.limits.add(answers.tokens)

    def _check(self, count: int) -> None:
        if self.limits is None:
            return
        if count > self.limits.most:
            raise ApiError(400, f"n: at most {self.limits.most} answers at once are yours.", "n", "too_many_answers")
        if self.answers() + self.limits.asked() + count > self.limits.most:
            words = f"At most {self.limits.most} of your answers are written at once, those on the page among them."
            raise ApiError(429, words, code="rate_limit_exceeded")
        try:
            self.limits.check()
        except UserError as error:
            raise ApiError(429, str(error), code="rate_limit_exceeded") from error
