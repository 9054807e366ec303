"""Rows that join, leave and are cancelled at any time say what they say alone."""

import random
import threading
import time

import pytest
import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from torch.nn import init

from qlora_app.inference import batching, engine
from qlora_app.inference.adapters import within
from qlora_app.inference.engine import Engine
from qlora_app.inference.rows import BASE, Asked, Ended, Row, Token
from qlora_app.inference.sampling import Sampling
from tests.methods.tiny import opened
from tests.refusing import refused
from tests.tiny_models import tiny_network

SLIDING = {"sliding_window": 8}
FAMILIES = {"llama": {}, "gpt2": {}, "qwen3": {}, "mistral": SLIDING, "gemma3_text": SLIDING, "t5": {}}
ENDS = frozenset(range(3, 30))  # many, so that some answers end early


def network(family="llama", **settings):
    made = tiny_network(family, **settings).eval()
    made.generation_config.eos_token_id = made.config.eos_token_id = None
    return made


def lora(**settings):
    return LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], **settings)


def drawn(model):
    """Adapters that change something."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "ia3" in name:
            init.normal_(parameter, std=0.5)
    return model.eval()


def two_adapters(base=None, **settings):
    torch.manual_seed(0)
    model = get_peft_model(base or network(), lora(**settings), "one")
    model.add_adapter("two", lora(**settings))
    return drawn(model)


def mixing(model, *names):
    made = Engine(model)
    made.active.mixable.update(names)
    return made


def some_asked(count, adapters=(BASE,), longest=60, seed=0):
    """Prompts that begin alike now and then, and answers of all lengths."""
    draw = random.Random(seed)
    asked = []
    for number in range(count):
        ids = [draw.randrange(3, 128) for _ in range(draw.randrange(1, longest))]
        if asked and draw.random() < 0.4:
            ids = [*draw.choice(asked).ids, *ids]
        asked.append(Asked(ids, draw.randrange(1, 12), adapters[number % len(adapters)], ends=ENDS))
    return asked


def alone(model, asked):
    """What `generate` says to one of them."""
    if hasattr(model, "peft_config") and asked.adapter != BASE:
        model.set_adapter(asked.adapter, inference_mode=True)
        return generated(model, asked)
    if hasattr(model, "peft_config"):
        with model.disable_adapter():
            return generated(model, asked)
    return generated(model, asked)


def generated(model, asked):
    ids = torch.tensor([asked.ids])
    how = {"max_new_tokens": asked.room, "do_sample": False, "eos_token_id": [*asked.ends], "pad_token_id": 0}
    with torch.inference_mode():
        made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **how)[0].tolist()
    new = made[1:] if model.config.is_encoder_decoder else made[len(asked.ids) :]
    end = next((place for place, token in enumerate(new) if token in asked.ends), None)
    return new[:end], "length" if end is None else "stop"


def said(row):
    *tokens, end = row
    assert isinstance(end, Ended) and all(isinstance(token, Token) for token in tokens)
    return [token.id for token in tokens], end.why


@pytest.mark.parametrize("family", FAMILIES)
def test_together_they_say_what_generate_says_to_each(family):
    model = network(family, **FAMILIES[family])
    asked = some_asked(10)
    expected = [alone(model, one) for one in asked]
    assert family == "t5" or {why for _, why in expected} == {"stop", "length"}
    made = Engine(model, most_rows=5)
    assert [said(row) for row in [made.submit(Row(one)) for one in asked]] == expected
    assert batching.joins_between_tokens(model) == (family != "t5")


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_adapters_and_base_mix_in_one_batch(precision):
    model = two_adapters(opened("llama", precision))
    asked = some_asked(9, (BASE, "one", "two"))
    expected = [alone(model, one) for one in asked]
    assert len({str(alone(model, Asked(asked[0].ids, 9, name))) for name in (BASE, "one", "two")}) == 3
    made = mixing(model, "one", "two")
    assert [said(row) for row in [made.submit(Row(one)) for one in asked]] == expected


@pytest.mark.parametrize("kind", ["dora", "ia3", "in front"])
def test_adapters_that_cannot_mix_have_batches_of_their_own(kind):
    if kind == "dora":
        model, names = two_adapters(use_dora=True), (BASE, "one", "two")
    elif kind == "ia3":
        targets = {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]}
        config = IA3Config(task_type="CAUSAL_LM", **targets)
        model, names = drawn(get_peft_model(network(), config, "one")), (BASE, "one")
    else:
        config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
        model, names = get_peft_model(network(), config, "one").eval(), (BASE, "one")
    asked = some_asked(6, names, longest=20)
    expected = [alone(model, one) for one in asked]
    made = Engine(model)
    assert [said(row) for row in [made.submit(Row(one)) for one in asked]] == expected


@pytest.mark.parametrize("seed", range(2))
def test_whoever_joins_leaves_or_is_cancelled_changes_nothing_for_the_others(seed, monkeypatch):
    """Steps are taken one by one here, so that what happens between them is drawn too."""
    monkeypatch.setitem(batching.PIECE, "cpu", 7)
    monkeypatch.setattr(batching, "PIECE_ALONE", 11)
    draw = random.Random(seed)
    model = two_adapters()
    asked = some_asked(15, (BASE, "one", "two"), seed=seed)
    expected = [alone(model, one) for one in asked]
    made = mixing(model, "one", "two")
    steps = made._made()
    steps.most_rows = 6
    rows = [Row(one) for one in asked]
    waiting = list(rows)
    with torch.inference_mode():
        while waiting or steps.rows:
            while waiting and steps.has_room(waiting[0]) and draw.random() < 0.6:
                steps.take(waiting.pop(0))
            if steps.rows and draw.random() < 0.15:
                draw.choice(steps.rows).cancel()
            steps.step()
    cancelled = 0
    for row, (text, why) in zip(rows, expected, strict=True):
        got, ending = said(row)
        cancelled += ending == "cancelled"
        assert got == text[: len(got)] and (ending == "cancelled" or (got, ending) == (text, why))
    assert 0 < cancelled < len(rows)


def test_what_is_drawn_depends_on_the_seed_alone():
    model = network()
    how = Sampling(temperature=1.2, top_p=0.95, top_k=100, min_p=0.001, repetition_penalty=1.1, seed=7)
    ids = list(range(20, 40))
    alone_ = said(Engine(model).submit(Row(Asked(ids, 24, sampling=how))))
    made = Engine(model)
    others = [made.submit(Row(Asked(one.ids, one.room, sampling=Sampling(temperature=1)))) for one in some_asked(5)]
    state = torch.get_rng_state()
    assert said(made.submit(Row(Asked(ids, 24, sampling=how)))) == alone_
    assert torch.equal(torch.get_rng_state(), state), "the random state of a training is left alone"
    assert said(made.submit(Row(Asked(ids, 24, sampling=Sampling(temperature=1.2, seed=8)))))[0] != alone_[0]
    assert all(said(row)[1] == "length" for row in others)


def test_the_next_turn_computes_what_is_new_and_says_the_same():
    model, read = network(), []
    made = Engine(model)
    inner = within(model)
    counted = inner.register_forward_pre_hook(
        lambda _, args, given: read.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    first = Asked(list(range(10, 60)), 10)
    text, _ = said(made.submit(Row(first)))
    second = Asked([*first.ids, *text, *range(60, 70)], 10)
    edited = Asked([*first.ids[:30], *range(90, 120)], 10)
    read.clear()
    rows = [Row(second), Row(edited)]
    got = [said(made.submit(row)) for row in rows]
    counted.remove()
    assert [row.cached for row in rows] == [len(first.ids) + len(text) - 1, 30]
    assert sum(read) < 10 + 1 + 30 + 20 and got == [alone(model, one) for one in (second, edited)]


def test_another_adapter_does_not_take_what_one_has_read():
    model = two_adapters()
    made = mixing(model, "one", "two")
    ids = list(range(20, 60))
    said(made.submit(Row(Asked(ids, 5, "one"))))
    row = Row(Asked([*ids, 9], 5, "two"))
    assert said(made.submit(row)) == alone(model, row.asked) and row.cached == 0


def test_log_probabilities_are_those_of_the_model():
    model = network()
    ids = list(range(20, 30))
    *tokens, _ = Engine(model).submit(Row(Asked(ids, 6, sampling=Sampling(temperature=0.5, seed=1), logprobs=3)))
    with torch.inference_mode():
        logits = model(torch.tensor([[*ids, *(token.id for token in tokens)]])).logits[0, len(ids) - 1 : -1]
    expected = logits.log_softmax(-1)
    for place, token in enumerate(tokens):
        assert token.chances.chosen == pytest.approx(expected[place, token.id].item(), abs=1e-4)
        assert [one for one, _ in token.chances.likeliest] == expected[place].topk(3).indices.tolist()


# ---- what goes wrong


class BrokenError(RuntimeError):
    """Raised by a layer."""


def broken(model, when):
    """It raises when `when` of the token ids is true."""

    def check(_, args, given):
        if when(given["input_ids"]):
            raise BrokenError

    return model.register_forward_pre_hook(check, with_kwargs=True)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_crash_reaches_everybody_and_the_next_are_answered(family):
    model = network(family)
    made = Engine(model)
    inside = model.get_encoder() if family == "t5" else model
    hook = broken(inside, lambda ids: True)
    rows = [made.submit(Row(one)) for one in some_asked(10)]
    for row in rows:
        with pytest.raises(BrokenError):
            list(row)
    hook.remove()
    asked = some_asked(1)[0]
    assert said(made.submit(Row(asked))) == alone(model, asked)


def test_a_prompt_that_cannot_be_read_is_no_matter_of_the_others():
    model = network()
    hook = broken(model, lambda ids: bool((ids == 77).any()))
    made = Engine(model)
    good, bad = Asked([5, 6, 7], 12), Asked([5, 77], 12)
    expected = alone(model, good)
    rows = [made.submit(Row(one)) for one in (good, bad)]
    with pytest.raises(BrokenError):
        list(rows[1])
    assert said(rows[0]) == expected
    hook.remove()


@pytest.mark.parametrize("what", ["begun", "woken"])
def test_who_cannot_be_begun_hears_of_it_and_the_next_are_answered(what, monkeypatch):
    made = Engine(network())

    def fails(*_):
        raise MemoryError

    with monkeypatch.context() as now:
        now.setattr(*((made.prefixes, "longest") if what == "begun" else (threading.Thread, "start")), fails)
        with pytest.raises(MemoryError):
            _, event = made.submit(Row(Asked([1, 2], 3))).events.get(timeout=60)
            raise event
    assert said(made.submit(Row(Asked([1, 2], 3))))[1] == "length"


def test_too_many_that_wait_are_refused_and_nobody_hangs():
    made = Engine(network(), most_rows=2, most_waiting=4)
    hold, held = threading.Event(), threading.Event()

    def work():
        held.set()
        hold.wait()
        return "done"

    other = threading.Thread(daemon=True, target=lambda: made.alone(work))
    other.start()
    held.wait()
    rows = [made.submit(Row(Asked([1, 2, 3], 4))) for _ in range(4)]
    with refused("engine.too_many_waiting", "4"):
        made.submit(Row(Asked([1], 1)))
    rows[3].cancel()
    hold.set()
    other.join()
    assert [said(row)[1] for row in rows] == ["length"] * 3 + ["cancelled"]


def test_what_needs_the_model_alone_raises_where_it_was_asked_and_answers_go_on():
    made = Engine(network())
    with pytest.raises(ZeroDivisionError):
        made.alone(lambda: 1 / 0)
    assert made.alone(lambda: 3) == 3
    assert said(made.submit(Row(Asked([1, 2], 3))))[1] == "length"


def test_the_thread_goes_and_comes_back(monkeypatch):
    monkeypatch.setattr(engine, "IDLE", 0.0)
    made = Engine(network())
    for _ in range(2):
        assert said(made.submit(Row(Asked([1, 2], 3))))[1] == "length"
        while made._thread:
            time.sleep(0.01)
