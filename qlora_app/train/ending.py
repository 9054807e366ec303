"""A training that ends before its last step, and by itself: since going on is of no use, or of no more use, or because
its budget is used up.
"""

from collections.abc import Iterable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..errors import Problem
from ..runs.diagnose import Finding, Seen, severe
from ..runs.events import Event
from .best import BestSoFar
from .budget import Budget
from .callbacks import MetricsCallback
from .setup import TrainingSetup

LOOKED_AT_EVERY = 5  # steps


class EndingCallback(TrainerCallback):
    """Ends the run at the end of a step. At most one of `broken`, `has_stalled` and `used_up` is set then."""

    def __init__(self, job: TrainingSetup, reporter: MetricsCallback, best: BestSoFar, budget: Budget) -> None:
        self.job, self.reporter, self.best, self.budget = job, reporter, best, budget
        self.known = reasons(job.run.events())
        self.broken: Finding | None = None
        self.has_stalled = False
        self.used_up: Problem | None = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        step, total = state.global_step, state.max_steps
        if step >= total or control.should_training_stop:
            return control
        self.broken = self._broken(step, total)
        self.has_stalled = self.broken is None and self._has_stalled(step, total)
        if self.broken is None and not self.has_stalled:
            self.used_up = self.budget.used_up(self.reporter.spent())
        control.should_save = control.should_save or self.used_up is not None
        control.should_training_stop = self.broken is not None or self.has_stalled or self.used_up is not None
        return control

    def _broken(self, step: int, total: int) -> Finding | None:
        """What it was stopped for before counts no more: whoever resumes it wants it to go on."""
        if not self.job.recipe.training.stop_when_broken or step % LOOKED_AT_EVERY:
            return None
        found = severe(Seen(self.reporter.curve, self.job.recipe, total))
        return found if found and found.sentence.code not in self.known else None

    def _has_stalled(self, step: int, total: int) -> bool:
        training, best = self.job.recipe.training, self.best.best
        is_measured = self.best.last is not None and self.best.last.step == step
        if not training.early_stopping or best is None or not is_measured:
            return False
        misses = sum(at > best.step for at, _ in self.reporter.curve.held_out)
        return misses >= training.early_stopping and self.job.recipe.method.may_end_at(step, total)


def reasons(events: Iterable[Event]) -> set[str]:
    """What a run was stopped for, by codes; events of other kinds are passed over."""
    whys = [event.get("values", {}).get("why") for event in events]
    return {str(why.get("code", "")) for why in whys if isinstance(why, dict)}


def broken_words(why: Problem, step: int, total: int) -> Problem:
    """Why a run was stopped that had gone wrong."""
    return Problem(
        "event.broken",
        "Stopped at step {step:,} of {total:,}, as going on was of no use. {why}",
        step=step,
        total=total,
        why=why,
    )


def stalled_words(step: int, total: int, measurements: int) -> Problem:
    """Why a run ended that learned no more."""
    return Problem(
        "event.early_stopping",
        "Early stopping at step {step:,} of {total:,}: the last {measurements:,} held-out measurements were no better "
        "than the best.",
        step=step,
        total=total,
        measurements=measurements,
    )
