"""MEFT's laws: inputs come back from outputs, gradients are those of the same network, and what is kept does not grow
with depth.
"""

import copy

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import T5Config, T5ForConditionalGeneration

from qlora_app.methods.lora import LoraMethod
from qlora_app.methods.meft import HOLDS, USELESS, MeftMethod
from qlora_app.methods.parts.adapted import Bottleneck
from qlora_app.methods.parts.reversible import ARITHMETICS, Exact, reconstruction_error
from tests.methods.networks import FAMILIES, logits, some_batch, tiny_bert, tiny_gpt2, tiny_llama, train
from tests.refusing import check_problem, refused


def method(**settings):
    return MeftMethod(**{"rank": 4, "dropout": 0.0, "precision": "fp64", "divisor": 10, **settings})


def moved(of, model, double=False):
    """The model with adapters that are no longer zero."""
    model = of.attach(model)
    if double:
        model = model.double()
    torch.manual_seed(3)
    for adapter in model.adapters():
        for p in adapter.parameters():
            torch.nn.init.normal_(p, std=0.02)
    return model


def given(model, batch):
    """What the stack is given in one pass."""
    passes = []
    model.stack.listener = lambda hidden, calls: passes.append((hidden, calls))
    with torch.no_grad():
        model(**batch)
    model.stack.listener = None
    return passes[0]


def gradients(model, batch, plain):
    model.stack.is_plain = plain
    model.zero_grad()
    torch.manual_seed(5)
    model(**batch).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def furthest(some, others):
    return max(float((some[n] - others[n]).norm() / others[n].norm()) for n in others)


# ---- inputs from outputs


@pytest.mark.parametrize("family", FAMILIES)
def test_inputs_come_back_from_outputs(family):
    deep = moved(method(divisor=10), FAMILIES[family](4), double=True).eval()
    assert reconstruction_error(deep.stack, *given(deep, some_batch())) <= 1e-9
    wide = moved(method(divisor=1, precision="fp32"), FAMILIES[family](8)).eval()
    assert reconstruction_error(wide.stack, *given(wide, some_batch())) <= 1e-3


@pytest.mark.parametrize("divisor", [1, 2, 10, 200])
@pytest.mark.parametrize("depth", [4, 16])
def test_whole_numbers_come_back_without_losing_a_bit(divisor, depth):
    model = moved(method(divisor=divisor, precision="exact"), tiny_llama(depth)).eval()
    assert reconstruction_error(model.stack, *given(model, some_batch())) == 0.0


def test_in_32_bits_a_large_divisor_destroys_it_with_depth():
    errors = []
    for depth in (2, 4, 8):
        model = moved(method(divisor=10, precision="fp32"), tiny_llama(depth)).eval()
        errors.append(reconstruction_error(model.stack, *given(model, some_batch())))
    assert errors[0] < 1e-4 and errors[1] > 10 * errors[0] and errors[2] > 1


def test_dividing_whole_numbers_is_undone_with_negative_ones_too():
    exact, x, f = Exact(10), 5 * torch.randn(4, 32).double(), torch.randn(4, 32).double()
    y, kept = exact.push(exact.enter(x), f)
    assert (
        torch.equal(exact.pull(y, f, kept), exact.enter(x))
        and kept.dtype == torch.uint8
        and kept.numel() == x.numel() // 2
    )
    assert (exact.leave(y, torch.float64) - (x / 10 + f)).abs().max() < 1e-8


# ---- gradients


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_the_same_network(family, dropout):
    """GPT-2 has dropout inside its frozen blocks too; all of it must fall alike when a block is run again."""
    model = moved(method(dropout=dropout), FAMILIES[family](4, dropout=dropout), double=True).train()
    rebuilt, plain = gradients(model, some_batch(), False), gradients(model, some_batch(), True)
    assert furthest(rebuilt, plain) < 1e-6 and all(g.any() for g in plain.values())
    if dropout:
        torch.manual_seed(6)
        assert furthest(gradients(model, some_batch(1), True), plain) > 1e-2, "the comparison can tell networks apart"


def test_whole_numbers_give_the_same_gradients_at_a_depth_where_64_bits_do_not():
    model = moved(method(), tiny_llama(16), double=True).train()
    plain = gradients(model, some_batch(), True)
    model.stack.arithmetic = ARITHMETICS["exact"](10)
    assert furthest(gradients(model, some_batch(), False), plain) < 1e-5
    model.stack.arithmetic = ARITHMETICS["fp32"](10)
    assert furthest(gradients(model, some_batch(), False), plain) > 0.1


def test_the_random_numbers_of_the_run_go_on_as_if_nothing_was_run_twice():
    model = moved(method(dropout=0.2), tiny_gpt2(2, dropout=0.1)).train()
    after = []
    for plain in (False, True):
        gradients(model, some_batch(), plain)
        after.append(torch.rand(3))
    assert torch.equal(*after)


def test_what_comes_before_the_blocks_gets_its_gradient_too():
    model = moved(method(), tiny_llama(3), double=True).train()
    model.base_model.model.embed_tokens.weight.requires_grad_(True)
    rebuilt, plain = gradients(model, some_batch(), False), gradients(model, some_batch(), True)
    name = "base_model.model.embed_tokens.weight"
    assert (rebuilt[name] - plain[name]).norm() / plain[name].norm() < 1e-6


# ---- memory


def kept(model, decoder):
    """Bytes still held for the backward pass, for each number of the hidden state."""
    batch = some_batch(8, 96)["input_ids"]
    model.train()
    decoder(input_ids=batch)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as memory:
        hidden = decoder(input_ids=batch).last_hidden_state
    events = memory.profiler.kineto_results.events()  # raw: what torch makes of them takes twenty times as long
    return sum(event.nbytes() for event in events if event.name() == "[memory]") / hidden.numel()


@pytest.mark.slow
def test_what_is_kept_does_not_grow_with_depth():
    found = {}
    for name in ("lora", "checkpointed", "fp32", "fp64", "exact"):
        for depth in (4, 8, 16):
            if name in ARITHMETICS:
                model = method(precision=name).attach(tiny_llama(depth))
                found[name, depth] = kept(model, model.base_model.model)
            else:
                model = LoraMethod(rank=4, alpha=8).attach(tiny_llama(depth), "CAUSAL_LM", name == "checkpointed")
                found[name, depth] = kept(model, model.base_model.model.model)
    for name in ("fp32", "fp64"):
        assert found[name, 16] < 1.05 * found[name, 4]
    assert (
        3.5 < found["lora", 16] / found["lora", 4] < 4.5 and found["checkpointed", 16] > 2.5 * found["checkpointed", 4]
    )
    assert found["exact", 16] - found["exact", 4] == pytest.approx(12 * 0.5, rel=0.05), (
        "four bits a number and layer at a divisor of 10"
    )
    assert (
        found["fp32", 16] < found["checkpointed", 16] / 5 < found["lora", 16] / 50
        and found["exact", 16] < found["checkpointed", 16] / 2
    )


# ---- the start, and the precision that is chosen


def test_the_larger_the_divisor_the_nearer_to_the_base():
    base, distances = logits(tiny_llama(4), some_batch()), []
    for divisor in (2, 10, 100):
        model = method(divisor=divisor).attach(tiny_llama(4))
        distances.append(float((logits(model, some_batch()) - base).norm() / base.norm()))
        with model.disable_adapter():
            assert torch.equal(logits(model, some_batch()), base)
    assert distances[0] > 2 * distances[1] > 8 * distances[2]


def test_the_cheapest_precision_that_holds_is_taken_and_its_price_said():
    taken = []
    for depth, divisor in ((2, 1), (16, 2), (16, 10), (3, 0), (24, 0)):
        of = method(divisor=divisor, precision="auto")
        model = of.attach(tiny_llama(depth)).train()
        words = " ".join(of.before_first_step(model, some_batch()))
        errors = model.figures["reconstruction_error"]
        *failed, last = errors.values()
        assert last <= HOLDS < min([*failed, 1.0]) and model.training and model.stack.listener is None
        assert (
            "bytes for each number of the hidden state" in words
            and f"the base has {model.figures['base_loss']:.3f}" in words
        )
        precision, chosen = model.figures["precision"], model.figures["divisor"]
        refused = {tried.partition(" / ")[0] for tried in errors} - {precision}
        assert (f"what the {depth} blocks were given would come back" in words) == bool(refused)
        assert (f"(divisor {chosen}), which holds" in words) == (precision != "exact")
        model.eval()
        with torch.no_grad():
            assert model(**some_batch()).loss.item() == model.figures["start_loss"], (
                "the start is that of what was chosen"
            )
        taken.append((precision, chosen))
    assert taken == [("fp32", 1), ("fp64", 2), ("exact", 10), ("fp64", 64), ("exact", 16)]


def test_a_precision_that_cannot_hold_is_said_before_the_first_step():
    of = method(divisor=10, precision="fp32")
    model = of.attach(tiny_llama(16))
    words = " ".join(of.before_first_step(model, some_batch()))
    assert model.figures["reconstruction_error"]["fp32 / 10"] > USELESS
    assert (
        "comes back 100 % wrong" in words
        and "(fp32, 10): the gradients are useless. Set the precision to automatic." in words
    )


# ---- training, answering, the folder


@pytest.mark.parametrize("family", FAMILIES)
def test_it_learns_answers_and_comes_back_from_disk_the_same(family, tmp_path):
    of = method(precision="auto")
    model = of.attach(FAMILIES[family](3))
    of.before_first_step(model, some_batch())
    before = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    losses = train(model, some_batch(), 8)
    assert losses[-1] < losses[0] and all(torch.equal(p, before[n]) for n, p in model.named_parameters() if n in before)
    after = logits(model, some_batch())
    of.save(model, tmp_path)
    loaded = of.load(FAMILIES[family](3), tmp_path)
    assert torch.equal(logits(loaded, some_batch()), after) and not any(p.requires_grad for p in loaded.parameters())
    with loaded.disable_adapter():
        assert torch.equal(logits(loaded, some_batch()), logits(FAMILIES[family](3), some_batch()))
    with of.from_disk(model, tmp_path):
        assert torch.equal(logits(model, some_batch()), after)
    assert of.finish(model, tmp_path)["precision"] == loaded.figures["precision"]


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_the_same_with_and_without_a_cache(family):
    model = moved(method(), FAMILIES[family](3)).eval()
    ids = some_batch(1, 6)["input_ids"]
    how = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": 127}
    assert torch.equal(
        model.generate(input_ids=ids, use_cache=True, **how), model.generate(input_ids=ids, use_cache=False, **how)
    )


def test_measuring_sees_the_network_that_is_trained():
    model = moved(method(), tiny_llama(3))
    answers = logits(model, some_batch())
    model.train()
    for plain in (False, True):
        model.stack.is_plain = plain
        assert torch.equal(model(**some_batch()).logits.detach(), answers)


def test_a_checkpoint_goes_on_where_it_was_with_the_precision_it_had(tmp_path):
    of = method(precision="auto")
    model = of.attach(tiny_llama(3))
    of.before_first_step(model, some_batch())
    train(model, some_batch(), 3)
    of.save(model, tmp_path)
    again = of.attach(tiny_llama(3))
    of.resume(again, tmp_path)
    assert again.figures["precision"] == model.figures["precision"] and type(again.stack.arithmetic) is type(
        model.stack.arithmetic
    )
    assert train(copy.deepcopy(model), some_batch(), 3) == train(again, some_batch(), 3)


def test_bert_the_papers_own_family_with_its_head(tmp_path):
    batch = {"input_ids": some_batch()["input_ids"], "labels": torch.tensor([0, 2])}
    of = method(precision="auto")
    model = of.attach(tiny_bert(4), "SEQ_CLS")
    assert sum(isinstance(part, Bottleneck) for part in model.modules()) == 7
    of.before_first_step(model, batch)
    losses = train(model, batch, 6, rate=3e-3)
    assert losses[-1] < losses[0]
    of.save(model, tmp_path)
    assert torch.equal(logits(of.load(tiny_bert(4), tmp_path), batch), logits(model, batch))
    exact = moved(method(), tiny_bert(4), double=True)
    assert furthest(gradients(exact, batch, False), gradients(exact, batch, True)) < 1e-6


def test_two_stacks_of_blocks_are_refused_before_and_at_the_start():
    check_problem(method().problems("nf4", "t5", "")["method.name"], "method.family", "t5")
    assert not method().problems("nf4", "llama", "")
    model = T5ForConditionalGeneration(T5Config(vocab_size=128, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4))
    with refused("method.meft_stacks"):
        method().attach(model)


def test_planning_counts_what_learns():
    from qlora_app.base_models.shapes import shapes_of

    shapes = shapes_of(tiny_llama().config.to_dict())
    assert sum(p.numel() for p in method().attach(tiny_llama()).parameters() if p.requires_grad) == method().trainable(
        shapes.block, shapes.layers
    )
