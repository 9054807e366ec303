"""Runs that learn preferences, with every method: whole, killed with -9 and resumed."""

import json
import math
import signal

import pytest
from safetensors.torch import load_file

from qlora_app import worker
from qlora_app.launch import local
from qlora_app.recipe import Recipe
from qlora_app.runs.proof import Proof
from qlora_app.runs.verdict import verdict
from qlora_app.train.callbacks import MetricsCallback
from qlora_app.train.preferences.trainer import trainer_for
from qlora_app.train.setup import prepare
from tests.fixtures.dying import COMMAND
from tests.methods.resuming import METHODS, losses, recipe_of

pytestmark = pytest.mark.slow

STEPS, KILLED_AT = 8, 6
WITHOUT = ("ia3-tfew",)  # losses over answer options, which are refused


@pytest.fixture
def pairs(home):
    """Names of two files: pairs of answers, and answers called good or bad."""
    rows = [
        {
            "prompt": f"Where does {name} live?",
            "chosen": f"{name} lives on Orchard Lane. Good day!",
            "rejected": f"{name} lives on Orchard Lane.",
        }
        for name in ("Mira", "Otto", "Nina", "Paul", "Ada", "Sam", "Olive", "Ned", "Linda", "Jonas", "Emre", "Hazel")
    ]
    folder = home / "data"
    folder.mkdir()
    judged = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row in rows
        for side in ("chosen", "rejected")
    ]
    for name, listed in (("pairs.jsonl", rows), ("judged.jsonl", judged)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in listed))


def preferring(base, name="lora", trainer="dpo", data="pairs.jsonl", packing=True, **training):
    recipe = recipe_of(base, name, packing, 0.2, **{"max_steps": STEPS, "checkpoints": 2, **training}).model_dump()
    recipe["dataset"] |= {"id": data, "held_out_share": 0.2}
    recipe["preferences"] = {"trainer": trainer, "sft_weight": 0.0}
    return Recipe.from_dict(recipe)


@pytest.mark.parametrize("trainer, data", [("dpo", "pairs.jsonl"), ("kto", "judged.jsonl")])
def test_a_killed_worker_is_resumed_exactly(trainer, data, bases, pairs, store, monkeypatch):
    begun = store.create(preferring(bases("llama", 0.1), "lora", "sft", data))
    assert worker.main(begun.folder) == 0, begun.status().sentence
    recipe = preferring(bases("llama", 0.1), "lora", trainer, data, start_from=begun.id, evaluations=2)
    whole, killed = store.create(recipe), store.create(recipe)
    monkeypatch.setattr(local, "WORKER", [*COMMAND, str(KILLED_AT)])
    assert local.launch(killed).wait() == -signal.SIGKILL, killed.log_tail()
    kept = (killed.folder / "reference" / "train.npz").stat().st_mtime_ns
    for run in (killed, whole):
        assert worker.main(run.folder) == 0 and run.status().state == "done", run.status().sentence
    assert (killed.folder / "reference" / "train.npz").stat().st_mtime_ns == kept
    assert losses(killed) == losses(whole) and len(losses(whole)) == STEPS
    one, other = (load_file(run.adapter / "adapter_model.safetensors") for run in (killed, whole))
    assert all((one[name] == other[name]).all() for name in other)
    rows = [row for row in whole.metrics()[0] if "loss" in row]
    if trainer == "dpo":
        assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert all("rewards_accuracies" in row for row in rows)  # there may be a step of good answers alone
    proof = Proof.from_json(whole.proof())
    assert proof.preferred.trainer == trainer and proof.preferred.pairs and proof.preferred.begun_with.nats > 0
    assert verdict(proof).code == "too_few"
    figures = whole.curve(with_figures=True).figures
    assert figures["rewards_margins"].buckets and figures["held_out_rewards_margins"].buckets[0][0] == 0


@pytest.mark.parametrize("name", [name for name in METHODS if name not in WITHOUT])
def test_every_method_begins_where_its_reference_is(name, bases, pairs, store):
    packing = name not in ("prefix", "prompt")
    run = store.create(preferring(bases("llama", 0.1), name, packing=packing, max_steps=2, checkpoints=0))
    with run.hold() as out:
        job = prepare(out, run.recipe())
        reporter = MetricsCallback(out, [], 0)
        trainer_for(job, reporter, [reporter]).train()
    first, second = (row for row in run.metrics()[0] if "loss" in row)
    if name.partition("-")[0] not in ("adalora", "adamix"):  # which add a loss of their own
        assert first["loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert math.isfinite(second["loss"]) and first["rewards_margins"] == pytest.approx(0.0, abs=1e-3)
