"""What other methods learned becomes plain LoRA, as near as it is said, and answers as it did."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, convert_to_lora, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from qlora_app import worker
from qlora_app.export import LoraExporter, exporter_of
from qlora_app.export.lora import _adapted_layers, _Change, _change, _lost, _matrices, _rank_for
from qlora_app.kinds.export import export_job
from qlora_app.methods import METHODS
from qlora_app.methods.fitting import CONFIG, WEIGHTS
from qlora_app.runs.exports import FILES, made_by
from qlora_app.ui.runs.export_part import exports_part
from tests.fixtures.finished import finished_run
from tests.refusing import refused
from tests.tiny_models import tiny_model, tiny_network

IDS = torch.tensor([[5, 9, 20, 33, 40]])


def exported(run, **how):
    job = export_job(run, LoraExporter(questions=3, **how))
    assert worker.main(job.folder) == 0, job.status().sentence
    return job.folder / FILES, made_by(job)


def rank_in(folder):
    return json.loads((folder / CONFIG).read_text())["r"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "task", "method", "rank"),
    [
        ("llama", "chat", {"name": "lora", "rank_stabilized": True}, 4),
        ("gpt2", "chat", {"name": "adalora", "rank": 2, "first_rank": 4}, 4),
        ("qwen3", "chat", {"name": "vera", "alpha": None, "rank": 8}, 8),
        ("gemma2", "chat", {"name": "miss", "alpha": None}, 4),
        ("mistral", "chat", {"name": "hra", "alpha": None, "precision": "fp32"}, 4),
        ("phi3", "chat", {"name": "loha", "precision": "fp32", "rank": 2}, 4),
        ("t5", "text_to_text", {"name": "miss", "alpha": None}, 4),
        ("roberta", "classification", {"name": "vera", "alpha": None, "rank": 8}, 8),
    ],
    ids=lambda given: given["name"] if isinstance(given, dict) else None,
)
def test_it_answers_as_what_was_learned(family, task, method, rank, home):
    folder, made = exported(finished_run(family, task, home, **method))
    found = made.fidelity
    assert (found.same, found.questions, found.first_choice) == (3, 3, 1.0) and found.logits < 0.02
    is_exact = "nothing" in made.notes[0] or "less than 0.01%" in made.notes[0]  # what 32 bits can tell, or nearly
    assert rank_in(folder) <= rank and f"rank {rank_in(folder)}, it lacks" in made.notes[0]
    assert is_exact == (rank_in(folder) == rank), made.notes[0]


@pytest.mark.slow
def test_plain_peft_opens_it_and_its_own_conversion_is_the_same_where_it_has_one(home):
    run = finished_run("llama", "chat", home, name="vera", alpha=None, rank=8, precision="fp32")
    folder, _ = exported(run, rank=8)

    def base():
        return AutoModelForCausalLM.from_pretrained(run.recipe().base_model.id, dtype=torch.float32)

    learned = PeftModel.from_pretrained(base(), str(run.adapter)).eval()
    opened = PeftModel.from_pretrained(base(), str(folder)).eval()
    assert opened.peft_config["default"].task_type == "CAUSAL_LM"
    with torch.no_grad():
        assert torch.allclose(learned(input_ids=IDS).logits, opened(input_ids=IDS).logits, atol=1e-4)
    _, theirs = convert_to_lora(learned, 8)
    ours = load_file(folder / WEIGHTS)
    assert ours.keys() == theirs.keys()
    for name in (name for name in ours if "lora_A" in name):
        other = name.replace("lora_A", "lora_B")
        assert torch.allclose(ours[other] @ ours[name], theirs[other] @ theirs[name], atol=1e-5)


def change_of(*values):
    """Of a layer of 16 by 16, with these singular values."""
    found = torch.tensor(values)
    return _Change(torch.eye(16)[:, : len(values)], found, torch.eye(16)[: len(values)], rest=0.0)


def test_the_rank_is_the_smallest_that_loses_no_more_than_it_may_over_all_layers():
    changes = {"a": change_of(3.0, 0.3, 0.02), "b": change_of(4.0)}
    assert _lost(changes, 1) == pytest.approx((0.3**2 + 0.02**2) ** 0.5 / (25 + 0.09 + 0.0004) ** 0.5, rel=1e-4)
    assert [_rank_for(changes, most, None) for most in (0.1, 0.05, 0.001)] == [1, 2, 3]
    assert _lost(changes, 3) == 0 and _lost({}, 3) == 0
    a, b = _matrices(changes["b"], 3)
    assert torch.allclose(b @ a, torch.diag(torch.tensor([4.0] + 15 * [0.0]))) and a.shape == (3, 16)


@pytest.mark.slow
def test_what_has_full_rank_is_refused_unless_somebody_says_a_rank_and_then_measured(home):
    run = finished_run("llama", "chat", home, name="oft", rank=None, alpha=None, block_size=32, precision="fp32")
    job = export_job(run, LoraExporter())
    assert worker.main(job.folder) == 1 and "rank" in job.status().sentence and not job.result()
    folder, made = exported(run, rank=8)
    assert rank_in(folder) == 8 and made.fidelity.logits > 1e-3
    assert 0.01 < float(made.notes[0].split(" lacks ")[1].split("%")[0]) / 100 < 1


@pytest.mark.slow
def test_what_changes_biases_is_no_lora(home):
    base = tiny_model("gpt2", home)
    weights = load_file(base / "model.safetensors")
    weights = {name: one + ("attn.bias" in name.replace("c_attn", "attn")) for name, one in weights.items()}
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    run = finished_run("gpt2", "chat", home, base, name="ia3", rank=None, alpha=None)
    job = export_job(run, LoraExporter(rank=4))
    assert worker.main(job.folder) == 1 and "biases" in job.status().sentence


@pytest.mark.slow
def test_where_nothing_was_changed_there_is_nothing_to_make(home):
    run = finished_run("llama", "chat", home, rank_stabilized=True)
    weights = {name: torch.zeros_like(one) for name, one in load_file(run.adapter / WEIGHTS).items()}
    save_file(weights, run.adapter / WEIGHTS, {"format": "pt"})
    job = export_job(run, LoraExporter())
    assert worker.main(job.folder) == 1 and "changed no weight" in job.status().sentence


def test_layers_that_are_not_linear_are_none_of_it():
    config = LoraConfig(r=2, target_modules=["embed_tokens"], task_type="CAUSAL_LM")
    ((_, layer),) = _adapted_layers(get_peft_model(tiny_network("llama"), config))
    with refused("export.lora_not_linear", "Embedding"):
        _change(layer, None)


def test_what_can_be_none_is_refused_before_the_start_and_what_is_one_is_not_offered(home):
    run = finished_run("llama", "chat", home)
    assert not LoraExporter.is_offered_for(run)
    kinds = {kind.model_fields["name"].default: kind for kind in METHODS}
    for name, more, code in (
        ("prefix", {}, "export.lora_no_change"),
        ("qalora", {}, "export.lora_own_base"),
        ("lora", {"weight_decomposed": True}, "export.lora_dora"),
    ):
        recipe = run.recipe().model_copy(update={"method": kinds[name](**more)})
        (run.folder / "recipe.yaml").write_text(recipe.to_yaml())
        with refused(code):
            export_job(run, LoraExporter())


def test_the_page_offers_it_with_a_rank_for_what_is_none_yet(home):
    run = finished_run("llama", "chat", home)
    assert "As plain LoRA" not in exports_part(run)
    recipe = run.recipe()
    method = recipe.method.model_copy(update={"rank_stabilized": True})
    (run.folder / "recipe.yaml").write_text(recipe.model_copy(update={"method": method}).to_yaml())
    shown = exports_part(run)
    assert '<option value="0" selected>As measured</option><option value="4">4</option>' in shown
    assert exporter_of("lora", {"rank": "16"}).rank == 16 and 'data-format="lora"' in shown
