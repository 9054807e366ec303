"""How fast a model of this machine has answered here, by the answers that are kept; and how long is left of what is
being asked.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..storage.reading import each_line, read_lines
from .kept_answers import FOLDER
from .question_sets import SetQuestion

Kind = Literal["decoding", "letters", "likelihoods"]  # what is kept: answers, chosen letters, how likely answers are
MOST_LOOKED_AT = 50  # newest files
FEWEST = 8  # rows that tell a pace, and questions that tell what is left


def kind_of(made_by: Mapping[str, Any]) -> Kind | None:
    """Of rows by what they depend on; None of those that have a pace of their own."""
    kinds: tuple[Kind, ...] = ("decoding", "letters", "likelihoods")
    return next((kind for kind in kinds if kind in made_by), None)


def measured_pace(evaluations: Path, kind: Kind, loaded_as: Mapping[str, Any]) -> float | None:
    """Seconds for each token of such rows, as the newest file of a model that is loaded so has it: tokens that are
    written of answers, that are read of the others. None where nothing was measured.
    """
    for file in _newest(evaluations / FOLDER):
        made_by = next((line for line, _ in each_line(file)), None) or {}
        contestant = made_by.get("contestant")
        if not isinstance(contestant, dict) or contestant.get("loaded_as") != loaded_as or kind_of(made_by) != kind:
            continue
        rows = [one for row in read_lines(file, 0)[0][1:] if (one := _seconds_and_tokens(row, kind))]
        seconds, tokens = (sum(one[place] for one in rows) for place in (0, 1))
        if len(rows) >= FEWEST and tokens and seconds:
            return seconds / tokens
    return None


def _newest(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        files = sorted(folder.glob("*.jsonl"), key=lambda file: file.stat().st_mtime, reverse=True)
        yield from files[:MOST_LOOKED_AT]


def _seconds_and_tokens(row: Any, kind: Kind) -> tuple[float, float] | None:
    """Of those that were answered together each has its part. Earlier versions did not say how many answers were."""
    if not isinstance(row, dict):
        return None
    seconds, tokens = row.get("seconds"), row.get("tokens")
    at_once = row.get("at_once", 0 if kind == "decoding" else 1)
    is_known = all(isinstance(one, int | float) for one in (seconds, tokens, at_once)) and at_once >= 1
    return (seconds / at_once, tokens) if is_known else None  # type: ignore[return-value]


class TimeLeft:
    """Seconds until all is asked, by what was asked since this start. Prompts of multiple choice are read by their
    length, the longest first; other questions count the same.
    """

    def __init__(
        self, questions: Sequence[SetQuestion], rounds: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        """rounds: contestants times what is kept of each."""
        lengths = {one.id: sum(map(len, one.pieces)) or 1 for one in questions}
        mean = sum(lengths.values()) / max(1, len(lengths))
        self._weights = {id: length / mean for id, length in lengths.items()}
        self._of_a_round, self._rounds, self._now = float(len(lengths)), rounds, now
        self._asked, self._count, self._left, self._seconds = 0.0, 0, 0.0, 0.0
        self._last = now()

    def begin(self, left: Sequence[SetQuestion]) -> None:
        """A round, of which so much is not answered yet."""
        self._rounds -= 1
        self._left = sum(self._weights[one.id] for one in left)

    def ready(self) -> None:
        """The model is loaded, and is asked from now on."""
        self._last = self._now()

    def took(self, id: str) -> None:
        """One is answered."""
        now, weight = self._now(), self._weights[id]
        self._seconds += now - self._last
        self._last = now
        self._count, self._asked, self._left = self._count + 1, self._asked + weight, self._left - weight

    @property
    def seconds(self) -> float | None:
        """None as long as too few tell."""
        if self._count < FEWEST or not self._asked:
            return None
        return self._seconds / self._asked * (max(0.0, self._left) + self._rounds * self._of_a_round)
