"""Adapters go both ways: what is written here opens in plain PEFT, and what plain PEFT wrote opens here, on every
family.
"""

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model

from qlora_app.methods import (
    METHODS,
    AdaMixMethod,
    Ia3Method,
    LoraMethod,
)
from qlora_app.methods.adalora import AdaloraMethod
from qlora_app.methods.layers import linear_layers
from tests.methods.tiny import apart, batch, logits, opened, train
from tests.tiny_models import task_type

pytestmark = pytest.mark.slow

FAMILIES = ("llama", "gpt2", "t5", "bert", "roberta", "deberta-v2")
LORA = {
    "plain": {},
    "rslora": {"rank_stabilized": True},
    "dora": {"weight_decomposed": True},
    "pissa": {"initialisation": "pissa"},
    "loftq": {"initialisation": "loftq"},
}
# The others are written and opened by PEFT itself: of them one family will do, in test_every_method.
OURS = {f"lora-{name}": LoraMethod(rank=4, alpha=8, dropout=0.0, **chosen) for name, chosen in LORA.items()} | {
    "adalora": AdaloraMethod(rank=4, first_rank=8),
    "adamix": AdaMixMethod(rank=4, dropout=0.0),
    "ia3": Ia3Method(),
}
WRITTEN_HERE = [(name, family) for name in OURS for family in FAMILIES]


@pytest.mark.parametrize("name, family", WRITTEN_HERE, ids=map("-".join, WRITTEN_HERE))
def test_what_is_written_here_opens_in_plain_peft(name, family, tmp_path):
    method, precision = OURS[name], "nf4" if name == "lora-loftq" else "fp32"
    torch.manual_seed(0)
    model = method.attach(opened(family, precision), task_type(family))
    train(method, model, batch(family), steps=1)
    method.save(model, tmp_path)
    method.finish(model, tmp_path)
    plain = PeftModel.from_pretrained(
        opened(family, precision), str(tmp_path), is_trainable=True
    )  # PEFT's AdaLoRA asks for it
    assert apart(logits(plain, batch(family)), logits(model, batch(family))) <= 1e-5


def targets(model):
    return {"target_modules": list(linear_layers(model))}


# As people write them, PEFT's own targets for (IA)3 included, which are not ours.
THEIRS = {
    "lora": lambda m: peft.LoraConfig(r=3, lora_alpha=5, target_modules="all-linear"),
    "lora-dora": lambda m: peft.LoraConfig(r=3, use_rslora=True, use_dora=True, target_modules="all-linear"),
    "lora-pissa": lambda m: peft.LoraConfig(r=3, init_lora_weights="pissa", **targets(m)),
    "ia3": lambda m: peft.IA3Config(),
    "adalora": lambda m: peft.AdaLoraConfig(init_r=6, target_r=4, total_step=10, **targets(m)),
    "vera": lambda m: peft.VeraConfig(r=8, **targets(m)),
    "oft": lambda m: peft.OFTConfig(oft_block_size=16, **targets(m)),
    "hra": lambda m: peft.HRAConfig(r=2, **targets(m)),
    "miss": lambda m: peft.MissConfig(r=8, **targets(m)),
    "loha": lambda m: peft.LoHaConfig(r=3, **targets(m)),
    "lokr": lambda m: peft.LoKrConfig(r=3, **targets(m)),
    "prefix": lambda m: peft.PrefixTuningConfig(num_virtual_tokens=3),
    "prompt": lambda m: peft.PromptTuningConfig(num_virtual_tokens=3),
}
KINDS = {method.model_fields["name"].default: method for method in METHODS}
# LoRA and (IA)3 on every family, the others on two that are built otherwise. PEFT's own PiSSA cannot begin on GPT-2's
# layers.
WRITTEN_THERE = [
    (name, family)
    for name in THEIRS
    for family in (FAMILIES if name.startswith(("lora", "ia3")) else ("llama", "bert"))
    if family in (KINDS[name.partition("-")[0]].families or FAMILIES) and (name, family) != ("lora-pissa", "gpt2")
]


@pytest.mark.parametrize("name, family", WRITTEN_THERE, ids=map("-".join, WRITTEN_THERE))
def test_what_plain_peft_wrote_opens_here(name, family, tmp_path):
    torch.manual_seed(0)
    base = opened(family)
    config = THEIRS[name](base)
    config.task_type = task_type(family)
    theirs = get_peft_model(base, config)
    with torch.no_grad():
        for p in (p for p in theirs.parameters() if p.requires_grad):
            p.add_(0.1 * torch.randn_like(p))
    theirs.save_pretrained(str(tmp_path))
    loaded = KINDS[name.partition("-")[0]]().load(opened(family), tmp_path)
    now = logits(theirs, batch(family))
    assert apart(logits(loaded, batch(family)), now) <= 1e-5
    assert not any(p.requires_grad for p in loaded.parameters())
    with loaded.disable_adapter():
        assert (logits(loaded, batch(family)) - now).abs().max() > 1e-4, "the adapter does something"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [LoraMethod(rank=3, dropout=0.0), Ia3Method()], ids=["lora", "ia3"])
def test_training_goes_on_from_an_adapter_of_plain_peft(method, family, tmp_path):
    """One of the same shape: then its numbers are where ours would be."""
    torch.manual_seed(0)
    theirs = get_peft_model(opened(family), method.config(opened(family), task_type(family)))
    train(method, theirs, batch(family), steps=1)
    theirs.save_pretrained(str(tmp_path))
    ours = method.attach(opened(family), task_type(family))
    method.resume(ours, tmp_path)
    assert apart(logits(ours, batch(family)), logits(theirs, batch(family))) <= 1e-5
    losses = train(method, ours, batch(family), steps=2)
    assert losses[1] < losses[0]
