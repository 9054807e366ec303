"""What the worker writes into log.txt for those who want to know: versions, device, what is loaded, what learns, what
is saved and measured. No row of anybody's data and no secret stands in it.
"""

import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..base_models import folder_of
from ..formatting import count_of, duration, gigabytes, loss_figure, millions, size
from ..recipe import Recipe
from ..runs.proof import Kept
from .alike import LIBRARIES
from .setup import TrainingSetup


def log(text: str) -> None:
    """A line with the time in front. Whoever started the worker has led its output into log.txt."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", flush=True)


def log_machine() -> None:
    """With which versions, and on what."""
    versions = [f"{name} {_version(name)}" for name in LIBRARIES]
    log(f"Guanaco Workshop {__version__}, {', '.join(versions)}")
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        log(f"device: {card.name}, {gigabytes(card.total_memory)}, CUDA {torch.version.cuda}")
    else:
        log(f"device: CPU, {torch.get_num_threads()} threads; no GPU was found")


def log_recipe(recipe: Recipe, resumed_at: int) -> None:
    """What is to be trained, and whether it goes on."""
    model, training, data = recipe.base_model, recipe.training, recipe.dataset
    log(f"base model: {model.title} ({model.source}), {model.precision}, computes in {model.compute_type}")
    log(f"loaded from: {'the app itself' if model.source == 'starter' else folder_of(model)}")
    log(f"data: {data.title} ({data.source}); method: {recipe.method.title()}")
    log(
        f"learning rate {training.learning_rate:g}, {training.scheduler}, batch {training.batch_size}, "
        f"optimizer {training.optimizer}, seed {training.seed}"
    )
    if resumed_at:
        log(f"goes on from step {resumed_at:,}")


def log_setup(job: TrainingSetup, steps: int) -> None:
    """What was loaded, how much of it learns, and from how much."""
    learns, every = job.model.get_nb_trainable_parameters()
    log(f"trainable parameters: {learns:,} of {millions(every)} ({learns / max(1, every):.2%})")
    rows, held_out = len(job.examples.train), len(job.examples.held_out)
    left_out = len(job.examples.left_out) + job.not_learned
    log(f"rows: {rows:,} to learn from, {held_out:,} held out, {left_out:,} left out")
    sample = job.train.spread(64)
    mean = sum(len(one.input_ids) for one in sample) / max(1, len(sample))
    log(f"about {mean * len(job.train):,.0f} tokens an epoch, at most {job.max_length:,} a row; packed: {job.packing}")
    log(f"{count_of(steps, 'step')}, in each {job.recipe.training.batch_size} rows, {job.micro_batch} at once")
    for warning in job.warnings:
        log(f"warning: {warning}")


def log_saved(step: int, folder: Path) -> None:
    """A checkpoint."""
    bytes_ = sum(path.stat().st_size for path in folder.iterdir())
    log(f"step {step:,}: saved {folder.name}, {size(bytes_)}")


def log_held_out(step: int, figures: dict[str, Any]) -> None:
    """What was measured on held-out rows."""
    loss = figures.get("held_out_loss")
    shown = loss_figure(loss) if loss is not None else "no number"
    others = [
        f"{name.removeprefix('held_out_')} {value:.4g}" for name, value in figures.items() if name != "held_out_loss"
    ]
    log(", ".join([f"step {step:,}: held-out loss {shown}", *others]))


def log_asked(step: int) -> None:
    """A question that somebody asked meanwhile was answered."""
    log(f"step {step:,}: a question answered that was asked meanwhile")


def log_sampled(step: int, questions: int) -> None:
    """The sample questions were answered."""
    log(f"step {step:,}: {count_of(questions, 'sample question')} answered{'' if step else ' by the base'}")


def log_finished(kept: Kept, seconds: float) -> None:
    """The proof is written."""
    log(f"finished: kept is step {kept.step or 0:,} of {kept.of:,}; trained for {duration(seconds)}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"


def log_size(count: int, seconds: float, peak: float) -> None:
    """What a measurement found of a size."""
    log(f"{count} examples at once: {seconds:.3f} s a step, peak {peak / 2**20:.0f} MB")


def log_no_memory(count: int) -> None:
    log(f"{count} examples at once: the memory is not enough")
