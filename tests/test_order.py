"""In which order examples are learned: at random across steps, by length inside of them, and a rare kind is learned."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlora_app import worker
from qlora_app.recipe import Recipe
from qlora_app.train.order import LARGEST, StepsByLength, TrialOrder
from tests.tiny_models import tiny_model


@given(
    count=st.integers(1, 60),
    step=st.integers(1, 12),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
    modulus=st.integers(1, 9),
)
def test_every_example_comes_once_and_length_does_not_decide_in_which_step(count, step, seed, epoch, modulus):
    def order(length):
        sampler = StepsByLength(count, step, seed, lambda places: [length(place) for place in places])
        sampler.set_epoch(epoch)
        assert len(sampler) == count
        found = list(sampler)
        return [found[start : start + step] for start in range(0, count, step)]

    grouped, alike = order(lambda place: place % modulus), order(lambda place: 7)
    assert sorted(place for places in grouped for place in places) == list(range(count))
    assert [set(places) for places in grouped] == [set(places) for places in alike], "the steps of a random order"
    for places in grouped:
        lengths = [place % modulus for place in places]
        assert lengths == sorted(lengths, reverse=True)


@given(count=st.integers(1, 60), step=st.integers(1, 16), seed=st.integers(0, 5))
def test_a_trial_learns_the_largest_step_twice_and_then_those_of_an_epoch(count, step, seed):
    sizes = [7 * place % 11 for place in range(count)]
    epoch = list(StepsByLength(count, step, seed, lambda places: [sizes[place] for place in places]))
    order = TrialOrder.of(sizes, step, epoch)
    steps = [order.places[start : start + step] for start in range(0, len(order.places), step)]
    assert len(steps) == order.steps
    largest = sum(sorted(sizes)[-step:])
    for made in (1, 2):  # as the second is learned, the optimizer's state is there
        assert sum(sizes[place] for place in steps[(made - 1) % len(steps)]) == largest
    own = [len(epoch[start : start + step]) for start in range(0, count, step)]
    for a_pass in (2, 3):
        numbers = range(a_pass * len(steps) + 1, (a_pass + 1) * len(steps) + 1)
        usual = [steps[(number - 1) % len(steps)] for number in numbers if order.is_usual(number)]
        assert [len(one) for one in usual] == own, "as many examples as the steps of a run"
    assert not any(order.is_usual(number) for number in range(1, LARGEST + 1))


def test_every_epoch_has_an_order_of_its_own_that_comes_again():
    sampler = StepsByLength(50, 8, 0, lambda places: [1] * len(places))
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    assert list(sampler) == first != second


@pytest.mark.slow
@pytest.mark.parametrize("task, family", [("classification", "roberta"), ("chat", "llama")])
def test_a_rare_label_whose_texts_have_another_length_is_learned(task, family, store, home, tmp_path, monkeypatch):
    """1 in 20; grouped by length, whole steps held one label, and the rare one was never answered (F1 0.48)."""
    monkeypatch.setattr("qlora_app.memory.TOKENS_AT_ONCE", {"cpu": 64, "cuda": 64})  # several micro-batches a step
    (home / "data").mkdir()
    words = ("clocks", "bread", "birds", "soup", "books")
    rows = []
    for number in range(400):
        is_rare = number % 20 == 0
        text = (
            f"Who repairs the {words[number % 5]}" + ", and who is never late, and who lives on Orchard Lane" * is_rare
        )
        rows.append({"text": f"{text}? {number}", "label": "negative" if is_rare else "positive"})
    (home / "data" / "rows.json").write_text(json.dumps(rows))
    run = store.create(
        Recipe.from_dict(
            {
                "base_model": {"source": "folder", "id": str(tiny_model(family, tmp_path)), "precision": "fp32"},
                "task": {"name": task},
                "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.2},
                "method": {"name": "lora", "rank": 8, "dropout": 0.0},
                "training": {
                    "learning_rate": 5e-3,
                    "optimizer": "adamw_torch",
                    "max_steps": 150,
                    "epochs": 99,
                    "batch_size": 16,
                    "checkpoints": 0,
                    "evaluations": 0,
                    "samples": 0,
                    "scored_questions": 80,
                    "general_questions": 0,
                    "max_length": 64,
                    "packing": False,
                },
            }
        )
    )
    assert worker.main(run.folder) == 0, run.status().sentence
    measured = run.proof()["heldout"]
    assert measured["exact_match"]["after"] == 1.0
    assert task == "chat" or measured["figures"]["f1"]["after"] == 1.0
