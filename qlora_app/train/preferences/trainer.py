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
from .likelihood import learned_logits
from .objective import Objective, Step, add, means
from .rehearsal import Rehearsal


def trainer_for(job: TrainingSetup, reporter: MetricsCallback, callbacks: list[TrainerCallback]) -> MethodTrainer:
    """The Trainer of a run, whatever it learns from its data."""
    return build_trainer(job, reporter, callbacks, PreferenceTrainer if job.objective else MethodTrainer)


class PreferenceTrainer(MethodTrainer):
    """Each pair, or judged answer, of the step counts the same however it is divided into micro-batches."""

    loss_is_scaled_for_ga = True  # by the items of the whole step, and not once more by its micro-batches
    step: Step
    figures: dict[str, tuple[float, float]]  # of the step so far
    rehearsed: dict[int, dict[str, Any]]  # by the identity of the micro-batch it goes with
    rehearsed_tokens: int  # answers of the whole step

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
            self._rehearse_beside(batches)
        self.figures = {}
        return batches, torch.tensor(self.step.items) if batches else None

    def _rehearse_beside(self, batches: list[dict[str, Any]]) -> None:
        """Each micro-batch of the step gets a part of the examples that are rehearsed in it."""
        self.rehearsed, self.rehearsed_tokens = {}, 0
        if self.objective.rehearsal is None:
            return
        parts = self.objective.rehearsal.batches(self.state.global_step, len(batches))
        self.rehearsed_tokens = sum(len(part[JUDGED]["places"]) for part in parts)
        self.rehearsed = {id(batch): part for batch, part in zip(batches, parts, strict=False)}

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """The loss is that of the preferences alone; what is rehearsed has its own backward pass, so that both are not
        in memory at once.
        """
        part = self.rehearsed.pop(id(inputs), None)
        if part is not None:
            super().training_step(model, part, *args, **kwargs)
        return super().training_step(model, inputs, *args, **kwargs)

    def _rehearsal_loss(self, rehearsal: Rehearsal, model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
        read = {name: value for name, value in inputs.items() if name != JUDGED}
        logits, targets = learned_logits(model, self.objective.prepared(read))
        return rehearsal.loss(logits, targets, inputs[JUDGED]) / self.rehearsed_tokens

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        if self.objective.rehearsal and "places" in inputs[JUDGED]:
            return self._rehearsal_loss(self.objective.rehearsal, model, inputs)
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
