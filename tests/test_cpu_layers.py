"""Layers and adapters on a CPU: unpacked once, one operation a layer, examples taken apart; the same numbers in every
case.
"""

import copy

import bitsandbytes as bnb
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.base_models import ModelChoice, cpu_layers, load_model
from qlora_app.base_models.cpu_layers import CpuLinear4bit, unpack_less
from qlora_app.methods import METHODS, LoraMethod
from qlora_app.methods.parts import cpu_lora
from qlora_app.tasks.apart import PutTogether, TakenApart
from qlora_app.tasks.packing import places
from tests.tiny_models import tiny_model

KINDS = [torch.float32, torch.bfloat16]


def pair(kind=torch.float32, quant="nf4", double=True, bias=True, inputs=128, outputs=64):
    """bitsandbytes' layer and ours of the same codes."""
    torch.manual_seed(0)
    plain = torch.nn.Linear(inputs, outputs, bias=bias)
    made = []
    for _ in range(2):
        layer = bnb.nn.Linear4bit(
            inputs, outputs, bias=bias, compute_dtype=kind, quant_type=quant, compress_statistics=double
        )
        layer.load_state_dict(plain.state_dict())
        layer.support_avx512bf16_for_cpu = False
        made.append(layer.to("cpu").requires_grad_(False))
    unpack_less(made[1])
    assert type(made[0]) is bnb.nn.Linear4bit and type(made[1]) is CpuLinear4bit and made[1].keeps
    return made


def both(layer, x, gradient):
    x = x.clone().requires_grad_()
    y = layer(x)
    return y.detach(), torch.autograd.grad(y, x, gradient)[0]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("quant, double", [("nf4", True), ("nf4", False), ("fp4", True)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_kept_weight_gives_the_same_bits_forwards_and_backwards(kind, quant, double, bias):
    theirs, ours = pair(kind, quant, double, bias)
    for shape in ((5, 128), (2, 7, 128), (1, 128)):
        x, gradient = torch.randn(*shape).to(kind), torch.randn(*shape[:-1], 64).to(kind)
        for _ in range(2):
            for a, b in zip(both(theirs, x, gradient), both(ours, x, gradient), strict=True):
                assert a.dtype == b.dtype and torch.equal(a, b)
        with torch.no_grad():
            assert torch.equal(theirs.eval()(x), ours.eval()(x))
    assert ours._unpacked.dtype == kind and torch.equal(theirs.weight, ours.weight)
    a, b = theirs.state_dict(), ours.state_dict()
    assert a.keys() == b.keys() and all(
        torch.equal(a[name], b[name].to(a[name].dtype)) for name in a
    )  # theirs narrows its bias


def other_weight():
    numbers = torch.randn(64, 128, generator=torch.Generator().manual_seed(1))
    return bnb.nn.Params4bit(numbers, requires_grad=False, quant_type="nf4").to("cpu")


def test_other_codes_are_seen_at_once():
    """A weight that is replaced, as by a merge, or filled, as from a file, must not meet the old values."""
    theirs, ours = pair()
    x = torch.randn(3, 128)
    codes = ours.weight.data.flip(0).clone()
    seen = [ours(x)]
    for change in (
        lambda layer: layer.weight.copy_(codes),
        lambda layer: setattr(layer.weight, "data", codes.roll(7, 0)),
        lambda layer: setattr(layer, "weight", other_weight()),
    ):
        with torch.no_grad():
            change(theirs)
            change(ours)
        assert torch.equal(theirs(x), ours(x)) and not any(torch.equal(ours(x), before) for before in seen)
        seen.append(ours(x))
    twin = copy.deepcopy(ours)
    assert torch.equal(twin(x), ours(x)) and twin._codes.data_ptr() != ours.weight.data_ptr()


def test_a_model_of_many_weights_keeps_none_unpacked(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_layers, "MOST_UNPACKED", 1000)
    model = load_model(ModelChoice(source="folder", id=str(tiny_model("llama", tmp_path))))
    layers = [part for part in model.modules() if isinstance(part, CpuLinear4bit)]
    batch = {"input_ids": torch.arange(5, 20)[None]}
    model(**batch, labels=batch["input_ids"])
    adapted = LoraMethod(dropout=0.0).attach(model)
    adapted(**batch, labels=batch["input_ids"]).loss.backward()
    assert layers and not any(layer.keeps or layer._unpacked is not None for layer in layers)


# ---- LoRA in one operation


def lora(folder, choice=None, **method):
    base = load_model(choice or ModelChoice(source="folder", id=str(folder)))
    torch.manual_seed(1)
    model = LoraMethod(**{"dropout": 0.0, "rank": 4, "alpha": 8} | method).attach(base)
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_B" in name:
                part.normal_(0, 0.1)
    return model


def as_peft_does(model):
    for part in model.modules():
        if type(part) in cpu_lora.TWINS.values():
            part.__class__ = next(theirs for theirs, ours in cpu_lora.TWINS.items() if ours is type(part))
    return model


def learned_from(model, batch, seed=2):
    torch.manual_seed(seed)
    model.train().zero_grad()
    loss = model(**batch, labels=batch["input_ids"], use_cache=False).loss
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def apart(some, others):
    """The largest difference, as a share of the size of its tensor."""
    assert some.keys() == others.keys()
    return max(float((some[name] - others[name]).norm() / others[name].norm().clamp_min(1e-12)) for name in some)


BATCH = {"input_ids": torch.arange(5, 65).view(3, 20)}


METHODS_OF_LORA = [
    {},
    {"dropout": 0.3},
    {"rank": 3, "alpha": 7, "rank_stabilized": True},
    {"initialisation": "pissa"},
    {"layers": "attention"},
]


@pytest.mark.daily(10)
@pytest.mark.parametrize("choice", [{}, {"precision": "fp32"}, {"double_quantization": False}], ids=str)
@pytest.mark.parametrize("method", METHODS_OF_LORA, ids=str)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_it_learns_what_pefts_layers_learn(family, method, choice, tmp_path):
    model = lora(None, ModelChoice(source="folder", id=str(tiny_model(family, tmp_path)), **choice), **method)
    assert any(type(part) in cpu_lora.TWINS.values() for part in model.modules())
    loss, gradients = learned_from(model, BATCH)
    theirs, wanted = learned_from(as_peft_does(model), BATCH)
    assert loss == pytest.approx(theirs, rel=1e-6) and apart(gradients, wanted) < 1e-5


@pytest.mark.daily(6)
@pytest.mark.parametrize("choice", [{"compute_type": "bf16"}, {"precision": "bf16"}], ids=str)
@pytest.mark.parametrize("method", [method for method in METHODS_OF_LORA if "initialisation" not in method], ids=str)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_in_bf16_its_gradients_are_as_near_to_those_of_fp32_as_pefts(family, method, choice, tmp_path):
    """PEFT widens the adapter's inputs to fp32, here its products are in bf16 as on a GPU; what rounding costs is the
    base's.
    """
    folder = str(tiny_model(family, tmp_path))
    exact = "nf4" if "precision" not in choice else "fp32"
    loss, wanted = learned_from(lora(None, ModelChoice(source="folder", id=folder, precision=exact), **method), BATCH)
    model = lora(None, ModelChoice(source="folder", id=folder, **choice), **method)
    ours, gradients = learned_from(model, BATCH)
    _, theirs = learned_from(as_peft_does(model), BATCH)
    assert ours == pytest.approx(loss, abs=5e-3) and apart(gradients, wanted) < 1.3 * apart(theirs, wanted) + 0.01 < 0.2
    assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}


def test_gradient_checkpointing_changes_no_gradient(tmp_path):
    folder = tiny_model("llama", tmp_path)
    plain = learned_from(lora(folder, dropout=0.2), BATCH)
    base = load_model(ModelChoice(source="folder", id=str(folder)))
    torch.manual_seed(1)
    model = LoraMethod(dropout=0.2, rank=4, alpha=8).attach(base, gradient_checkpointing=True)
    with torch.no_grad():
        for name, part in model.named_parameters():
            if "lora_B" in name:
                part.normal_(0, 0.1)
    checkpointed = learned_from(model, BATCH)
    assert checkpointed[0] == plain[0] and apart(checkpointed[1], plain[1]) == 0


def test_answers_are_pefts_bit_for_bit(tmp_path):
    model = lora(tiny_model("llama", tmp_path)).eval()
    with torch.no_grad():
        ours = model(**BATCH).logits
        with model.disable_adapter():
            base = model(**BATCH).logits
        mixed = model(**BATCH, adapter_names=["default", "__base__", "default"]).logits
        theirs = as_peft_does(model)(**BATCH).logits
    assert torch.equal(ours, theirs) and not torch.allclose(base, ours) and torch.equal(mixed[1], base[1])


@pytest.mark.daily(6)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.title())
def test_every_method_learns_on_such_layers_and_leaves_their_codes_alone(method, tmp_path):
    made, folder = method(), tiny_model("llama", tmp_path)
    precision = "nf4" if "nf4" in made.precisions else "fp32"
    base = load_model(
        ModelChoice(source="folder", id=str(folder), precision=precision), quantize=not made.quantizes_itself
    )
    layers = [part for part in base.modules() if isinstance(part, CpuLinear4bit)]
    codes = [layer.weight.detach().clone() for layer in layers]
    assert bool(layers) == (precision == "nf4")
    model = made.attach(base)
    made.before_first_step(
        model, BATCH | {"labels": BATCH["input_ids"], "attention_mask": torch.ones_like(BATCH["input_ids"])}
    )
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for step in range(1, 6):
        losses.append(learned_from(model, BATCH)[0])
        optimizer.step()
        made.after_step(model, step, 5)
        model.eval()(**BATCH)
    assert losses[-1] < losses[0] and all(
        torch.equal(layer.weight, was) for layer, was in zip(layers, codes, strict=True)
    )


# ---- norms in one operation


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_norm_gives_the_same_bits_and_its_gradient_to_rounding(kind, tmp_path):
    model = load_model(ModelChoice(source="folder", id=str(tiny_model("qwen3", tmp_path))))
    norms = [part for part in model.modules() if type(part).__name__ == "OneStepQwen3RMSNorm"]
    assert len(norms) == 4 * 2 + 1 and len(
        [part for part in model.modules() if "RMSNorm" in type(part).__name__]
    ) == len(norms)
    ours = norms[-1].to(kind).requires_grad_(False)  # as wide as the model; others are as wide as a head
    torch.nn.init.normal_(ours.weight, 1, 0.2)
    x, gradient = (3 * torch.randn(2, 5, 64)).to(kind), torch.randn(2, 5, 64).to(kind)
    made = both(ours, x, gradient)
    ours.__class__ = type(ours).__mro__[2]
    assert type(ours).__name__ == "Qwen3RMSNorm"
    theirs = both(ours, x, gradient)
    assert (
        torch.equal(made[0], theirs[0])
        and (made[1] - theirs[1]).norm() <= (1e-6 if kind == torch.float32 else 1e-2) * theirs[1].norm()
    )


@pytest.mark.parametrize("family", ["gpt2", "t5", "bert"])
def test_other_norms_stay_as_they_are(family, tmp_path):
    auto_class = {"t5": "AutoModelForSeq2SeqLM", "bert": "AutoModelForMaskedLM"}.get(family, "AutoModelForCausalLM")
    model = load_model(ModelChoice(source="folder", id=str(tiny_model(family, tmp_path))), auto_class)
    assert not any(type(part).__name__.startswith("OneStep") for part in model.modules())


# ---- examples taken apart


@settings(max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(0, 2**31))
def test_taken_apart_and_put_together_as_by_indices(lengths, seed):
    """Outputs equal bit for bit, gradients to rounding: what autograd makes of the same indices is the measure."""
    groups, back = places(lengths)
    torch.manual_seed(seed)
    row = torch.randn(sum(lengths), 2, 3, dtype=torch.double)

    def attended(parts):
        """Each token sees the earlier ones of its example: the mean of them, as in attention with equal weights."""
        return [part.cumsum(1) / torch.arange(1, part.shape[1] + 1).view(1, -1, 1, 1) * part for part in parts]

    def ours(x):
        return PutTogether.apply(groups, back, *attended(TakenApart.apply(x, groups, back)))

    def plain(x):
        parts = attended([x[place] for place, _ in groups])
        return torch.cat([part.flatten(0, 1)[real] for part, (_, real) in zip(parts, groups, strict=True)])[back]

    x, y = row.clone().requires_grad_(), row.clone().requires_grad_()
    gradient = torch.randn_like(row)
    assert torch.equal(ours(x), plain(y))
    a, b = torch.autograd.grad(ours(x), x, gradient)[0], torch.autograd.grad(plain(y), y, gradient)[0]
    assert torch.allclose(a, b, atol=1e-12)
