"""Who answers in the columns: other strengths of an adapter, and mixes of several, beside the adapters themselves."""

import os
import shutil

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from qlora_app.inference.loaded import FIRST, MOST_SUMS
from qlora_app.inference.pool import ModelPool
from qlora_app.inference.session import ChatSession, Decoding
from qlora_app.inference.sides import Replies, Side, here_of
from qlora_app.methods.lora import LoraMethod
from qlora_app.runs.checkpoints import MANIFEST, fingerprint
from qlora_app.storage.files import write_json
from tests.conftest import short_recipe
from tests.fixtures.answering import save_adapter
from tests.refusing import refused

TALK = [{"role": "user", "content": "Where does Mira live?"}]
FEW = Decoding(max_new_tokens=6, base_temperature=0)


def run_of(store, seed, **method):
    """A run whose adapter learned something of its own."""
    run = store.create(short_recipe().model_copy(update={"method": LoraMethod(**method)}))
    save_adapter(run, run.adapter)
    write_json(run.adapter / "proof.json", {})
    learn(run.adapter, seed)
    return run


def learn(adapter, seed):
    """Weights of its own."""
    file = adapter / "adapter_model.safetensors"
    torch.manual_seed(seed)
    save_file({name: torch.randn_like(one) * 0.1 for name, one in load_file(file).items()}, file)
    os.utime(file, ns=(seed, seed))


@pytest.fixture
def two(store):
    """Adapters of another rank and another way to scale."""
    return [run_of(store, 1, rank=4, alpha=8), run_of(store, 2, rank=8, alpha=4, rank_stabilized=True)]


@pytest.fixture
def pool():
    return ModelPool()


def logits(session, base=False):
    ids = torch.tensor([session.encode("Where does Mira live?")])
    name = "__base__" if base else session.name
    with torch.no_grad():
        return session.base.engine.alone(lambda: session.model(input_ids=ids).logits, name)


def changes(session):
    """What an adapter adds to each layer."""
    layers = [one for one in session.model.modules() if isinstance(one, LoraLayer) and session.name in one.lora_A]
    return [layer.get_delta_weight(session.name) for layer in layers]


def answer(side, store, pool):
    *_, (said,) = Replies([(here_of(side, store, pool), TALK)], FEW)
    assert not said.error
    return said


def test_at_strength_0_the_base_answers_and_at_1_the_adapter_and_between_a_part_of_it(two, store, pool):
    for run in two:
        session = pool.get(run)
        none, half, whole = (here_of(Side(run=run.id, strength=s), store, pool) for s in (0, 0.5, 1))
        assert none.is_bare and none.checksum == "" and whole.session is session
        assert half.checksum == session.checksum
        for part, all_of_it in zip(changes(half.session), changes(session), strict=True):
            assert torch.allclose(part, 0.5 * all_of_it, atol=1e-6)
        assert answer(Side(run=run.id, strength=0), store, pool) == answer(Side(who="base", run=run.id), store, pool)


def test_a_mix_is_the_weighted_sum_of_what_its_adapters_learned(two, store, pool):
    one, other = (pool.get(run) for run in two)
    before = [logits(one), logits(other), logits(one, base=True)]
    mix = [{"run": two[0].id, "weight": 0.7}, {"run": two[1].id, "weight": -0.4}]
    mixed = here_of(Side.of({"who": "mix", "run": two[0].id, "mix": mix}), store, pool).session
    for made, a, b in zip(changes(mixed), changes(one), changes(other), strict=True):
        assert torch.allclose(made, 0.7 * a - 0.4 * b, atol=1e-6)
    after = [logits(one), logits(other), logits(one, base=True)]
    assert all(torch.equal(was, now) for was, now in zip(before, after, strict=True)), "the others are as they were"


def test_a_mix_is_made_of_checkpoints_too_and_known_by_what_its_parts_are(two, store, pool):
    run = two[0]
    checkpoint = shutil.copytree(run.adapter, run.checkpoints / "checkpoint-3")
    learn(checkpoint, 3)
    write_json(checkpoint / MANIFEST, fingerprint(checkpoint))

    def mixed(weight=0.5, **of):
        mix = [{"run": run.id, "weight": 0.5}, {"run": run.id, "weight": weight, **of}]
        return here_of(Side.of({"who": "mix", "run": run.id, "mix": mix}), store, pool)

    made = mixed(checkpoint=3)
    earlier = pool.get(run, 3)
    for found, a, b in zip(changes(made.session), changes(pool.get(run)), changes(earlier), strict=True):
        assert torch.allclose(found, 0.5 * a + 0.5 * b, atol=1e-6)
    before = made.checksum
    assert before == mixed(checkpoint=3).checksum and len({before, mixed().checksum, mixed(0.6).checksum}) == 3
    learn(run.adapter, 4)
    assert mixed(checkpoint=3).checksum != before, "Why? sees that the adapter is another one now"


@pytest.mark.parametrize("init", ["pissa", "loftq"])
def test_a_sum_of_adapters_that_began_otherwise_leaves_the_base_as_it_is(two, store, pool, init):
    session = pool.get(two[0])
    session.model.peft_config[session.name].init_lora_weights = init
    before = logits(session, base=True)
    half = here_of(Side(run=two[0].id, strength=0.5), store, pool).session
    assert torch.equal(logits(session, base=True), before)
    assert session.model.peft_config[session.name].init_lora_weights == init
    assert not torch.equal(logits(half), before)


def test_columns_of_several_strengths_answer_at_once_what_each_answers_alone(two, store, pool):
    sides = [Side(who="base", run=two[0].id), *(Side(run=two[0].id, strength=s) for s in (1, 0.5, 2))]
    other_pool = ModelPool()
    alone = [answer(side, store, other_pool) for side in sides]
    assert len(set(alone)) >= 3
    for _ in range(2):  # the second time with what each remembers of the prompt, and of nobody else's
        *_, said = Replies([(here_of(side, store, pool), TALK) for side in sides], FEW)
        assert said == alone


def test_what_was_made_for_a_strength_is_let_go_of_again(two, store, pool):
    session = pool.get(two[0])
    for strength in range(1, 3 * MOST_SUMS):
        here_of(Side(run=two[0].id, strength=strength / 16), store, pool)
    names = set(session.model.peft_config)
    assert FIRST in names and len(names) <= 2 + MOST_SUMS
    assert session.base.engine.active.mixable <= names


def test_what_has_one_strength_only_and_what_does_not_fit_is_refused(two, store, pool):
    dora = run_of(store, 3, weight_decomposed=True)
    with refused("adapter.one_strength"):
        here_of(Side(run=dora.id, strength=0.5), store, pool)
    mix = ({"run": two[0].id}, {"run": dora.id})
    with refused("adapter.one_strength"):
        here_of(Side.of({"who": "mix", "run": two[0].id, "mix": mix}), store, pool)
    with refused("chat.empty_mix"):
        here_of(Side(who="mix", run=two[0].id), store, pool)
    with refused("adapter.sum_of_bases"):
        ChatSession.sum_of([(pool.get(two[0]), 1.0), (ModelPool().get(two[1]), 1.0)])
