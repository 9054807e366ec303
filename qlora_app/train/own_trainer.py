"""The Trainer of a run without the run around it. Scripts that owe us nothing take it along (`export/own_code.py`)."""

from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..messages import IGNORED, JUDGED, OPTIONS
from .order import StepsByLength
from .preferences.objective import Step


class Rows(list[Any]):
    """Examples as a list, which is asked for several at once."""

    def __getitems__(self, places: list[int]) -> list[Any]:
        return [self[place] for place in places]


class OwnTrainer(Trainer):
    """transformers' Trainer with what a method adds to the loss, and the order of the run."""

    method: Any = None
    step = 0  # examples of a step, those of each longest first; 0 leaves them in random order

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        read = {name: value for name, value in inputs.items() if name != OPTIONS}
        loss, outputs = super().compute_loss(model, read, return_outputs=True, num_items_in_batch=num_items_in_batch)
        more = self.method.loss(self.model, inputs, outputs) if self.method else None
        if more is not None:
            loss = loss + more * (inputs["labels"] != IGNORED).sum() / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler | None:
        if not self.step:
            return super()._get_train_sampler()
        return StepsByLength(len(self.train_dataset), self.step, self.args.data_seed, self._lengths)

    def _lengths(self, places: list[int]) -> list[int]:
        rows = [self.train_dataset[place] for place in places]
        return [len(row.get("rows", [row])[0]["input_ids"]) for row in rows]


class OwnPreferenceTrainer(OwnTrainer):
    """Each pair, or judged answer, of a step counts the same."""

    loss_is_scaled_for_ga = True
    objective: Any = None
    of_step: Step

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list, Any]:
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not batches:
            return batches, None
        self.of_step = Step.of(*self.objective.totals(self.model, batches))
        return batches, torch.tensor(self.of_step.items)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        sums, read, outputs = self.objective.loss_of(model, inputs, self.of_step)
        more = self.method.loss(self.model, read, outputs) if self.method else None
        loss = sums.loss
        if more is not None:
            loss = loss + more * (inputs[JUDGED]["count"] / self.of_step.items)
        return (loss, outputs) if return_outputs else loss


class Told(TrainerCallback):
    """Tells a method of every step, and a collator of every epoch."""

    def __init__(self, method: Any, collate: Any) -> None:
        self.method, self.collate = method, collate

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if hasattr(self.collate, "set_epoch"):
            self.collate.set_epoch(int(state.epoch or 0), args.seed)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        if self.method:
            self.method.after_step(model, state.global_step + 1, state.max_steps)
