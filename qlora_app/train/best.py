"""The adapter that did best on held-out examples so far, kept in `best/step-N` of the run folder.

A folder counts once it is sealed, and the one before goes only then: whenever a worker is killed, one whole adapter is
there.
"""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..messages import JUDGED
from ..preferences import FEWEST
from ..runs.checkpoints import is_complete, seal
from ..runs.proof import Figures, Kept
from ..storage.files import write_json
from ..storage.reading import read_json
from .setup import TrainingSetup

FIGURES = "figures.json"


@dataclass(frozen=True)
class Measured:
    """A held-out measurement: the step after which it was made, and its figures."""

    step: int
    figures: Figures


class BestSoFar:
    """Hears of every held-out measurement of a run."""

    def __init__(self, job: TrainingSetup, resumed_at: int) -> None:
        """What was kept after the step that is resumed at is forgotten: that part of the run is made again."""
        self.job = job
        self.folder = job.run.best
        self.last: Measured | None = None
        self.best: Measured | None = None
        for folder in sorted(self.folder.glob("step-*")):
            found = _read(folder)
            if found is None or found.step > resumed_at or (self.best and not self._is_as_good(found, self.best)):
                shutil.rmtree(folder)
            else:
                self.best = found

    @property
    def is_kept(self) -> bool:
        """Lies an adapter there that could be the end of the run?"""
        return self.best is not None and self.job.recipe.training.keep == "best"

    def hear(self, model: Any, step: int, total: int, figures: Figures) -> None:
        """A measurement of the model as it is now; the last one of the run needs no copy."""
        self.last = Measured(step, figures)
        if step < total and self.job.recipe.method.may_end_at(step, total) and self._is_as_good(self.last, self.best):
            self._keep(model, self.last)

    def _is_as_good(self, one: Measured, other: Measured | None) -> bool:
        """Of two with the same score that with the lower loss is better, and of two that are equal the later one has
        learned more. A loss that is no number is never good."""
        if not math.isfinite(one.figures["loss"]):
            return False
        return other is None or self._rank(one) >= self._rank(other)

    def _rank(self, measured: Measured) -> tuple[float, float]:
        return self.job.task.score(measured.figures), -measured.figures["loss"]

    def _keep(self, model: Any, measured: Measured) -> None:
        target = self.folder / f"step-{measured.step}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        if self.job.recipe.training.keep == "best":
            self.job.recipe.method.save(model, target)
        write_json(target / FIGURES, {"step": measured.step, "figures": measured.figures})
        seal(target)
        for folder in self.folder.iterdir():
            if folder != target:
                shutil.rmtree(folder)
        self.best = measured

    def restore(self, model: Any, total: int) -> Kept:
        """At the end: the model with the adapter that is kept, and which one that is. The last one, unless an earlier
        one was better by more than chance."""
        last, best, rule = self.last, self.best, self.job.recipe.training.keep
        if last is None or best is None:
            return Kept(total, total, rule, best_step=total if last else None, last=last.figures if last else {})
        score, examples = self.job.task.score, self.job.measured_examples
        noise = self.job.task.noise(last.figures, examples)
        is_broken = not math.isfinite(last.figures["loss"])
        was_better = is_broken or (self._tells and not score(last.figures) + noise >= score(best.figures))
        step = total
        if was_better and rule == "best":
            self.job.recipe.method.resume(model, self.folder / f"step-{best.step}")
            step = best.step
        return Kept(step, total, rule, best.step, best.figures, {} if is_broken else last.figures, was_better)

    @property
    def _tells(self) -> bool:
        """Is so much held out that an earlier step can be called better? A pair or two are chance."""
        objective = self.job.objective
        return objective is None or sum(batch[JUDGED]["count"] for batch in objective.held_out) >= FEWEST

    def forget(self) -> None:
        """The kept one lies in its own folder by now."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(folder: Path) -> Measured | None:
    if not is_complete(folder):
        return None
    values = read_json(folder / FIGURES) or {}
    return Measured(int(values["step"]), values["figures"]) if {"step", "figures"} <= values.keys() else None
