"""transformers' Trainer, set up from a recipe."""

import contextlib
import functools
import math
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from ..base_models import cards_here
from ..base_models.cards import optimizer
from ..measurement import KEPT_CHECKPOINTS
from ..messages import IGNORED, JUDGED, OPTIONS
from ..methods import MethodChoices
from .callbacks import MetricsCallback
from .failures import NotANumber, cause_of
from .first_loss import check_first_loss
from .order import FILLER, EpochTold, Shared, ShareOfSteps, StepsByLength, unlearned
from .paged import takes_whole_state
from .relief import PAGED
from .setup import TrainingSetup
from .shared import Agreed, check_world, rng_files
from .world import PATIENCE


class MethodTrainer(Trainer):
    """Asks the method for what it adds to the loss and how it is kept on disk; tells the reporter how many tokens are
    worked off.
    """

    reporter: MetricsCallback
    method: MethodChoices
    job: TrainingSetup
    step_batches: deque[dict[str, Any]]  # the micro-batches of the newest step
    has_seen_a_number = False  # was the first loss of this process one?

    def train(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with walked_once(self.model):
                return super().train(*args, **kwargs)
        except NotANumber as error:
            error.cause = cause_of(error, self.job.task, self.model, self.step_batches)
            raise

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        inputs.pop(FILLER, None)
        self.step_batches.append({name: value for name, value in inputs.items() if name not in (OPTIONS, JUDGED)})
        with self.job.world.in_step():
            loss = super().training_step(model, inputs, *args, **kwargs)
        if self.accelerator.sync_gradients:
            self.job.world.average(self.learned)
        return loss

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list, Any]:
        self.job.world.meet()  # tokens are added up in there
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        tokens = sum(_tokens_of(batch) for batch in batches if not batch.get(FILLER))
        self.reporter.tokens += int(self.job.world.total(tokens)[0])
        return batches, items

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The task's loss and the method's, each token of the step counting the same however it is divided into
        micro-batches.
        """
        read = {name: value for name, value in inputs.items() if name != OPTIONS}
        labels = inputs["labels"]
        loss, outputs = super().compute_loss(model, read, return_outputs=True, num_items_in_batch=num_items_in_batch)
        more = self.method.loss(self.model, inputs, outputs)
        if more is not None:
            share = (labels != IGNORED).sum() / num_items_in_batch * self.job.world.size if num_items_in_batch else 1
            loss = loss + more * share
        if not self.has_seen_a_number:
            check_first_loss(self.model, loss, num_items_in_batch)
            self.has_seen_a_number = True
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler | None:
        """Random; of padded steps that are worked off in parts, each part holds examples of similar length."""
        job, step = self.job, self.job.recipe.training.batch_size
        if job.packing or self.args.gradient_accumulation_steps == 1:
            return super()._get_train_sampler(train_dataset)

        def lengths(places: list[int]) -> list[int]:
            job.train.encode_those(places)
            return [len(job.train.encoded(place).input_ids) for place in places]

        return StepsByLength(len(job.train), step, self.args.data_seed, lengths)

    def get_train_dataloader(self) -> DataLoader:
        """Of several processes each reads its part of every step, which has the examples that it has with one."""
        job = self.job
        if not job.world.is_shared:
            return super().get_train_dataloader()
        order = self._get_train_sampler()
        if not isinstance(order, StepsByLength):  # as accelerate makes it of a random one
            order = SeedableRandomSampler(job.train, data_seed=self.args.data_seed)

        def collate(read: tuple[list[Any], bool]) -> dict[str, Any]:
            items, is_filler = read
            batch = dict(self.data_collator(items))
            return unlearned(batch) if is_filler else batch

        share = ShareOfSteps(order, len(job.train), job.recipe.training.batch_size, job.micro_batch, job.world)
        pinned = self.args.dataloader_pin_memory
        return DataLoader(Shared(job.train), batch_sampler=share, collate_fn=collate, pin_memory=pinned)

    def _save_rng_state(self, output_dir: str) -> None:
        """The random numbers of every process, written by the first."""
        if not self.job.world.is_shared:
            super()._save_rng_state(output_dir)
            return
        with tempfile.TemporaryDirectory() as made:
            super()._save_rng_state(made)
            states = self.job.world.gathered(rng_files(Path(made)))
        if self.args.should_save:
            for name, state in (one for some in states for one in some.items()):
                (Path(output_dir) / name).write_bytes(state)

    def create_optimizer(self, *given: Any, **more: Any) -> torch.optim.Optimizer:
        """A run that had too little memory may go on from a checkpoint of torch's AdamW with a paged one."""
        made = super().create_optimizer(*given, **more)
        if self.job.recipe.training.optimizer == PAGED:
            takes_whole_state(made)
        return made

    def _clip_grad_norm(self, model: torch.nn.Module) -> torch.Tensor:
        """Of what learns: looking for it in the whole model at every step takes longer than clipping."""
        return self.accelerator.clip_grad_norm_(self.learned, self.args.max_grad_norm)

    @property
    def learned(self) -> list[torch.nn.Parameter]:
        """As it was handed to the optimizer."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.method.save(self.model, folder)
        self.processing_class.save_pretrained(str(folder))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.method.resume(self.model, Path(resume_from_checkpoint))

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Nobody is shown them, and counting walks through every parameter at every step."""
        return 0

    def store_flos(self) -> None:
        """They would be added up over all processes, of which the first may be measuring then."""


def _tokens_of(batch: dict[str, Any]) -> int:
    is_padded = "position_ids" not in batch
    return int(batch["attention_mask"].sum()) if is_padded else batch["input_ids"].numel()


@contextlib.contextmanager
def walked_once(model: torch.nn.Module) -> Iterator[None]:
    """Meanwhile `train` walks through the model only where the mode changes, and `zero_grad` only through what learns.

    The Trainer calls both at every step. Of a small model, with hundreds of modules that never learn, that is a tenth
    of the step.
    """
    model.train()
    learned = [p for p in model.parameters() if p.requires_grad]

    def train(mode: bool = True) -> torch.nn.Module:
        return model if mode and model.training else type(model).train(model, mode)

    def zero_grad(set_to_none: bool = True) -> None:
        for parameter in learned:
            parameter.grad = None

    model.train, model.zero_grad = train, zero_grad  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del model.train, model.zero_grad


class MethodSteps(TrainerCallback):
    """Tells the method of every step."""

    def __init__(self, method: MethodChoices) -> None:
        self.method = method

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self.method.after_step(model, state.global_step + 1, state.max_steps)


class SavedAsAsked(TrainerCallback):
    """How often is saved is this run's: a checkpoint tells the Trainer how often its run was, which may be extended."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        state.save_steps = int(args.save_steps)


def total_steps(job: TrainingSetup) -> int:
    """Optimizer steps of the whole run."""
    training = job.recipe.training
    an_epoch = math.ceil(len(job.train) / training.batch_size)
    steps = max(1, math.ceil(training.epochs * an_epoch))
    return min(steps, training.max_steps) if training.max_steps else steps


def arguments(job: TrainingSetup) -> TrainingArguments:
    """The recipe in the Trainer's own words."""
    training, steps = job.recipe.training, total_steps(job)
    on_gpu, card = torch.cuda.is_available(), cards_here()[0]
    kind = job.recipe.base_model.computes_in("cuda" if on_gpu else "cpu")
    made = TrainingArguments(
        output_dir=str(job.run.checkpoints),
        max_steps=steps,
        seed=training.seed,
        data_seed=training.seed,
        per_device_train_batch_size=job.micro_batch,
        gradient_accumulation_steps=training.batch_size // (job.micro_batch * job.world.size),
        learning_rate=training.learning_rate,
        warmup_steps=round(training.warmup_ratio * steps),
        lr_scheduler_type="constant_with_warmup" if training.scheduler == "constant" else training.scheduler,
        optim=optimizer(card, training.optimizer).taken,
        adam_beta2=training.adam_beta2,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        use_cpu=not on_gpu,
        **_sharing(job, on_gpu),
        bf16=on_gpu and kind == "bf16",
        fp16=on_gpu and kind == "fp16",  # a CPU's model is in bf16 itself
        save_strategy="steps" if training.checkpoints else "no",
        save_steps=max(1, math.ceil(steps / max(1, training.checkpoints))),
        save_total_limit=KEPT_CHECKPOINTS,
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="no",
        report_to=[],  # train/reporting.py asks the integrations, with what metrics.jsonl has
        run_name=job.run.id,
        project=job.recipe.reporting.project,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=on_gpu,
        label_names=["labels"],
    )
    made._n_gpu = min(
        made.n_gpu, 1
    )  # with several the Trainer would copy the model onto each, which 4-bit weights do not bear
    return made


def _sharing(job: TrainingSetup, on_gpu: bool) -> dict[str, Any]:
    """How processes average what they learn, where there are several."""
    if not job.world.is_shared:
        return {}
    return {
        "ddp_backend": "nccl" if on_gpu else "gloo",
        "ddp_timeout": int(PATIENCE.total_seconds()),
        "ddp_find_unused_parameters": job.recipe.method.leaves_some_unused,
        "ddp_broadcast_buffers": False,
    }


def build_trainer(
    job: TrainingSetup,
    reporter: MetricsCallback,
    callbacks: list[TrainerCallback],
    kind: "type[MethodTrainer] | None" = None,
) -> MethodTrainer:
    """A Trainer whose only voice is the run folder."""
    method = job.recipe.method
    told = [SavedAsAsked(), MethodSteps(method), EpochTold(job.collate, job.recipe.training.seed)]
    trainer = (kind or MethodTrainer)(
        model=job.model,
        args=arguments(job),
        train_dataset=job.train,
        processing_class=job.tokenizer,
        data_collator=job.collate,
        compute_loss_func=job.task.loss,
        callbacks=[*told, *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.reporter, trainer.method, trainer.job = reporter, method, job
    trainer.step_batches = deque(maxlen=trainer.args.gradient_accumulation_steps)
    trainer.model_accepts_loss_kwargs &= (
        job.task.loss is None
    )  # then it is the model that must know how large the step is
    if job.recipe.launch.divides(job.world.size):  # it is divided already: no DDP around it
        trainer.accelerator.prepare_model = functools.partial(trainer.accelerator.prepare_model, evaluation_mode=True)
    check_world(trainer, job)
    if job.world.is_shared:
        trainer.add_callback(Agreed(trainer, job, reporter))  # the last, so that it hears what the others want
    return trainer
