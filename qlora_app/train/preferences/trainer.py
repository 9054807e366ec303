"""Our Trainer with a loss of preferences."""

from typing import Any

import torch
from transformers import TrainerCallback

from ...messages import JUDGED
from ...runs.curve import REWARDS
from ..callbacks import MetricsCallback
from ..first_loss import check_first_loss
from ..order import FILLER
from ..setup import TrainingSetup
from ..trainer import MethodTrainer, build_trainer
from .objective import Objective, Step, add, means


def trainer_for(job: TrainingSetup, reporter: MetricsCallback, callbacks: list[TrainerCallback]) -> MethodTrainer:
    """The Trainer of a run, whatever it learns from its data."""
    return build_trainer(job, reporter, callbacks, PreferenceTrainer if job.objective else MethodTrainer)


class PreferenceTrainer(MethodTrainer):
    """Each pair, or judged answer, of the step counts the same however it is divided into micro-batches."""

    loss_is_scaled_for_ga = True  # by the items of the whole step, and not once more by its micro-batches
    step: Step
    figures: dict[str, tuple[float, float]]  # of the step so far

    @property
    def objective(self) -> Objective:
        assert self.job.objective is not None  # else it is not a trainer of this kind
        return self.job.objective

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list, Any]:
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches:
            real = [batch for batch in batches if not batch.get(FILLER)]
            with self.compute_loss_context_manager():
                self.step = self.objective.step_of(self.model, real, self.job.world)
        self.figures = {}
        return batches, torch.tensor(self.step.items) if batches else None

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        sums, read, outputs = self.objective.loss_of(model, inputs, self.step)
        loss, more = sums.loss, self.method.loss(self.model, read, outputs)
        if more is not None:
            loss = loss + more * (inputs[JUDGED]["count"] / self.step.items)
        loss = loss * self.job.world.size  # what is learned is averaged over the processes
        if not self.has_seen_a_number:
            check_first_loss(self.model, loss, None)
            self.has_seen_a_number = True
        if inputs[JUDGED].get(FILLER):
            loss = loss * 0
        else:
            add(self.figures, sums.figures)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        super().log({**logs, **means(self._figures_of_all())} if "loss" in logs else logs, *args, **kwargs)

    def _figures_of_all(self) -> dict[str, tuple[float, float]]:
        """Of the step, in all processes."""
        own = [number for name in REWARDS for number in self.figures.get(name, (0.0, 0.0))]
        sums = iter(self.job.world.total(*own))
        return {name: (next(sums), next(sums)) for name in REWARDS}
