"""What a run has answered, read from its folder once for everything on a card that shows it."""

from typing import NamedTuple

from ...runs import Run
from ...runs.rows import AskedRow, SampleRow


class Said(NamedTuple):
    """The rows of both files, oldest first."""

    samples: list[SampleRow]
    asked: list[AskedRow]


def said_by(run: Run, may_change: bool) -> Said:
    """What a run has answered so far; what its owner asked is nobody else's."""
    return Said(run.samples(), run.asked() if may_change else [])
