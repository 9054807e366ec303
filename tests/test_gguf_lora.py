"""An adapter as a GGUF of its own: llama.cpp with base and adapter gives every token the chance that PEFT gives it."""

import json
import random

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from qlora_app import worker
from qlora_app.base_models import ModelChoice
from qlora_app.export import GgufLoraExporter
from qlora_app.export.gguf_lora import scaling_of, write_lora
from qlora_app.export.gguf_lora_reading import peft_of_gguf, read_lora
from qlora_app.inference.llama_cpp import LlamaCpp
from qlora_app.kinds.export import export_job
from qlora_app.methods.fitting import CONFIG, WEIGHTS
from qlora_app.runs.exports import made_by
from tests.fixtures.finished import finished_run
from tests.fixtures.gguf import as_gguf
from tests.refusing import refused
from tests.tiny_models import tiny_config

QKV = ["q_proj", "k_proj", "down_proj"]
CASES = {
    "llama": {"target_modules": QKV, "use_rslora": True},
    "mistral": {"target_modules": QKV, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 3}},
    "qwen3": {"target_modules": "all-linear"},
    "phi3": {"target_modules": ["qkv_proj", "gate_up_proj", "o_proj"]},
    "gpt2": {"target_modules": ["c_attn", "c_proj"]},
}


def adapted(network, folder, **config):
    """PEFT's model of it, with an adapter of random numbers that is saved in a folder."""
    torch.manual_seed(1)
    model = get_peft_model(network, LoraConfig(**{"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM"} | config)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight += 0.3 * torch.randn(weight.shape)
    model.save_pretrained(str(folder))
    return model


def back_in_peft(config, folder):
    """What was written comes back with every number, and what each layer adds is the same."""
    (folder / "base").mkdir()
    (folder / "back").mkdir()
    (folder / "base" / "config.json").write_text(json.dumps(config))
    base = ModelChoice(source="folder", id=str(folder / "base"))
    peft_of_gguf(read_lora(folder / "lora.gguf"), base, folder / "back")
    before, after = (load_file(folder / name / WEIGHTS) for name in ("adapter", "back"))
    saved, told = (json.loads((folder / name / CONFIG).read_text()) for name in ("adapter", "back"))
    assert before.keys() == after.keys()
    for name in before:
        factors = (1.0, 1.0)
        if "lora_B" in name:
            layer, rank = name.removeprefix("base_model.model.").partition(".lora_B")[0], before[name].shape[1]
            factors = scaling_of(layer, rank, saved), scaling_of(layer, rank, told)
        assert torch.allclose(before[name] * factors[0], after[name] * factors[1], atol=1e-6)
    assert LoraConfig(**told).rank_pattern == told["rank_pattern"]


@pytest.mark.parametrize("family", CASES)
def test_llama_cpp_adds_what_peft_adds(family, tmp_path):
    network, tokenizer, _ = as_gguf(family, tmp_path)
    config = network.config.to_dict()
    draw, ids = random.Random(1), []
    with torch.no_grad():
        ids = [draw.randrange(3, len(tokenizer)) for _ in range(30)]
        alone = network(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        model = adapted(network, tmp_path / "adapter", **CASES[family])
        logs = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    write_lora(tmp_path / "adapter", config, "Tiny", tmp_path / "lora.gguf")
    both = LlamaCpp(tmp_path / f"{family}.gguf", tokens=64, most_rows=1, adapter=tmp_path / "lora.gguf")
    told = both.likeliest_after(ids, 20, tokenizer.eos_token_id)
    assert told[0][0] == int(logs.argmax()) and all(abs(float(logs[id]) - log) < 0.02 for id, log in told)
    back_in_peft(config, tmp_path)
    assert max(abs(float(alone[id]) - log) for id, log in told) > 0.1, "the adapter says something else than the base"


@pytest.mark.slow
def test_a_run_answers_as_it_did_from_two_files(home):
    run = finished_run("gpt2", "chat", home)
    job = export_job(run, GgufLoraExporter(dtype="F32", questions=2))
    assert worker.main(job.folder) == 0, job.status().sentence
    made = made_by(job)
    assert made.fidelity.positions > 2 and made.fidelity.first_choice == 1.0 and made.fidelity.kl_max < 1e-6
    assert {f"{run.id}-base-F32.gguf", f"{run.id}-lora.gguf"} <= set(made.files)
    for changes, what in (
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "lm_head"),
        ({"peft_type": "LOHA"}, "LoRA"),
    ):
        kept = (run.adapter / CONFIG).read_text()
        (run.adapter / CONFIG).write_text(json.dumps(json.loads(kept) | changes))
        with refused("export.gguf_lora", what):
            export_job(run, GgufLoraExporter())
        (run.adapter / CONFIG).write_text(kept)


def test_what_llama_cpp_has_no_place_for_is_named(tmp_path):
    network, _, _ = as_gguf("llama", tmp_path)
    config = network.config.to_dict()
    adapted(network, tmp_path / "adapter", target_modules=["embed_tokens"])
    with refused("export.gguf_layer", "embed_tokens"):
        write_lora(tmp_path / "adapter", config, "Tiny", tmp_path / "lora.gguf")


def test_a_gguf_that_is_no_lora_of_this_base_is_refused(tmp_path):
    network, _, _ = as_gguf("llama", tmp_path)
    with refused("import.gguf"):
        read_lora(tmp_path / "llama.gguf")
    adapted(network, tmp_path / "adapter", target_modules=["q_proj"])
    write_lora(tmp_path / "adapter", network.config.to_dict(), "Tiny", tmp_path / "lora.gguf")
    other = ModelChoice(source="folder", id=str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    for family, more, code in (
        ("gpt2", {}, "import.gguf_base"),
        ("llama", {"num_hidden_layers": 1}, "import.gguf_tensor"),
    ):
        (tmp_path / "other" / "config.json").write_text(json.dumps(tiny_config(family, **more).to_dict()))
        with refused(code):
            peft_of_gguf(read_lora(tmp_path / "lora.gguf"), other, tmp_path)
