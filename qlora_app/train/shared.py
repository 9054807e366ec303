"""What processes that share a training agree on: that they are as many as were asked for and of one mind, and at which
step the run is saved and ends.
"""

import hashlib
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..errors import Problem, UserError
from ..hardware import own_addresses
from .divided import held_of
from .meeting import Network
from .setup import TrainingSetup

if TYPE_CHECKING:
    from .callbacks import MetricsCallback

MOST_OF_PART = 1.1  # of what would be exactly its part: rows that do not divide evenly are filled up
MOST_WHOLE = 0.1  # of the blocks
SHARED_FILE = "processes"  # what really ran, in the run's folder


def check_world(trainer: Trainer, job: TrainingSetup) -> None:
    """Raises UserError where the Trainer would not share the steps among as many processes as were asked for, or these
    do not have the same before them: both give a training that looks right and is not.
    """
    seen, asked = trainer.accelerator.num_processes, job.world.size
    if seen != asked:
        raise UserError(
            "ranks.not_as_asked",
            "{asked} processes were asked for, and {seen} would train ({kind}). Nothing was trained. Choose one "
            "process, or report this.",
            asked=asked,
            seen=seen,
            kind=trainer.accelerator.distributed_type.value,
        )
    marks = job.world.gathered(_mark(trainer, job))
    if len(set(marks)) > 1:
        raise UserError(
            "ranks.differ",
            "The processes do not have the same model or data before them ({marks}). Nothing was trained. Press Resume "
            "to try it again.",
            marks=", ".join(marks),
        )


def check_divided(job: TrainingSetup) -> dict[str, Any]:
    """What each process holds of the base. Raises UserError where that is not about its part of it: then every one has
    all of it, and the memory that was asked for is not saved.
    """
    base = job.model.get_base_model()
    held = held_of(base)
    largest = max(job.world.gathered(held.parts_mb + held.whole_mb))
    if not held.tensors or largest > MOST_OF_PART * (held.base_mb - held.whole_mb) / job.world.size + held.whole_mb:
        raise UserError(
            "ranks.not_divided",
            "The base would not be divided among {asked} processes: one holds {largest:.1f} of {whole:.1f} MB. Nothing "
            "was trained. Choose data parallel (DDP), or report this.",
            asked=job.world.size,
            largest=largest,
            whole=held.base_mb,
        )
    if held.left_whole > MOST_WHOLE:
        raise UserError(
            "ranks.hardly_divided",
            "Of this base's blocks {share:.0%} cannot be divided, for it is not in the type of the rest. Nothing was "
            "trained. Choose data parallel (DDP).",
            share=held.left_whole,
        )
    return {"dtensors": held.tensors, "mb_a_process": round(largest, 3), "mb_whole": held.base_mb}


def _mark(trainer: Trainer, job: TrainingSetup) -> str:
    """Another one for another adapter, other examples, or steps that are divided in another way."""
    first = [list(job.train.encoded(place).input_ids) for place in range(min(4, len(job.train)))]
    step = (trainer.args.max_steps, trainer.args.gradient_accumulation_steps, job.micro_batch, job.packing)
    rehearses = job.objective is not None and job.objective.rehearsal is not None
    said = json.dumps([step, rehearses, len(job.train), first, sorted(job.before.items())])
    return hashlib.blake2b(said.encode(), digest_size=6).hexdigest()


class Agreed(TrainerCallback):
    """Every process does at the end of a step what the first one wants: a stop that one alone heard would leave the
    others waiting for it.
    """

    def __init__(self, trainer: Trainer, job: TrainingSetup, reporter: "MetricsCallback") -> None:
        self.trainer, self.job, self.reporter = trainer, job, reporter

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say what really trains."""
        wrapped, size = type(self.trainer.model_wrapped).__name__, self.job.world.size
        kind = self.trainer.accelerator.distributed_type.value
        if self.job.recipe.launch.divides(size):
            held, kind = check_divided(self.job), "FSDP2"
        elif wrapped == torch.nn.parallel.DistributedDataParallel.__name__:
            held = {}
        else:
            raise UserError(
                "ranks.not_shared",
                "What {asked} processes learn would not be averaged ({kind}). Nothing was trained. Choose one process, "
                "or report this.",
                asked=size,
                kind=wrapped,
            )
        nodes = list(dict.fromkeys(self.job.world.gathered(_node())))
        backend = dist.get_backend()
        ran = {"processes": size, "nodes": nodes, "distributed_type": kind, "wrapped": wrapped, "backend": backend}
        self.job.out.write(SHARED_FILE, ran | held | {"step": state.global_step})
        self.reporter.note(_shared_words(state.global_step + 1, size, nodes, kind, backend))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        wishes = (control.should_save, control.should_training_stop)
        control.should_save, control.should_training_stop = self.job.world.from_first(wishes)
        return control


def _node() -> str:
    """This process's machine: which one it is, its name, and its address in the network of the nodes."""
    network = Network.of_this_process()
    address = next((ip for ip, name in own_addresses().items() if name == network.interface), network.address)
    return f"{network.node}: {socket.gethostname()} ({address})"


def _shared_words(step: int, size: int, nodes: list[str], kind: str, backend: str) -> Problem:
    if len(nodes) == 1:
        return Problem(
            "event.processes",
            "From step {step:,} on {count} processes share each step ({kind} over {backend}).",
            step=step,
            count=size,
            kind=kind,
            backend=backend,
        )
    return Problem(
        "event.nodes",
        "From step {step:,} on {count} processes of {nodes} machines share each step ({kind} over {backend}): {named}.",
        step=step,
        count=size,
        nodes=len(nodes),
        kind=kind,
        backend=backend,
        named=", ".join(nodes),
    )


def rng_files(folder: Path) -> dict[str, bytes]:
    """{name: contents} of what a process's random numbers were saved as."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}
