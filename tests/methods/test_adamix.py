"""AdaMix's laws: what is left is the mean, it costs what one adapter costs, and two passes of one batch take other
ways.
"""

import copy

import pytest
import torch
from peft import PeftModel
from torch.utils.checkpoint import checkpoint

from qlora_app.methods.adamix import AdaMixMethod
from qlora_app.methods.lora import LoraMethod
from qlora_app.methods.parts.adapted import Bottleneck
from qlora_app.methods.parts.experts import (
    Experts,
    average,
    averaged_tensors,
    consistency,
)
from qlora_app.tasks.packing import pack, packed
from tests.methods.networks import FAMILIES, logits, some_batch, tiny_bert, tiny_llama, train
from tests.refusing import refused

KINDS = ("lora", "houlsby")


def method(kind="lora", **settings):
    return AdaMixMethod(kind=kind, **{"rank": 4, "alpha": 8, "dropout": 0.0, "share_up": False, **settings})


def learned(of, family="llama", steps=6):
    """A model whose experts have gone different ways."""
    model = of.attach(FAMILIES[family]())
    train(model, some_batch(), steps, more=lambda inputs, outputs: of.loss(model, inputs, outputs))
    return model


def experts(model):
    return [part for part in model.modules() if isinstance(part, Experts)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_begins_as_the_base_and_all_experts_are_alike(kind, family):
    before = logits(FAMILIES[family](), some_batch())
    model = method(kind).attach(FAMILIES[family]())
    assert torch.equal(logits(model, some_batch()), before)
    assert experts(model) and all(torch.equal(e.weight, e.weight[:1].expand_as(e.weight)) for e in experts(model))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_is_the_mean(kind, tmp_path):
    of = method(kind)
    model = learned(of)
    means = [e.weight.detach().mean(0) for e in experts(model)]
    assert all(e.weight.std(0).max() > 1e-4 for e in experts(model)), "the experts went different ways"
    average_answers = logits(model, some_batch())
    figures = of.finish(model, tmp_path)
    linear = [
        part
        for part in model.modules()
        if isinstance(part, torch.nn.Linear)
        and any(part.weight.shape == m.shape and torch.equal(part.weight, m) for m in means)
    ]
    assert len(linear) == len(means) == figures["averaged"] and not experts(model)
    assert (logits(model, some_batch()) - average_answers).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_inference_costs_what_one_adapter_costs(kind, tmp_path):
    of = method(kind)
    many = learned(of)
    figures = of.finish(many, tmp_path)
    one = method(kind, experts=1).attach(tiny_llama())
    adapter = [p.numel() for n, p in one.named_parameters() if p.requires_grad]
    assert figures["kept_parameters"] == sum(adapter) and figures["learned_parameters"] == 4 * sum(adapter)
    assert torch.equal(logits(many, some_batch()), logits(many, some_batch()))
    many.train()
    with torch.no_grad():
        assert torch.equal(many(**some_batch()).logits, many(**some_batch()).logits), (
            "nothing is left to chance any more"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_two_passes_of_one_batch_take_different_ways(kind):
    of = method(kind)
    model = learned(of).train()
    with torch.no_grad():
        first, way = model(**some_batch()).logits, [e.drawn for e in experts(model)]
        second = model(**some_batch()).logits
    assert way != [e.drawn for e in experts(model)] and not torch.equal(first, second)
    assert of.loss(model, some_batch(), model(**some_batch())) > 0
    model.eval()
    assert of.loss(model, some_batch(), model(**some_batch())) is None, "nothing is added when it is only measured"


def test_each_expert_is_taken_equally_often():
    some = Experts(torch.nn.Linear(2, 2), 4)
    torch.manual_seed(0)
    taken = [some(torch.zeros(1, 2)) is not None and some.drawn for _ in range(4000)]
    assert all(abs(taken.count(i) / 4000 - 0.25) < 0.03 for i in range(4))


def test_the_mean_of_maps_is_the_mean_of_their_answers():
    some = Experts(torch.nn.Linear(8, 8).double(), 4)
    torch.nn.init.normal_(some.weight)
    x = torch.randn(3, 8, dtype=torch.float64)
    each = torch.stack([torch.nn.functional.linear(x, w, b) for w, b in zip(some.weight, some.bias, strict=True)])
    assert (some.eval()(x) - each.mean(0)).abs().max() < 1e-14
    assert (some.averaged()(x) - each.mean(0)).abs().max() < 1e-14


def test_the_mean_is_never_an_old_one():
    """An evaluation in the middle of the training must not freeze what a later one finds."""
    of = method()
    model = learned(of, steps=2)
    before = logits(model, some_batch())
    train(model, some_batch(), 2)
    assert not torch.equal(logits(model, some_batch()), before)


def test_consistency_is_the_symmetric_divergence_of_what_carries_loss():
    one, two = torch.randn(2, 5, 7, requires_grad=True), torch.randn(2, 5, 7)
    labels = torch.tensor([[1, -100, 2, 3, -100], [-100, 4, 5, 6, 1]])
    p, q = one[labels != -100].softmax(-1), two[labels != -100].softmax(-1)
    expected = ((p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)).mean() / 2
    assert torch.allclose(consistency(one, two, labels), expected, atol=1e-6)
    assert torch.allclose(consistency(two, one, labels), expected, atol=1e-6) and expected > 0
    assert consistency(one, one, labels).abs() < 1e-7
    (gradient,) = torch.autograd.grad(consistency(one, two, labels), one)
    assert gradient[labels == -100].abs().max() == 0
    assert torch.allclose(gradient[labels != -100], (p - q) / (2 * len(p)), atol=1e-6), (
        "only the other side's prediction pulls"
    )


def test_packed_examples_agree_as_much_as_each_alone():
    """Of a packed row there are logits only where the next token is learned."""
    of = method(experts=1)
    model = of.attach(tiny_llama())
    assert pack(model.get_base_model())
    rows = [
        {"input_ids": list(range(5, 14)), "labels": [-100, -100, *range(7, 14)]},
        {"input_ids": [20, 21, 22], "labels": [-100, 21, 22]},
    ]
    losses = []
    for batch in ([packed(rows)], [{name: torch.tensor([values]) for name, values in row.items()} for row in rows]):
        total = 0.0
        for inputs in batch:
            first = model.eval()(**inputs)
            for p in (p for n, p in model.named_parameters() if "lora_B" in n):
                torch.nn.init.constant_(p, 0.01)  # another adapter for the second pass
            model.train()
            count = (
                (inputs["labels"][:, 1:] != -100).sum() if "shift_labels" not in inputs else len(inputs["shift_labels"])
            )
            total += of.loss(model, inputs, first).item() * int(count)
            for p in (p for n, p in model.named_parameters() if "lora_B" in n):
                torch.nn.init.zeros_(p)
        losses.append(total)
    assert losses[0] > 1e-4 and losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_one_expert_without_dropout_agrees_with_itself():
    of = method(experts=1)
    model = of.attach(tiny_llama()).train()
    train(model, some_batch(), 3)
    model.train()
    assert of.loss(model, some_batch(), model(**some_batch())).abs() < 1e-6


def test_checkpointing_replays_the_way_that_was_taken():
    some, x = Experts(torch.nn.Linear(4, 4), 4), torch.randn(2, 4)
    torch.nn.init.normal_(some.weight)
    for seed in range(4):
        torch.manual_seed(seed)
        (plain,) = torch.autograd.grad(some(x).square().sum(), some.weight)
        torch.manual_seed(seed)
        (replayed,) = torch.autograd.grad(checkpoint(some, x, use_reentrant=False).square().sum(), some.weight)
        assert torch.equal(plain, replayed) and plain.flatten(1).any(1).sum() == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_peft_opens_the_result_as_lora(family, tmp_path):
    of = method(share_up=True)
    model = learned(of, family)
    of.save(model, tmp_path)
    of.finish(model, tmp_path)
    expected = logits(model, some_batch())
    opened = PeftModel.from_pretrained(FAMILIES[family](), str(tmp_path))
    assert torch.equal(logits(opened, some_batch()), expected)
    plain = LoraMethod(rank=4, alpha=8, dropout=0).attach(FAMILIES[family]())
    assert [p.shape for p in opened.parameters()] == [p.shape for p in plain.parameters()]
    assert opened.merge_and_unload() is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_comes_back_from_disk_the_same(kind, family, tmp_path):
    of = method(kind)
    model = learned(of, family)
    of.save(model, tmp_path)
    during = logits(model, some_batch())
    assert (logits(of.load(FAMILIES[family](), tmp_path), some_batch()) - during).abs().max() < 1e-5, (
        "a checkpoint answers as the mean"
    )
    of.finish(model, tmp_path)
    after = logits(model, some_batch())
    loaded = of.load(FAMILIES[family](), tmp_path)
    assert torch.equal(logits(loaded, some_batch()), after) and not any(p.requires_grad for p in loaded.parameters())
    with loaded.disable_adapter():
        assert torch.equal(logits(loaded, some_batch()), logits(FAMILIES[family](), some_batch()))
    with of.from_disk(model, tmp_path):
        assert torch.equal(logits(model, some_batch()), after)
    assert torch.equal(logits(model, some_batch()), after)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_goes_on_with_all_experts(kind, tmp_path):
    of = method(kind)
    model = learned(of)
    of.save(model, tmp_path)
    again = of.attach(tiny_llama())
    of.resume(again, tmp_path)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(experts(again), experts(model), strict=True))
    states = [copy.deepcopy(model), again]
    losses = []
    for one in states:
        torch.manual_seed(7)
        losses.append(train(one, some_batch(), 3))
    assert losses[0] == losses[1]


def test_a_classifier_learns_with_bottlenecks_and_its_head_is_kept(tmp_path):
    batch, of = {"input_ids": some_batch()["input_ids"], "labels": torch.tensor([0, 2])}, method("houlsby")
    model = of.attach(tiny_bert(), "SEQ_CLS")
    assert sum(isinstance(part, Bottleneck) for part in model.modules()) == 2
    losses = train(model, batch, 8, more=lambda inputs, outputs: of.loss(model, inputs, outputs))
    assert losses[-1] < losses[0]
    of.finish(model, tmp_path)
    assert torch.equal(logits(of.load(tiny_bert(), tmp_path), batch), logits(model, batch))


def test_an_adapter_of_other_settings_is_refused(tmp_path):
    of = method("houlsby")
    of.finish(learned(of, steps=1), tmp_path)
    with refused("method.adapter_does_not_fit"):
        method("houlsby", rank=8).load(tiny_llama(), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share_up", [True, False])
def test_planning_counts_what_learns(kind, share_up):
    from qlora_app.base_models.shapes import shapes_of

    of = method(kind, share_up=share_up)
    shapes = shapes_of(tiny_llama().config.to_dict())
    counted = sum(p.numel() for p in of.attach(tiny_llama()).parameters() if p.requires_grad)
    assert counted == of.trainable(shapes.block, shapes.layers)


def test_only_an_expert_dimension_too_many_is_averaged():
    tensors = {
        "a.weight": torch.randn(4, 3, 2),
        "a.bias": torch.randn(4, 3),
        "b.weight": torch.randn(3, 2),
        "b.bias": torch.randn(3),
    }
    made = averaged_tensors(tensors)
    assert [t.shape for t in made.values()] == [(3, 2), (3,), (3, 2), (3,)]
    assert torch.equal(made["b.weight"], tensors["b.weight"]) and average(torch.nn.Linear(2, 2)) == 0
