"""QA-LoRA's law: the adapter goes into the zero points exactly, and nothing else of the quantized model changes."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from qlora_app.methods.parts.bits import pack, unpack
from qlora_app.methods.parts.groups import (
    GroupedLinear,
    Pooled,
    lost_in_merging,
    open_merged,
    pooled_layers,
    quantize,
)
from qlora_app.methods.qalora import INT_FOLDER, QaLoraMethod
from tests.methods.networks import FAMILIES, logits, some_batch, tiny_bert, tiny_llama, train
from tests.methods.tiny import batch, opened
from tests.refusing import refused

METHOD = QaLoraMethod(rank=4, alpha=8, dropout=0.0, group=32)


def trained(family="llama", method=METHOD, double=False):
    """A model after a few real steps."""
    model = method.attach(FAMILIES[family]())
    if double:
        model = model.double()
    train(model, some_batch())
    return model


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_codes_come_back_from_their_bytes(bits):
    codes = torch.randint(0, 2**bits, (5, 48), dtype=torch.uint8)
    packed = pack(codes, bits)
    assert packed.dtype == torch.uint8 and packed.shape == (5, 48 * bits // 8)
    assert torch.equal(unpack(packed, bits).to(torch.uint8), codes)


def test_more_bits_round_less_and_every_code_is_used():
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    errors = []
    for bits in (2, 3, 4):
        codes, scales, zeros = quantize(weight, bits, 32)
        assert codes.unique().tolist() == list(range(2**bits)) and zeros.dtype == torch.float32
        back = (codes.view(64, 8, 32) - zeros[..., None]) * scales.float()[..., None]
        errors.append(float((back.view_as(weight) - weight).norm() / weight.norm()))
        plain_reach = weight.view(64, 8, 32).amax(-1) - weight.view(64, 8, 32).amin(-1)
        plain = (plain_reach / (2**bits - 1) / 12**0.5).square().mean().sqrt() / weight.std()
        assert errors[-1] < plain, "the range that is taken rounds no worse than the whole range would"
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.09


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_merged_answers_as_the_adapter_did_and_the_codes_stay(family, bits, tmp_path):
    model = trained(family, METHOD.model_copy(update={"bits": bits}))
    layers = [layer.get_base_layer() for layer in pooled_layers(model).values()]
    before = [(layer.qweight.clone(), layer.scales.clone()) for layer in layers]
    beside = logits(model, some_batch())
    with model.disable_adapter():
        base = logits(model, some_batch())
    METHOD.model_copy(update={"bits": bits}).finish(model, tmp_path)
    merged = logits(model, some_batch())
    assert (merged - beside).norm() / beside.norm() < 2e-6
    assert (merged - base).norm() / base.norm() > 1e-2, "something was learned"
    for layer, (codes, scales) in zip(layers, before, strict=True):
        assert torch.equal(layer.qweight, codes) and torch.equal(layer.scales, scales)
    with model.disable_adapter():
        assert torch.equal(logits(model, some_batch()), base), "with the adapter off, the base answers as it did"
    assert torch.equal(logits(model, some_batch()), merged)


def test_merging_is_exact_to_fp64(tmp_path):
    model = trained(double=True)
    beside = logits(model, some_batch())
    METHOD.finish(model, tmp_path)
    assert (logits(model, some_batch()) - beside).abs().max() <= 1e-12


def test_another_scaling_or_rounded_zero_points_would_not_be_exact(tmp_path):
    model = trained()
    beside = logits(model, some_batch())
    METHOD.finish(model, tmp_path)
    exact = [layer.merged_zeros for layer in pooled_layers(model).values()]
    for wrong in (
        lambda layer, zeros: zeros.round(),  # integer zero points
        lambda layer, zeros: layer.get_base_layer().zeros + (zeros - layer.get_base_layer().zeros) / 32,
    ):  # a mean, not a sum
        for layer, zeros in zip(pooled_layers(model).values(), exact, strict=True):
            layer.merged_zeros = wrong(layer, zeros)
        assert (logits(model, some_batch()) - beside).norm() / beside.norm() > 1e-3


def test_the_update_is_the_same_for_all_inputs_of_a_group():
    """Pooled LoRA is LoRA whose first matrix repeats itself inside a group, which is why zero points can take it."""
    x, pooled = torch.randn(3, 64), Pooled(64, 4, 16)
    assert torch.allclose(pooled(x), x @ pooled.weight.repeat_interleave(16, 1).T, atol=1e-5)


def test_the_gradient_is_that_of_the_unpacked_weight():
    layer = GroupedLinear.of(torch.nn.Linear(64, 32), 4, 16).double()
    x = torch.randn(5, 64, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_merging_into_nf4_loses_what_this_keeps(tmp_path):
    model = trained()
    METHOD.before_first_step(model, some_batch())
    figures = METHOD.finish(model, tmp_path)
    assert figures["merge_error"] < 1e-5 and figures["nf4_merge_error"] > 1e3 * figures["merge_error"]
    assert figures.items() > lost_in_merging(model, model.probe).items(), "measuring changes nothing"
    assert (
        f"{figures['merge_error']:.1e}" in figures["in_words"]
        and f"{figures['nf4_merge_error']:.2g}." in figures["in_words"]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_is_a_quantized_model_that_answers_without_its_base(family, tmp_path):
    model = trained(family)
    METHOD.save(model, tmp_path)
    METHOD.finish(model, tmp_path)
    merged = logits(model, some_batch())
    assert torch.equal(logits(open_merged(tmp_path / INT_FOLDER), some_batch()), merged)
    tensors = load_file(tmp_path / INT_FOLDER / "model.safetensors")
    assert not any("lora" in name for name in tensors)
    layers = {name: t for name, t in tensors.items() if name.endswith((".qweight", ".scales", ".zeros"))}
    weights = 2 * sum(t.numel() for name, t in layers.items() if name.endswith(".qweight"))
    assert 8 * sum(t.numel() * t.element_size() for t in layers.values()) / weights == 4 + (16 + 32) / 32
    assert json.loads((tmp_path / INT_FOLDER / "config.json").read_text())["quantization_config"]["bits"] == 4


@pytest.mark.parametrize("family", FAMILIES)
def test_it_comes_back_from_disk_the_same(family, tmp_path):
    model = trained(family)
    METHOD.save(model, tmp_path)
    beside = logits(model, some_batch())
    assert torch.equal(logits(METHOD.load(FAMILIES[family](), tmp_path), some_batch()), beside), "a checkpoint"
    METHOD.finish(model, tmp_path)
    merged = logits(model, some_batch())
    loaded = METHOD.load(FAMILIES[family](), tmp_path)
    assert torch.equal(logits(loaded, some_batch()), merged) and not any(p.requires_grad for p in loaded.parameters())
    with loaded.disable_adapter(), model.disable_adapter():
        assert torch.equal(logits(loaded, some_batch()), logits(model, some_batch()))
    with METHOD.from_disk(model, tmp_path):
        assert torch.equal(logits(model, some_batch()), merged)


def test_a_checkpoint_goes_on_where_it_was(tmp_path):
    model = trained()
    METHOD.save(model, tmp_path)
    again = METHOD.attach(tiny_llama())
    METHOD.resume(again, tmp_path)
    assert torch.equal(logits(again, some_batch()), logits(model, some_batch()))
    assert [n for n, p in again.named_parameters() if p.requires_grad] == [
        n for n, p in model.named_parameters() if p.requires_grad
    ]
    assert train(again, some_batch(), 2)[-1] < train(METHOD.attach(tiny_llama()), some_batch(), 1)[0]


def test_another_base_is_noticed(tmp_path):
    model = trained()
    METHOD.save(model, tmp_path)
    METHOD.finish(model, tmp_path)
    other = tiny_llama()
    torch.nn.init.normal_(other.model.layers[0].mlp.up_proj.weight)
    with refused("method.base_changed"):
        METHOD.load(other, tmp_path)


def test_a_group_that_does_not_fit_is_refused_with_those_that_do():
    with refused("method.group_does_not_fit", "64, 128", "8, 16, 32, 64"):
        QaLoraMethod(group=48).attach(tiny_llama())


def test_a_classifier_learns_and_its_head_is_kept(tmp_path):
    labelled = {"input_ids": some_batch()["input_ids"], "labels": torch.tensor([0, 2])}
    model = METHOD.attach(tiny_bert(), "SEQ_CLS")
    losses = train(model, labelled, 6)
    assert losses[-1] < losses[0]
    METHOD.save(model, tmp_path)
    METHOD.finish(model, tmp_path)
    assert torch.equal(logits(METHOD.load(tiny_bert(), tmp_path), labelled), logits(model, labelled))
    assert torch.equal(logits(open_merged(tmp_path / INT_FOLDER), labelled), logits(model, labelled))


def test_t5_whose_layers_ask_for_the_type_of_a_weight(tmp_path):
    """Its feed-forward part brings its numbers to that type: taken from the codes, they would be bytes, and nothing
    would be learned.
    """
    model, inputs = METHOD.attach(opened("t5"), "SEQ_2_SEQ_LM"), batch("t5")
    model.train()
    model(**inputs).loss.backward()
    assert all(p.grad.any() for n, p in model.named_parameters() if "DenseReluDense" in n and "lora_B" in n)
    METHOD.finish(model, tmp_path)
    with torch.no_grad():
        assert torch.equal(open_merged(tmp_path / INT_FOLDER)(**inputs).logits, model.eval()(**inputs).logits)


def test_half_as_much_learns_as_with_lora_and_planning_knows_it(tmp_path):
    from qlora_app.base_models.shapes import shapes_of

    model = METHOD.attach(tiny_llama())
    METHOD.save(model, tmp_path)
    counted = sum(p.numel() for p in model.parameters() if p.requires_grad)
    shapes = shapes_of(tiny_llama().config.to_dict())
    assert counted == METHOD.trainable(shapes.block, shapes.layers)
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as saved:
        assert counted == sum(saved.get_tensor(name).numel() for name in saved.keys())  # noqa: SIM118  no dict
