"""What is looked at of a training, and what can be found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import Problem
from ...recipe import Recipe
from ..curve import Curve
from ..proof import Proof
from ..rows import SampleRow
from .figures import first_of

FEWEST_STEPS = 10  # fewer say nothing


@dataclass(frozen=True)
class Finding:
    """What is wrong, why it may be, and {dotted setting: another value} that may mend it; empty where no setting does.

    A severe one says that going on is of no use.
    """

    code: str
    sentence: Problem
    cause: Problem
    change: Mapping[str, Any] = field(default_factory=dict)
    is_severe: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "sentence": str(self.sentence),
            "cause": str(self.cause),
            "change": dict(self.change),
            "severe": self.is_severe,
        }


@dataclass(frozen=True)
class Seen:
    """What is known of a training when it is looked at.

    total: its steps, 0 while that is not known. failure: the code of the sentence it failed with.
    """

    curve: Curve
    recipe: Recipe
    total: int
    has_ended: bool = False
    failure: str = ""
    samples: tuple[SampleRow, ...] = ()
    proof: Proof | None = None

    @property
    def done(self) -> int:
        """The newest step."""
        return int(self.curve.buckets[-1][0]) if self.curve.buckets else 0

    @property
    def warm_up(self) -> int:
        """Steps in which the learning rate rises."""
        return round(self.recipe.training.warmup_ratio * self.total)

    @property
    def at_first(self) -> float:
        """The loss before anything was learned: of the first steps, or of the base on held-out rows if that is higher.

        One step alone jumps, and what a method adds to its loss is in no measurement.
        """
        measured = next((loss for step, loss in self.curve.held_out if step == 0), 0.0)
        return max(measured, first_of(self.curve, 3))

    @property
    def measured(self) -> list[list[float]]:
        """The held-out measurements in their order: [step, loss]."""
        found = {step: [step, loss] for step, loss in self.curve.held_out}
        return [found[step] for step in sorted(found)]

    @property
    def is_early(self) -> bool:
        """Is nothing to be expected of its answers yet?"""
        return self.done < max(FEWEST_STEPS, 0.5 * self.total)

    @property
    def answers(self) -> list[SampleRow]:
        """The newest answers of the adapter, one to each question; those of the base do not count."""
        step = self.samples[-1].get("step", 0) if self.samples else 0
        newest = [row for row in self.samples if step and row.get("step", 0) == step]
        return list({row.get("question", ""): row for row in newest}.values())
