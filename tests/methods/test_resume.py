"""Interrupted and resumed equals never interrupted, bit for bit: every method, packed and padded, with dropout and
without, every task.

Here runs are prepared, trained, stopped at half and resumed in this process, by the real Trainer from real checkpoints;
what is left out is the proof at the end. Whole workers that are killed are in test_killed.py.
"""

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from qlora_app.runs import RunStore
from qlora_app.runs.checkpoints import newest_complete
from qlora_app.train.callbacks import CheckpointCallback, MetricsCallback
from qlora_app.train.setup import prepare
from qlora_app.train.trainer import build_trainer
from tests.methods.resuming import HALF, METHODS, STEPS, losses, recipe_of

pytestmark = pytest.mark.slow

CANNOT_PACK = {"prefix", "prompt"}
TABLE = [
    (name, form, dropout)
    for name in METHODS
    for form in ("packed", "padded")
    for dropout in ("0.0", "0.2")
    if not (form == "packed" and name in CANNOT_PACK)
]
OTHER_TASKS = [
    ("roberta", "classification", "lora"),
    ("roberta", "classification", "lora-pissa"),
    ("roberta", "classification", "adamix-houlsby"),
    ("llama", "classification", "lora-pissa"),
    ("roberta", "fill_mask", "lora"),
    ("bert", "fill_mask", "lora-embeddings"),
    ("t5", "text_to_text", "adalora"),
    ("t5", "text_to_text", "ia3-tfew"),
    ("t5", "text_to_text", "lora-embeddings"),
    ("gpt2", "chat", "lora-embeddings"),
    ("gpt2", "chat", "ia3"),
    ("llama", "chat", "lora-embeddings"),
]


class StopAfter(TrainerCallback):
    """Somebody who presses Stop."""

    def __init__(self, run, step):
        self.run, self.step = run, step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            self.run.request("stop")


def part_of(run, stop_after=None):
    """Trains until it is stopped, or to the end; from its checkpoint where it has one. Returns the adapter's
    tensors.
    """
    with run.hold() as out:
        return _part_of(out, stop_after)


def _part_of(out, stop_after):
    run = out.run
    checkpoint = newest_complete(run.checkpoints)
    reporter = MetricsCallback(out, [], int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0)
    job = prepare(out, run.recipe())
    trainer = build_trainer(
        job,
        reporter,
        [reporter, *([StopAfter(run, stop_after)] if stop_after else []), CheckpointCallback(run, job.out)],
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    job.recipe.method.save(job.model, run.folder / "at_the_end")
    job.recipe.method.finish(job.model, run.folder / "at_the_end")
    return {file.name: load_file(file) for file in (run.folder / "at_the_end").glob("*.safetensors")}


def check_resumes_exactly(recipe, home):
    store = RunStore(home / "runs")
    whole, stopped = store.create(recipe), store.create(recipe)
    wanted = part_of(whole)
    part_of(stopped, stop_after=HALF)
    assert [step for step, *_ in losses(stopped)] == list(range(1, HALF + 1)), "it was stopped at half"
    found = part_of(stopped)
    assert losses(stopped) == losses(whole) and len(losses(whole)) == STEPS
    assert list(found) == list(wanted) == ["adapter_model.safetensors"]
    for file, tensors in wanted.items():
        assert tensors.keys() == found[file].keys()
        assert all(torch.equal(tensor, found[file][name]) for name, tensor in tensors.items())


@pytest.mark.pairwise("name, form, dropout", TABLE)
def test_every_method_resumes_exactly(name, form, dropout, bases, rows, home):
    share = float(dropout)
    check_resumes_exactly(recipe_of(bases("llama", share), name, form == "packed", share), home)


@pytest.mark.parametrize("family, task, name", OTHER_TASKS)
def test_every_task_resumes_exactly(family, task, name, bases, rows, home):
    check_resumes_exactly(recipe_of(bases(family, 0.1), name, dropout=0.2, task=task), home)
