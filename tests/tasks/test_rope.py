"""One long example does not change how the short ones beside it are read."""

import json

import pytest
import torch
from transformers import AutoConfig

from qlora_app.recipe import Recipe
from qlora_app.tasks.rope import reading_alone, switches_at
from qlora_app.train.setup import prepare
from tests.tiny_models import tiny_model

LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
    "factor": 8.0,
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 32,
}


@pytest.mark.parametrize(
    "config, limit",
    [
        (AutoConfig.for_model("llama"), None),
        (AutoConfig.for_model("gpt2"), None),
        (AutoConfig.for_model("gemma3_text"), None),
        (
            AutoConfig.for_model(
                "llama",
                rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
                max_position_embeddings=64,
            ),
            64,
        ),
        (
            AutoConfig.for_model("llama", rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}),
            None,
        ),
        (
            AutoConfig.for_model(
                "phi3",
                rope_scaling={"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48},
                original_max_position_embeddings=4096,
                max_position_embeddings=131072,
            ),
            4096,
        ),
    ],
)
def test_where_a_model_switches_is_read_from_its_config(config, limit):
    assert switches_at(config) == limit


def test_only_a_mixture_of_lengths_is_read_alone():
    config = AutoConfig.for_model("llama", rope_parameters=LONGROPE, max_position_embeddings=256)
    assert (
        reading_alone(config, [10, 20])
        == ""
        == reading_alone(config, [40, 50])
        == reading_alone(AutoConfig.for_model("llama"), [9, 99999])
    )
    assert reading_alone(config, [10, 20, 33]).startswith("1 of 3 examples are longer than 32 tokens")


@pytest.mark.parametrize("packing", [True, False])
def test_a_short_example_is_measured_as_it_is_read_alone(packing, store, home, tmp_path, hold):
    (home / "data").mkdir()
    texts = ["Mira bakes bread.", "Otto repairs clocks.", "Mira bakes bread every morning, " * 6, "She reads a book."]
    (home / "data" / "rows.json").write_text(json.dumps([{"text": text} for text in texts]))
    base = tiny_model("llama", tmp_path, rope_parameters=LONGROPE)
    run = store.create(
        Recipe.from_dict(
            {
                "base_model": {"source": "folder", "id": str(base), "precision": "fp32"},
                "method": {"name": "lora", "rank": 2},
                "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.0, "held_out_from": ""},
                "training": {"batch_size": 4, "packing": packing, "max_length": 128},
            }
        )
    )
    job = prepare(hold(run), run.recipe())
    assert job.micro_batch == 1 and any(
        "1 of 4 examples are longer than 32 tokens" in sentence for sentence in job.warnings
    )
    losses = []
    for example in job.train:
        ids = torch.tensor([example["input_ids"]])
        with torch.no_grad():
            logits = job.model.eval()(input_ids=ids, use_cache=False).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item())
    batches = [job.collate([example]) for example in job.train]
    measured = job.task.measure(job.model, batches)["loss"]
    assert measured == pytest.approx(
        sum(losses) / sum(len(example["input_ids"]) - 1 for example in job.train), abs=1e-5
    )
    mixed = job.task.measure(job.model, [job.collate(list(job.train))])["loss"]
    assert abs(mixed - measured) > 1e-5, "together they would be read otherwise"
