"""An adapter merged into its base: the same logits, in the shape in which transformers opens the files."""

import errno

import pytest
import torch
import transformers

from qlora_app.base_models import ModelChoice, load_model
from qlora_app.export import merging
from qlora_app.export.merging import keep_for, merge, on_disk, save_merged
from qlora_app.hardware import Machine
from qlora_app.methods import METHODS, LoraMethod
from tests.tiny_models import tiny_model, tiny_network

pytestmark = pytest.mark.slow
IDS = torch.tensor([[5, 9, 40, 12, 33, 7]])


MERGEABLE = [method for kind in METHODS if (method := kind()).can_merge]
CASES = [(method, precision) for method in MERGEABLE for precision in method.precisions]
FAMILIES_OF = {"lora": ["llama", "gpt2"], "qalora": ["llama", "gpt2"]}  # those whose weights stand the other way round


@pytest.mark.parametrize(
    ("method", "precision", "family"),
    [(method, precision, family) for method, precision in CASES for family in FAMILIES_OF.get(method.name, ["llama"])],
    ids=lambda one: getattr(one, "name", one),
)
def test_what_is_merged_says_what_the_adapter_said(method, precision, family, tmp_path):
    folder = tiny_model(family, tmp_path)
    choice = ModelChoice(source="folder", id=str(folder), precision=precision)

    def base():
        return load_model(choice, quantize=not method.quantizes_itself)

    adapted = method.attach(base()).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight += 0.05 * torch.randn_like(weight)
    adapter, merged = tmp_path / "adapter", tmp_path / "merged"
    method.save(adapted, adapter)
    method.finish(adapted, adapter)
    merge(method, base(), adapter).save_pretrained(merged)
    opened = transformers.AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
    plain = base()
    with torch.no_grad():
        wanted, found, before = (one(input_ids=IDS).logits.float() for one in (adapted, opened, plain))
    off = (wanted - found).norm() / wanted.norm()
    assert off < (1e-4 if precision in ("nf4", "fp4", "fp32") else 0.02), "16 bits and 8 round while they compute"
    assert (wanted - before).norm() / wanted.norm() > 2 * off, "and the adapter says something else"


@pytest.mark.parametrize(
    ("family", "settings", "auto_class", "more"),
    [
        ("llama", {"tie_word_embeddings": True}, "AutoModelForCausalLM", {"weight_decomposed": True}),
        ("gpt2", {}, "AutoModelForCausalLM", {}),
        ("gemma2", {}, "AutoModelForCausalLM", {}),
        ("t5", {}, "AutoModelForSeq2SeqLM", {}),
    ],
)
def test_weights_that_lie_on_the_disk_meanwhile_are_the_same_bit_for_bit(family, settings, auto_class, more, tmp_path):
    choice = ModelChoice(source="folder", id=str(tiny_model(family, tmp_path, **settings)), precision="nf4")
    method, saved, kept = LoraMethod(**more), [], set()
    adapted = method.attach(load_model(choice, auto_class))
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight += 0.05 * torch.randn_like(weight)
    method.save(adapted, tmp_path / "adapter")

    def to_disk(tensor):
        made = on_disk(tensor, tmp_path)
        kept.add(made.untyped_storage().data_ptr())
        return made

    for number, keep in enumerate([lambda tensor: tensor, to_disk]):
        model = merge(method, load_model(choice, auto_class), tmp_path / "adapter", keep)
        if keep is to_disk:
            assert {weight.untyped_storage().data_ptr() for weight in model.parameters()} <= kept
        save_merged(model, torch.bfloat16, tmp_path / str(number), keep)
        saved.append((tmp_path / str(number) / "model.safetensors").read_bytes())
    assert saved[0] == saved[1] and not list(tmp_path.glob("*.tmp"))


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
    (tmp_path / "weights.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError) as told:
        on_disk(torch.ones(100_000), tmp_path)
    assert told.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())
    model = tiny_network("llama")
    monkeypatch.setattr(merging, "here", lambda: Machine("cpu", 1e9, 1e3))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    with pytest.raises(OSError) as told:
        keep_for(model, tmp_path)
    assert told.value.errno == errno.ENOSPC
