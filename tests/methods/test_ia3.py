"""The laws of (IA)3 and of T-Few's losses."""

import math

import pytest
import torch
from peft import PeftModel
from peft.tuners.ia3 import IA3Layer

from qlora_app.base_models.shapes import LinearShape
from qlora_app.methods import Ia3Method, changed_layers, parameter_checksums
from qlora_app.methods.answer_options import (
    Scores,
    length_normalized,
    option_scores,
    unlikelihood,
)
from tests.methods.tiny import batch, logits, opened, train
from tests.refusing import refused
from tests.tiny_models import FAMILIES, task_type

IA3 = Ia3Method()
SCALED = {
    "llama": "k_proj v_proj down_proj",
    "gpt2": "attn.c_attn mlp.c_proj",
    "phi3": "qkv_proj down_proj",
    "deberta-v2": "key_proj value_proj 0.output.dense 1.output.dense",
    "bert": "self.key self.value 0.output.dense 1.output.dense",
    "roberta": "self.key self.value 0.output.dense 1.output.dense",
    "t5": "SelfAttention.k SelfAttention.v EncDecAttention.k EncDecAttention.v DenseReluDense.wo",
}


def attached(family="llama", precision="fp32", method=IA3):
    return method.attach(opened(family, precision), task_type(family))


def scaled(model):
    return {name: part for name, part in model.get_base_model().named_modules() if isinstance(part, IA3Layer)}


@pytest.mark.parametrize("family", FAMILIES)
def test_it_begins_as_the_base_with_the_layers_of_the_paper(family):
    model = attached(family)
    assert torch.equal(logits(model, batch(family)), logits(opened(family), batch(family)))
    ends = SCALED.get(family, SCALED["llama"]).split()
    assert {next((end for end in ends if name.endswith(end)), name) for name in scaled(model)} == set(ends)
    assert all(
        part.is_feedforward == name.endswith(("down_proj", "c_proj", "wo", "output.dense"))
        for name, part in scaled(model).items()
    )


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bert"])
def test_merged_into_the_weights_it_computes_the_same(family):
    model = attached(family)
    before = parameter_checksums(model)
    losses = train(IA3, model, batch(family), rate=5e-2)
    assert losses[-1] < losses[0] and changed_layers(model, before)["zero_layers"] == 0
    adapter = logits(model, batch(family))
    assert (adapter - logits(opened(family), batch(family))).norm() / adapter.norm() > 1e-3
    merged = logits(model.merge_and_unload(), batch(family))
    assert (merged - adapter).norm() / adapter.norm() <= 1e-5


@pytest.mark.parametrize("family", ["gpt2", "phi3"])
def test_queries_are_not_scaled_where_they_share_a_layer_with_keys_and_values(family):
    model = attached(family)
    train(IA3, model, batch(family), rate=5e-2)
    for name, part in scaled(model).items():
        scale = part.ia3_l["default"].flatten()
        if not part.is_feedforward:
            assert bool((scale[:64] == 1).all()) and bool((scale[64:] != 1).any()), name


def test_the_number_of_scales_is_that_of_the_paper():
    block = [
        LinearShape("query", 64, 64),
        LinearShape("key", 64, 32),
        LinearShape("value", 64, 32),
        LinearShape("output", 64, 64),
        LinearShape("gate", 64, 128),
        LinearShape("up", 64, 128),
        LinearShape("down", 128, 64),
    ]
    learned = sum(p.numel() for p in attached().parameters() if p.requires_grad)
    assert learned == IA3.trainable(block, layers=2) == 2 * (32 + 32 + 128)


@pytest.mark.parametrize("precision", ["nf4", "int8", "bf16", "fp32"])
def test_it_comes_back_from_disk_in_plain_peft(precision, tmp_path):
    model = attached(precision=precision)
    train(IA3, model, batch())
    IA3.save(model, tmp_path)
    now = logits(model, batch())
    assert torch.equal(logits(PeftModel.from_pretrained(opened("llama", precision), str(tmp_path)), batch()), now)
    with IA3.from_disk(model, tmp_path):
        assert torch.equal(logits(model, batch()), now)


def test_a_family_in_which_keys_cannot_be_told_is_refused():
    assert set(IA3.problems("nf4", "gpt_neox", "chat")) == {"method.name"}
    model = opened()
    for block in model.model.layers:
        block.self_attn.k_proj, block.self_attn.v_proj = torch.nn.Identity(), torch.nn.Identity()
    with refused("method.no_such_part", "no keys, values"):
        IA3.attach(model)


# ---- T-Few


def scores(means, right, wrong_tokens=1):
    """Options of one example whose tokens all have the mean log-probability of their option."""
    rows = [[mean] * (wrong_tokens if i != right else 1) for i, mean in enumerate(means)]
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [0.0] * (longest - len(row)) for row in rows])
    there = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]).bool()
    return Scores(tokens, there, torch.zeros(len(rows), dtype=torch.long), torch.arange(len(rows)) == right)


def test_a_wrong_token_that_is_certain_costs_most_and_an_impossible_one_nothing():
    impossible, likely, certain = (
        unlikelihood(scores([math.log(p), math.log(0.5)], right=1)).item() for p in (1e-30, 0.5, 1.0)
    )
    assert impossible == 0 and impossible < likely < certain, "as in the paper, and never below nothing"
    assert certain == pytest.approx(math.log(101), rel=1e-4)


@pytest.mark.parametrize("chance", [1e-4, 0.002, 0.1, 0.5, 0.9])
def test_the_loss_of_wrong_tokens_is_the_papers_and_its_slope_that_of_the_authors_program(chance):
    log = torch.tensor(math.log(chance), requires_grad=True)
    said = Scores(
        torch.stack([log, torch.tensor(math.log(0.5))])[:, None],
        torch.ones(2, 1, dtype=torch.bool),
        torch.zeros(2).long(),
        torch.tensor([False, True]),
    )
    unlikelihood(said).backward()
    theirs = torch.tensor(math.log(chance), requires_grad=True)
    (-(1 - theirs.exp() + 0.01).log()).backward()
    assert log.grad.item() == pytest.approx(theirs.grad.item(), rel=1e-5)
    assert unlikelihood(said).item() == pytest.approx(-math.log(1 - chance), rel=0.12), (
        "0.01 bends it only where p is nearly 1"
    )
    assert unlikelihood(said).item() > 0


def test_without_a_wrong_option_there_is_nothing_to_be_unlikely():
    alone = scores([math.log(0.5)], right=0)
    assert unlikelihood(alone).item() == 0 and length_normalized(alone).item() == pytest.approx(0, abs=1e-7)


def test_the_choice_does_not_depend_on_how_long_an_option_is():
    short, long = (length_normalized(scores([-1.0, -2.0, -3.0], 0, wrong_tokens=n)).item() for n in (1, 7))
    assert short == pytest.approx(long, abs=1e-6) == pytest.approx(math.log(1 + math.exp(-1) + math.exp(-2)), abs=1e-6)
    assert length_normalized(scores([-2.0] * 5, 3)).item() == pytest.approx(math.log(5), abs=1e-6)


def options(rows=3, right=(0, 2)):
    """Two examples with so many options each, as the collator makes them."""
    torch.manual_seed(3)
    ids = torch.randint(3, 128, (2 * rows, 8))
    labels = ids.clone()
    labels[:, :6] = -100
    labels[1, 7] = -100  # an option of one token
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
        "question": torch.arange(2).repeat_interleave(rows),
        "right": torch.cat([torch.arange(rows) == r for r in right]),
    }


def test_scores_are_those_of_a_plain_loop_over_the_options():
    model, given = opened(), options()
    found = option_scores(model, given)
    for row in range(6):
        ids, labels = given["input_ids"][row], given["labels"][row]
        with torch.no_grad():
            log = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        expected = torch.stack([log[i - 1, label] for i, label in enumerate(labels.tolist()) if label != -100]).mean()
        assert found.means()[row].item() == pytest.approx(expected.item(), abs=1e-5)


def test_two_examples_in_one_batch_cost_what_they_cost_alone():
    model, given = opened(), options()
    both = option_scores(model, given)
    alone = [
        option_scores(model, {k: v[rows] for k, v in given.items()} | {"question": torch.zeros(3, dtype=torch.long)})
        for rows in (slice(0, 3), slice(3, 6))
    ]
    assert length_normalized(both).item() == pytest.approx(
        sum(length_normalized(one).item() for one in alone) / 2, abs=1e-5
    )


def test_with_the_losses_the_right_option_becomes_the_likelier_one():
    method = Ia3Method(unlikelihood=1.0, length_normalized=1.0)
    model, given = attached(method=method), options()
    with torch.no_grad():
        before = length_normalized(option_scores(model.eval(), given)), unlikelihood(option_scores(model, given))
    train(method, model, {**batch(), "options": given}, steps=8, rate=5e-2)
    with torch.no_grad():
        after = length_normalized(option_scores(model.eval(), given)), unlikelihood(option_scores(model, given))
    assert after[0] < before[0] and after[1] < before[1] and IA3.loss(model, {"options": given}, None) is None
