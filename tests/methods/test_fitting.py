"""An adapter that does not fit its model, or is damaged, is refused in a sentence and answers nothing."""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from qlora_app import starter
from qlora_app.errors import UserError
from qlora_app.inference.loaded import with_adapter
from qlora_app.methods.fitting import CONFIG, WEIGHTS
from tests.methods.test_every_method import NAMES, small
from tests.methods.tiny import apart, batch, logits, opened, train
from tests.refusing import refused

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@pytest.fixture(params=NAMES)
def saved(request, tmp_path):
    """(method, the folder of a checkpoint of it, what its model answers)"""
    return made(request.param, tmp_path)


@pytest.fixture
def lora(tmp_path):
    return made("lora", tmp_path)


def made(name, folder):
    method = small(name)
    model = method.attach(opened("llama", method.precisions[-1]))
    train(method, model, batch(), steps=1)
    method.save(model, folder)
    for file in FILES:
        shutil.copy(starter.BASE / file, folder)
    return method, folder, model


def load(method, folder):
    return with_adapter(opened("llama", method.precisions[-1]), method, folder)[1]


def tensors(folder, change):
    kept = load_file(folder / WEIGHTS)
    change(kept)
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, folder / WEIGHTS)


def without_half(kept):
    for name in sorted(kept)[::2]:
        del kept[name]


@pytest.mark.slow
def test_every_method_opens_and_resumes_what_it_saved(saved):
    method, folder, model = saved
    assert apart(logits(load(method, folder), batch()), logits(model, batch())) <= 1e-5
    method.resume(method.attach(opened("llama", method.precisions[-1])), folder)


def test_surplus_tensors_are_refused_whatever_the_method(saved):
    method, folder, _ = saved
    tensors(folder, lambda kept: kept.update({"base_model.model.model.layers.77.x.lora_A.weight": torch.ones(2, 2)}))
    with pytest.raises(UserError) as caught:
        load(method, folder)
    assert caught.value.code in ("adapter.does_not_fit", "method.adapter_does_not_fit")


def test_missing_tensors_are_counted_and_named(lora):
    method, folder, _ = lora
    count = len(load_file(folder / WEIGHTS))
    tensors(folder, without_half)
    with refused("adapter.does_not_fit", "adapter.missing", count // 2, "lora_A"):
        load(method, folder)
    with refused("adapter.does_not_fit", "adapter.missing", count // 2):
        method.resume(method.attach(opened("llama", method.precisions[-1])), folder)


def test_tensors_of_another_shape_are_named_with_both(lora):
    method, folder, _ = lora
    tensors(folder, lambda kept: kept.update({name: torch.ones(3, 7) for name in sorted(kept)[:2]}))
    with refused("adapter.does_not_fit", "adapter.misshapen", 2, "[3, 7]"):
        load(method, folder)


def test_weights_of_another_model_are_refused(lora, tmp_path_factory):
    method, folder, _ = lora
    other = tmp_path_factory.mktemp("other")
    method.save(method.attach(opened("gpt2", method.precisions[-1])), other)
    shutil.copy(other / WEIGHTS, folder)
    with refused("adapter.does_not_fit", "adapter.missing", "adapter.surplus"):
        load(method, folder)


def not_a_number(folder):
    tensors(folder, lambda kept: kept.update({sorted(kept)[0]: kept[sorted(kept)[0]] * float("nan")}))


def config(folder, **changes):
    known = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(known | changes))


def of_another_kind(folder):
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").write_bytes(b"\x80\x04.")


def pipe(file):
    file.unlink()
    os.mkfifo(file)


DAMAGES = {
    "no number": not_a_number,
    "pickle": of_another_kind,
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "no config": lambda folder: (folder / CONFIG).unlink(),
    "empty weights": lambda folder: (folder / WEIGHTS).write_bytes(b""),
    "cut weights": lambda folder: os.truncate(folder / WEIGHTS, 3000),
    "longer weights": lambda folder: os.truncate(folder / WEIGHTS, 10_000_000),
    "pipe": lambda folder: pipe(folder / WEIGHTS),
    "config of a list": lambda folder: (folder / CONFIG).write_text("[1]"),
    "config cut": lambda folder: os.truncate(folder / CONFIG, 40),
    "config without a kind": lambda folder: config(folder, peft_type=None),
    "unknown kind": lambda folder: config(folder, peft_type="NEW_KIND"),
    "other kind": lambda folder: config(folder, peft_type="IA3"),
    "unknown layers": lambda folder: config(folder, target_modules=["nowhere"]),
    "layers of a number": lambda folder: config(folder, target_modules=7),
    "fewer layers": lambda folder: config(folder, target_modules=["q_proj"]),
    "other rank": lambda folder: config(folder, r=3),
    "rank of a text": lambda folder: config(folder, r="many"),
    "rank below zero": lambda folder: config(folder, r=-1),
    "tokenizer cut": lambda folder: os.truncate(folder / "tokenizer.json", 3000),
    "tokenizer of a list": lambda folder: (folder / "tokenizer.json").write_text("[]"),
    "tokenizer settings cut": lambda folder: os.truncate(folder / "tokenizer_config.json", 20),
}


@pytest.mark.daily(8)
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_a_sentence(name, lora):
    method, folder, _ = lora
    DAMAGES[name](folder)
    with pytest.raises(UserError) as caught:
        load(method, folder)
    assert caught.value.code.startswith(("adapter.", "model."))
