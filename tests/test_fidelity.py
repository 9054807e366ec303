"""How far an export is from its adapter is measured for every task, and chooses the type of its weights."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from qlora_app import worker
from qlora_app.export import AdapterExporter, GgufExporter, GgufLoraExporter, MergedExporter, fidelity
from qlora_app.export.fidelity import Right
from qlora_app.export.merged import NOT_TRAINED
from qlora_app.kinds.export import export_job
from qlora_app.messages import IGNORED
from qlora_app.methods import METHODS
from qlora_app.runs.exports import FILES, REPORT, made_by
from qlora_app.runs.since import weights_of
from qlora_app.storage.files import write_json
from qlora_app.ui.runs.export_part import exports_part
from tests.fixtures.finished import finished_run
from tests.refusing import refused
from tests.tiny_models import tiny_model

pytestmark = pytest.mark.slow


def exported(run, **how):
    job = export_job(run, MergedExporter(questions=2, **how))
    assert worker.main(job.folder) == 0, job.status().sentence
    return job, made_by(job)


@pytest.mark.parametrize(
    ("family", "task"),
    [("t5", "text_to_text"), ("bert", "classification"), ("roberta", "fill_mask")],
)
def test_every_task_is_measured(family, task, home):
    run = finished_run(family, task, home)
    job, made = exported(run, dtype="fp32")
    found = made.fidelity
    assert (found.about, found.questions, found.same) == ("held-out", 2, 2) and found.exact_match.before is not None
    assert found.positions >= 2 and found.first_choice == 1.0 and found.logits < 1e-4 and found.kl_max < 1e-6
    told = json.loads((job.folder / FILES / REPORT).read_text())
    assert told["level"] == "green" and told["checksums"]["model.safetensors"] == made.checksums["model.safetensors"]
    assert found.chances in exports_part(run) and made.checksums["model.safetensors"] in exports_part(run)


def test_of_an_answer_that_has_no_room_the_beginning_is_compared():
    right = Right([5, 6, 7, 8], [IGNORED, 6, IGNORED, 8])
    assert right.beginning(1) == Right([5, 6, 7, 8], [IGNORED, 6, IGNORED, IGNORED])
    assert right.beginning(9) == right and right.beginning(0).places == []


def test_one_long_answer_does_not_end_the_comparison(home, monkeypatch):
    run = finished_run("llama", "chat", home)
    monkeypatch.setattr(fidelity, "NUMBERS", 3 * len(AutoTokenizer.from_pretrained(run.adapter)))
    _, made = exported(run, dtype="fp32")
    assert 0 < made.fidelity.positions <= 3 and made.fidelity.first_choice == 1.0


def test_without_its_data_general_questions_are_asked(home):
    _, made = exported(finished_run("llama", "chat", home, with_data=False), dtype="fp32")
    assert (made.fidelity.about, made.fidelity.questions, made.fidelity.same) == ("general", 2, 2)
    assert made.fidelity.exact_match.before is None and made.fidelity.positions > 2 and made.fidelity.logits < 1e-4


def test_what_differs_is_listed_and_the_original_weights_are_not_what_was_trained(home):
    run = finished_run("llama", "chat", home)
    _, made = exported(run, onto="original")
    assert NOT_TRAINED in made.notes and made.fidelity.logits > 1e-2 and made.dtype == "fp16"
    assert len(made.fidelity.differing) == made.fidelity.questions - made.fidelity.same
    shown = exports_part(run)
    assert made.fidelity.level != "green" and NOT_TRAINED in shown
    assert '<option value="auto" selected>' in shown and '<option value="Q4_K_M">Q4_K_M</option>' in shown


def test_what_fits_the_rounded_base_only_is_not_merged_into_the_original(home):
    run = finished_run("llama", "chat", home)
    for name, more in (("qalora", {}), ("lora", {"initialisation": "loftq"})):
        kind = next(one for one in METHODS if one.model_fields["name"].default == name)
        recipe = run.recipe().model_copy(update={"method": kind(**more)})
        (run.folder / "recipe.yaml").write_text(recipe.to_yaml())
        with refused("export.only_onto_trained"):
            export_job(run, MergedExporter(onto="original"))


@pytest.mark.parametrize(("tensor", "large"), [("lm_head.weight", 1e5), ("model.norm.weight", 6e4)])
def test_what_fp16_cannot_hold_or_compute_is_saved_otherwise(tensor, large, home):
    folder = tiny_model("llama", home)
    weights = load_file(folder / "model.safetensors")
    weights[tensor].view(-1)[:8] = large
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    run = finished_run("llama", "chat", home, folder)
    tokenizer = AutoTokenizer.from_pretrained(run.adapter)
    tokenizer.chat_template = {"default": tokenizer.chat_template, "rag": tokenizer.chat_template}
    tokenizer.save_pretrained(run.adapter)  # which makes a folder of several templates
    job, made = exported(run)
    assert made.dtype in ("bf16", "fp32") and made.fidelity.first_choice == 1.0
    kept = load_file(job.folder / FILES / "model.safetensors")
    assert all(weight.dtype == {"bf16": torch.bfloat16, "fp32": torch.float32}[made.dtype] for weight in kept.values())
    refusing = export_job(run, MergedExporter(dtype="fp16"))
    assert worker.main(refusing.folder) == 1 and "65,504" in refusing.status().sentence


@pytest.mark.parametrize("damage", ["half", "shape", "nan"])
def test_a_damaged_adapter_is_in_no_export(damage, home):
    run = finished_run("gpt2", "chat", home)
    file = run.adapter / "adapter_model.safetensors"
    write_json(run.adapter / "proof.json", {"weights": weights_of(run.adapter)})
    whole = load_file(file)
    name = next(name for name in whole if "lora_B" in name)
    damaged = {
        "half": dict(list(whole.items())[::2]),
        "shape": whole | {name: whole[name][:, :2].contiguous()},
        "nan": whole | {name: whole[name] * float("nan")},
    }[damage]
    save_file(damaged, file, {"format": "pt"})
    with refused("export.adapter_changed"):
        export_job(run, AdapterExporter())
    for exporter in (MergedExporter(questions=2), GgufExporter(questions=2), GgufLoraExporter(questions=2)):
        job = export_job(run, exporter)
        assert worker.main(job.folder) == 1 and name.rpartition(".lora_B")[0][-20:] in job.status().sentence
