"""transformers' Trainer, set up from a recipe."""

import math
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from ..tasks.packing import collator
from .job import Job
from .report import Reporter

OPTIMIZERS = {"adamw_torch": "adamw_torch_fused"}  # the same AdamW, all of a parameter's arithmetic in one pass
MOST_GROUPED = 20_000  # examples; to group more by their length, all of them would be cut into tokens before the first step
KEPT_CHECKPOINTS = 2  # with one, a crash while saving would leave nothing to go back to


class CountingTrainer(Trainer):
    """Tells the reporter how many tokens it has worked off."""

    reporter: Reporter

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        is_padded = "position_ids" not in inputs
        self.reporter.tokens += int(inputs["attention_mask"].sum()) if is_padded else inputs["input_ids"].numel()
        return super().training_step(model, inputs, *args, **kwargs)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Nobody is shown them, and counting walks through every parameter at every step."""
        return 0


def total_steps(job: Job) -> int:
    """Optimizer steps of the whole run."""
    training = job.recipe.training
    an_epoch = math.ceil(math.ceil(len(job.train) / job.micro_batch) / (training.batch_size // job.micro_batch))
    steps = max(1, math.ceil(training.epochs * an_epoch))
    return min(steps, training.max_steps) if training.max_steps else steps


def arguments(job: Job) -> TrainingArguments:
    """The recipe in the Trainer's own words."""
    training, steps = job.recipe.training, total_steps(job)
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(job.run.checkpoints), max_steps=steps, seed=training.seed, data_seed=training.seed,
        per_device_train_batch_size=job.micro_batch, gradient_accumulation_steps=training.batch_size // job.micro_batch,
        learning_rate=training.learning_rate, warmup_steps=round(training.warmup_ratio * steps),
        lr_scheduler_type="constant_with_warmup" if training.scheduler == "constant" else training.scheduler,
        optim=OPTIMIZERS.get(training.optimizer, training.optimizer), adam_beta2=training.adam_beta2,
        weight_decay=training.weight_decay, max_grad_norm=training.max_grad_norm,
        train_sampling_strategy="random" if job.packing or len(job.train) > MOST_GROUPED else "group_by_length",
        use_cpu=not on_gpu, bf16=on_gpu and job.recipe.base_model.compute_type != "fp32" and job.recipe.base_model.precision != "fp32",
        save_strategy="steps" if training.checkpoints else "no", save_steps=max(1, math.ceil(steps / max(1, training.checkpoints))),
        save_total_limit=KEPT_CHECKPOINTS, logging_steps=1, logging_nan_inf_filter=False, eval_strategy="no", report_to=[],
        disable_tqdm=True, remove_unused_columns=False, dataloader_num_workers=0, dataloader_pin_memory=on_gpu, label_names=["labels"])


def build_trainer(job: Job, reporter: Reporter, callbacks: list[TrainerCallback]) -> CountingTrainer:
    """A Trainer whose only voice is the run folder."""
    trainer = CountingTrainer(model=job.model, args=arguments(job), train_dataset=job.train, processing_class=job.tokenizer,
                              data_collator=collator(job.tokenizer, job.packing), callbacks=callbacks)
    trainer.remove_callback(PrinterCallback)
    trainer.reporter = reporter
    return trainer
