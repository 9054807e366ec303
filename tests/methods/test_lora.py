"""The laws of LoRA and its variants, on tiny models of every family."""

import json

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer

from qlora_app.methods import LoraMethod, changed_layers, parameter_checksums
from qlora_app.methods.lora_init import weight_of
from tests.methods.tiny import batch, logits, opened, train
from tests.refusing import refused
from tests.tiny_models import FAMILIES, task_type

VARIANTS = {
    "plain": {},
    "rslora": {"rank_stabilized": True},
    "dora": {"weight_decomposed": True},
    "pissa": {"initialisation": "pissa"},
    "attention": {"layers": "attention"},
    "embeddings": {"train_embeddings": True},
}


def lora(**chosen):
    return LoraMethod(**{"rank": 4, "alpha": 8, "dropout": 0.0} | chosen)


def attached(method, family="llama", precision="fp32"):
    torch.manual_seed(0)
    return method.attach(opened(family, precision), task_type(family))


def trained(method, family="llama", precision="fp32"):
    model = attached(method, family, precision)
    before = parameter_checksums(model)
    losses = train(method, model, batch(family))
    assert losses[-1] < losses[0] and changed_layers(model, before)["zero_layers"] == 0
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_it_begins_as_the_base_on_every_family(family):
    base = logits(opened(family), batch(family))
    for layers in ("all-linear", "attention"):
        model = attached(lora(layers=layers), family)
        assert torch.equal(logits(model, batch(family)), base)


@pytest.mark.parametrize("chosen", VARIANTS.values(), ids=VARIANTS)
def test_it_begins_as_the_base_in_every_variant(chosen):
    difference = logits(attached(lora(**chosen)), batch()) - logits(opened(), batch())
    assert difference.abs().max() <= (5e-6 if "initialisation" in chosen else 1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bert"])
def test_merged_into_the_weights_it_computes_the_same(family):
    model = trained(lora(), family)
    adapter = logits(model, batch(family))
    merged = logits(model.merge_and_unload(), batch(family))
    assert (merged - adapter).norm() / adapter.norm() <= 1e-5


def test_what_it_changes_is_of_its_rank_and_unmerging_restores_the_weights():
    model = trained(lora(rank_stabilized=True))
    layer = next(part for part in model.modules() if isinstance(part, LoraLayer))
    before, scaling = layer.get_base_layer().weight.clone(), layer.scaling["default"]
    model.merge_adapter()
    change = layer.get_base_layer().weight - before
    assert scaling == pytest.approx(8 / 2) and torch.linalg.matrix_rank(change, rtol=1e-4) <= 4 < min(change.shape)
    model.unmerge_adapter()
    assert (layer.get_base_layer().weight - before).abs().max() <= 1e-6


@pytest.mark.daily(4)
@pytest.mark.parametrize("chosen", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("precision", ["nf4", "fp32"])
def test_it_comes_back_from_disk_in_plain_peft(chosen, precision, tmp_path):
    method = lora(**chosen)
    model = trained(method, precision=precision)
    method.save(model, tmp_path)
    now = logits(model, batch())
    for again in (
        PeftModel.from_pretrained(opened("llama", precision), str(tmp_path)),
        method.load(opened("llama", precision), tmp_path),
    ):
        assert (logits(again, batch()) - now).abs().max() <= 1e-5
    with method.from_disk(model, tmp_path):
        assert (logits(model, batch()) - now).abs().max() <= 1e-5
    assert torch.equal(logits(model, batch()), now)


@pytest.mark.parametrize(
    "chosen", [{}, {"initialisation": "pissa"}, {"weight_decomposed": True}], ids=["plain", "pissa", "dora"]
)
def test_a_resumed_adapter_goes_on_where_it_stopped(chosen, tmp_path):
    method = lora(**chosen)
    model = trained(method)
    method.save(model, tmp_path)
    torch.manual_seed(7)  # whatever it began with, what was saved counts
    resumed = method.attach(opened())
    method.resume(resumed, tmp_path)
    assert (logits(resumed, batch()) - logits(model, batch())).abs().max() <= 1e-5
    went_on, first = (train(method, one, batch(), steps=2) for one in (resumed, model))
    assert went_on == pytest.approx(first, abs=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_loftq_begins_nearer_to_the_weights_before_rounding(family):
    exact = logits(opened(family), batch(family))
    errors = [
        (logits(attached(lora(rank=rank, initialisation=start), family, "nf4"), batch(family)) - exact).norm().item()
        for start, rank in (("default", 16), ("loftq", 16), ("loftq", 48))
    ]
    assert errors[0] > 1.05 * errors[1] > errors[2], errors


def test_loftq_leaves_the_base_alone_and_is_the_best_of_its_rank():
    base = logits(opened("llama", "nf4"), batch())
    model = attached(lora(rank=8, initialisation="loftq"), "llama", "nf4")
    with model.disable_adapter():
        assert torch.equal(logits(model, batch()), base)
    layer = next(part for part in model.modules() if isinstance(part, LoraLayer))
    exact = opened().get_submodule("model.layers.0.self_attn.q_proj").weight
    error = exact - weight_of(layer.get_base_layer())
    left = error - layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    assert left.norm().item() == pytest.approx(torch.linalg.svdvals(error)[8:].norm().item(), rel=1e-2)


def test_pissa_learns_the_largest_directions_and_switches_off_to_the_base():
    model = attached(lora(rank=8, initialisation="pissa"))
    layer = next(part for part in model.modules() if isinstance(part, LoraLayer))
    weight = layer.get_base_layer().weight
    principal = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    assert (weight - principal).norm().item() == pytest.approx(torch.linalg.svdvals(weight)[8:].norm().item(), rel=1e-2)
    train(lora(), model, batch())
    with model.disable_adapter():
        assert torch.equal(logits(model, batch()), logits(opened(), batch()))


def test_the_folder_of_pissa_is_a_lora_of_twice_the_rank(tmp_path):
    method = lora(initialisation="pissa", rank_stabilized=True)
    method.save(trained(method), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == 8 and config["lora_alpha"] == pytest.approx(8 * 2**0.5)


def test_layers_are_named_as_the_model_names_them():
    model = attached(lora(layers="named", layer_names=["c_fc"]), "gpt2")
    assert len([part for part in model.modules() if isinstance(part, LoraLayer)]) == 2
    with refused("method.unknown_layers", "q_porj", "c_attn, c_fc, c_proj"):
        attached(lora(layers="named", layer_names=["q_porj"]), "gpt2")


@pytest.mark.parametrize(
    "chosen, precision, wrong",
    [
        ({"initialisation": "loftq"}, "bf16", "initialisation"),
        ({"initialisation": "loftq", "weight_decomposed": True}, "nf4", "weight_decomposed"),
        ({"initialisation": "pissa", "dropout": 0.1}, "nf4", "dropout"),
        ({"layers": "named"}, "nf4", "layer_names"),
        ({"weight_decomposed": True}, "int8", "weight_decomposed"),
    ],
)
def test_what_cannot_work_together_is_refused_with_its_reason(chosen, precision, wrong):
    assert set(lora(**chosen).problems(precision, "llama", "chat")) == {f"method.{wrong}"}
    assert lora().problems(precision, "llama", "chat") == {}


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_only_loftq_needs_the_precision_it_was_trained_on(family, tmp_path):
    """For the model card: on a whole base, LoftQ adds a second time what rounding would have taken away."""
    apart = {}
    for name, method in {"loftq": lora(initialisation="loftq"), "plain": lora()}.items():
        model = attached(method, family, "nf4")  # as it begins
        method.save(model, tmp_path / name)
        now = logits(model, batch(family))
        assert (logits(method.load(opened(family, "nf4"), tmp_path / name), batch(family)) - now).abs().max() <= 1e-5
        whole, base = (opened(family, "fp32") for _ in range(2))
        apart[name] = (
            (logits(method.load(whole, tmp_path / name), batch(family)) - logits(base, batch(family))).abs().max()
        )
        assert method.needs_its_precision == (name == "loftq")
    assert apart["plain"] == 0 and apart["loftq"] > 1e-3
