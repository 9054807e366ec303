"""A first loss that is no number says what it comes from, and never that the learning rate is too high."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from qlora_app import worker
from qlora_app.recipe import Recipe
from qlora_app.runs.checkpoints import newest_complete, seal
from qlora_app.train.first_loss import broken_tensors, check_first_loss
from tests.refusing import check_problem, refused
from tests.tiny_models import tiny_model


@pytest.fixture
def recipe(home, tmp_path):
    (home / "data").mkdir()
    (home / "data" / "rows.json").write_text(
        json.dumps([{"instruction": f"Who is it? {i}", "output": "Mira"} for i in range(8)])
    )

    def made(precision="fp32", packing=True, broken=None, value=float("nan"), **training):
        base = tiny_model("llama", tmp_path)
        if broken:
            tensors = load_file(base / "model.safetensors")
            tensors[broken].view(-1)[3:5] = value
            save_file(tensors, base / "model.safetensors", {"format": "pt"})
        short = {
            "batch_size": 4,
            "max_steps": 4,
            "packing": packing,
            "checkpoints": 2,
            "samples": 0,
            "evaluations": 0,
            "scored_questions": 0,
            "general_questions": 0,
        }
        return Recipe.from_dict(
            {
                "base_model": {"source": "folder", "id": str(base), "precision": precision},
                "method": {"name": "lora", "rank": 2},
                "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.0},
                "training": short | training,
            }
        )

    return made


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "nf4", "int8", "bf16"])
@pytest.mark.parametrize(
    "tensor, value", [("model.layers.1.mlp.up_proj.weight", float("nan")), ("model.norm.weight", float("inf"))]
)
def test_a_damaged_base_is_named_with_its_tensor(tensor, value, precision, recipe, store):
    run = store.create(recipe(precision, broken=tensor, value=value))
    assert worker.main(run.folder) == 1
    said = run.status().sentence
    check_problem(said, "training.base_not_finite", tensor)


@pytest.mark.slow
@pytest.mark.parametrize("packing", [True, False])
def test_it_is_noticed_packed_and_padded(packing, recipe, store):
    run = store.create(recipe(packing=packing, broken="model.embed_tokens.weight", value=float("inf")))
    assert worker.main(run.folder) == 1 and "2 of the" in run.status().sentence


@pytest.mark.slow
def test_a_damaged_checkpoint_is_not_called_a_damaged_base(recipe, store):
    run = store.create(recipe())
    run.request("stop")
    assert worker.main(run.folder) == 0
    checkpoint = newest_complete(run.checkpoints)
    weights = load_file(checkpoint / "adapter_model.safetensors")
    next(iter(weights.values())).view(-1)[0] = float("nan")
    save_file(weights, checkpoint / "adapter_model.safetensors", {"format": "pt"})
    seal(checkpoint)
    assert worker.main(run.folder) == 1
    assert "which the adapter has learned" in run.status().sentence and "earlier checkpoint" in run.status().sentence


def test_overflow_without_a_damaged_tensor_and_a_step_without_a_label_have_their_own_words():
    model = torch.nn.Linear(2, 2)
    model.dtype = torch.float16
    assert list(broken_tensors(model)) == []
    with refused("training.first_loss_overflows", "float16"):
        check_first_loss(model, torch.tensor(float("inf")), 3)
    with refused("training.no_token_to_learn"):
        check_first_loss(model, torch.tensor(float("nan")), torch.tensor(0))
    check_first_loss(model, torch.tensor(2.0), 3)


@pytest.mark.slow
def test_a_healthy_run_says_nothing_of_it(recipe, store):
    run = store.create(recipe(max_steps=1))
    assert worker.main(run.folder) == 0, run.status().sentence
    shutil.rmtree(run.folder)
