"""What do the Trainer and our callbacks cost a step?  make bench

The worker's own Trainer with every callback, a bare transformers Trainer and a loop in plain torch work off the same
batches with the same model, in turn. Prints milliseconds and ratios and adds them, with date and machine, to
RESULTS.md.
"""

import argparse
import contextlib
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measuring import interleaved, make_model, ratio, record, spread, synchronize, used_by_others
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from qlora_app.base_models import ModelChoice
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.tasks.chat import Chat, held_out_loss
from qlora_app.tasks.packing import collator, on_device
from qlora_app.train.best import BestSoFar
from qlora_app.train.callbacks import CheckpointCallback, EvalCallback, MetricsCallback
from qlora_app.train.setup import TrainingSetup, prepare
from qlora_app.train.trainer import arguments, build_trainer

SKIPPED = 2  # first steps, slower than the others, that are not counted


class Stopwatch(TrainerCallback):
    """Milliseconds a step, all that happens between two steps included."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        synchronize()
        self.times.append(time.perf_counter())

    @property
    def a_step(self) -> float:
        return 1000 * (self.times[-1] - self.times[SKIPPED - 1]) / (len(self.times) - SKIPPED)


def by_worker(job: TrainingSetup) -> float:
    watch, reporter = Stopwatch(), MetricsCallback(job.out, [], 0)
    build_trainer(
        job,
        reporter,
        [reporter, EvalCallback(job, reporter, BestSoFar(job, 0)), CheckpointCallback(job.run, job.out), watch],
    ).train()
    return watch.a_step


def by_trainer(job: TrainingSetup) -> float:
    watch = Stopwatch()
    bare_trainer(job, [watch]).train()
    return watch.a_step


def bare_trainer(job: TrainingSetup, callbacks: list[TrainerCallback]) -> Trainer:
    trainer = Trainer(
        model=job.model,
        args=arguments(job),
        train_dataset=job.train,
        processing_class=job.tokenizer,
        data_collator=collator(job.tokenizer, job.packing),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def by_torch(job: TrainingSetup) -> float:
    """Batches made beforehand, one optimizer, nothing written: the least a step can cost."""
    watch, training, model = Stopwatch(), job.recipe.training, job.model
    parts = training.batch_size // job.micro_batch
    batches = list(itertools.islice(bare_trainer(job, []).get_train_dataloader(), training.max_steps * parts))
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=training.learning_rate, weight_decay=training.weight_decay)
    model.train()
    for step in range(training.max_steps):
        for batch in batches[step * parts : (step + 1) * parts]:
            (model(**on_device(batch, model.device), use_cache=False).loss / parts).backward()
        torch.nn.utils.clip_grad_norm_(learning, training.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        watch.on_step_end()
    return watch.a_step


def measured_share(job: TrainingSetup, recipe: Recipe, step: float) -> float:
    """What the recipe's held-out measurements and samples add to its steps, as a share of them."""
    times = []
    asked = [question.conversation for question in job.questions]
    for measure in (
        lambda: held_out_loss(job.model, job.held_out_batches),
        lambda: Chat().answer(job.model, job.tokenizer, asked, max_new_tokens=job.answer_length),
    ):
        began = time.perf_counter()
        measure()
        synchronize()
        times.append(time.perf_counter() - began)
    steps = recipe.training.epochs * len(job.train) / recipe.training.batch_size
    return 1000 * (recipe.training.evaluations * times[0] + recipe.training.samples * times[1]) / (steps * step)


def shapes(folder: Path, quick: bool) -> dict[str, Recipe]:
    """Name -> recipe: the starter as it is trained by default, a step with hardly any arithmetic in it, and a larger
    model.
    """
    starter = Presets().load("starter")
    none = {"optimizer": "adamw_torch", "evaluations": 0, "samples": 0, "checkpoints": 0}
    wide = ModelChoice(source="folder", id=str(make_model(folder, hidden=128 if quick else 1024)))

    def recipe(model: ModelChoice, **training: Any) -> Recipe:
        return starter.model_copy(
            update={"base_model": model, "training": starter.training.model_copy(update=none | training)}
        )

    steps = (4, 4, 4) if quick else (14, 60, 14)
    return {
        "starter": recipe(ModelChoice(), max_steps=steps[0]),
        "tiny": recipe(ModelChoice(), max_steps=steps[1], batch_size=2, max_length=32),
        "wide": recipe(wide, max_steps=steps[2], batch_size=4, max_length=64),
    }


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--rounds", type=int, default=5, help="how often each is measured; the middle ratio counts")
    ask.add_argument(
        "--quick", action="store_true", help="a few steps on small models, to see that it runs; nothing is recorded"
    )
    given, others, figures = ask.parse_args(), used_by_others(), {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        os.environ["QLORA_APP_HOME"] = folder
        store = RunStore(Path(folder) / "runs")
        for name, recipe in shapes(Path(folder) / "wide", given.quick).items():
            job = prepare(held.enter_context(store.create(recipe).hold()), recipe)
            times = interleaved(
                given.rounds,
                torch=lambda job=job: by_torch(job),
                trainer=lambda job=job: by_trainer(job),
                worker=lambda job=job: by_worker(job),
            )
            bare, raw = ratio(times["worker"], times["trainer"]), ratio(times["worker"], times["torch"])
            print(
                f"{name}: {', '.join(f'{statistics.median(ms):.0f} ms {who}' for who, ms in times.items())} a step; "
                f"worker / Trainer {bare:.3f}, worker / torch {raw:.3f}"
            )
            figures |= {
                f"{name}, ms a step": spread(times["worker"], "{:.0f}"),
                f"{name} / Trainer": f"{bare:.3f}",
                f"{name} / torch": f"{raw:.3f}",
            }
            if name == "starter":
                share = measured_share(job, Presets().load("starter"), statistics.median(times["worker"]))
                print(f"         held-out measurements and samples as in the preset add {share:.1%} to its steps")
    record("overhead", figures, others, keep=not given.quick)


if __name__ == "__main__":
    main()
