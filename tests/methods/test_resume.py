"""Interrupted and resumed equals never interrupted, bit for bit: every method, packed and padded, with dropout and
without, every task.

Here runs are prepared, trained, stopped at half and resumed in this process, by the real Trainer from real checkpoints;
what is left out is the proof at the end. Whole workers that are killed are in test_killed.py.
"""

import functools
import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.runs.checkpoints import newest_complete
from qlora_app.train.callbacks import CheckpointCallback, MetricsCallback
from qlora_app.train.setup import prepare
from qlora_app.train.trainer import build_trainer
from tests.tiny_models import tiny_model

STEPS, HALF = 6, 3  # of two steps an epoch: it stops in the middle of the second one
METHODS = {  # every method, and what of it keeps something else
    "lora": {"rank": 4},
    "lora-rslora": {"rank": 4, "rank_stabilized": True},
    "lora-dora": {"rank": 4, "weight_decomposed": True},
    "lora-loftq": {"rank": 4, "initialisation": "loftq"},
    "lora-pissa": {"rank": 4, "initialisation": "pissa", "dropout": 0.0},
    "lora-embeddings": {"rank": 4, "train_embeddings": True},
    "adalora": {"rank": 2, "first_rank": 4},
    "qalora": {"rank": 4},
    "adamix": {"rank": 4},
    "adamix-houlsby": {"rank": 4, "kind": "houlsby"},
    "adamix-apart": {"rank": 4, "share_up": False},
    "ia3": {},
    "ia3-tfew": {"unlikelihood": 1.0, "length_normalized": 1.0},
    "meft": {"rank": 4},
    "meft-exact": {"rank": 4, "precision": "exact"},
    "vera": {"rank": 16},
    "oft": {"block_size": 16},
    "hra": {"rank": 2},
    "miss": {"rank": 8},
    "loha": {"rank": 2},
    "lokr": {"rank": 2},
    "prefix": {"tokens": 4},
    "prompt": {"tokens": 4},
}
PRECISIONS = {"qalora": "fp32", "lora-loftq": "nf4", "lora": "nf4"}
CANNOT_PACK = {"prefix", "prompt"}
TABLE = [
    (name, packing, dropout)
    for name in METHODS
    for packing in (True, False)
    for dropout in (0.0, 0.2)
    if not (packing and name in CANNOT_PACK)
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


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    home = tmp_path_factory.mktemp("bases")
    return functools.cache(
        lambda family, dropout: tiny_model(family, home / f"{family}-{dropout}", **with_dropout(family, dropout))
    )


def with_dropout(family, share):
    """Its own dropout, whatever a family calls it."""
    names = {
        "gpt2": ["resid_pdrop", "embd_pdrop", "attn_pdrop"],
        "t5": ["dropout_rate"],
        "llama": ["attention_dropout"],
    }.get(family, ["hidden_dropout_prob", "attention_probs_dropout_prob"])
    tied = {"tie_word_embeddings": True} if family == "llama" else {}
    return dict.fromkeys(names, share) | tied


def recipe_of(base, name, packing=False, dropout=0.0, task="chat", **training):
    method = {"name": name.partition("-")[0], **METHODS[name]}
    if method["name"] in ("lora", "adalora", "adamix", "meft"):
        method.setdefault("dropout", dropout)
    short = {
        "learning_rate": 1e-2,
        "optimizer": "adamw_torch",
        "max_steps": STEPS,
        "epochs": 9,
        "batch_size": 4,
        "checkpoints": 1,
        "evaluations": 1,
        "samples": 0,
        "scored_questions": 0,
        "max_length": 48,
        "packing": packing,
        "gradient_checkpointing": "off",
    }
    return Recipe.from_dict(
        {
            "base_model": {"source": "folder", "id": str(base), "precision": PRECISIONS.get(name, "fp32")},
            "method": method,
            "task": {"name": task},
            "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.0},
            "training": short | training,
        }
    )


@pytest.fixture
def rows(home):
    """Eight rows of several lengths and two answers."""
    (home / "data").mkdir()
    made = [
        {"instruction": f"Where does Mira live{', and who' * (i % 4)}? {i}", "output": ("positive", "negative")[i % 2]}
        for i in range(8)
    ]
    (home / "data" / "rows.json").write_text(json.dumps(made))


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
        job, reporter, [reporter, *([StopAfter(run, stop_after)] if stop_after else []), CheckpointCallback(run)]
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    job.recipe.method.save(job.model, run.folder / "at_the_end")
    job.recipe.method.finish(job.model, run.folder / "at_the_end")
    return {file.name: load_file(file) for file in (run.folder / "at_the_end").glob("*.safetensors")}


def losses(run):
    return [(row["step"], row["loss"], row["grad_norm"]) for row in run.metrics()[0] if "loss" in row]


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


@pytest.mark.parametrize("name, packing, dropout", TABLE)
def test_every_method_resumes_exactly(name, packing, dropout, bases, rows, home):
    check_resumes_exactly(recipe_of(bases("llama", dropout), name, packing, dropout), home)


@pytest.mark.parametrize("family, task, name", OTHER_TASKS)
def test_every_task_resumes_exactly(family, task, name, bases, rows, home):
    check_resumes_exactly(recipe_of(bases(family, 0.1), name, dropout=0.2, task=task), home)
