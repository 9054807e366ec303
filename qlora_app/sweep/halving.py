"""Successive halving: at some shares of its steps a run goes on only if its held-out loss is among the best of those
that have come so far. Runs come one after the other, so each is compared with those before it (as in asynchronous
successive halving, Li et al. 2020): the first one always goes on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..choices import Choices, setting
from ..runs import Run


class Halving(Choices):
    """Which share of the runs goes on, and when that is decided."""

    keep: float = setting(0.5, "Share kept", "Of the runs that have come so far, the best go on.", gt=0, lt=1)
    when: tuple[float, ...] = setting(
        (0.25, 0.5), "Decided at", "Shares of a run's steps, at the first held-out measurement after each."
    )


@dataclass(frozen=True)
class Decision:
    """Of one run at one share of its steps: its held-out loss there, and how many had come before it."""

    run: str
    when: float
    step: int
    loss: float
    before: int
    goes_on: bool


def goes_on(loss: float, before: Sequence[float], keep: float) -> bool:
    """Is a held-out loss among the kept share of those so far, itself among them? One of them always is."""
    among = sorted([*before, loss])
    kept = max(1, math.floor(len(among) * keep + 1e-9))
    return loss <= among[kept - 1]


def loss_at(run: Run, when: float, total: int) -> tuple[int, float] | None:
    """(step, held-out loss) of its first measurement from that share of its steps on, before the last; None before."""
    if not total:
        return None
    for step, loss in run.curve().held_out:
        if when * total <= step < total:
            return int(step), float(loss)
    return None
