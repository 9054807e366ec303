"""What an adapter does: its distance from the base, answers that end, answers that go round; and an adapter that does
nothing is never green.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from qlora_app import worker
from qlora_app.base_models import ModelChoice, load_model, load_tokenizer
from qlora_app.methods.fitting import WEIGHTS
from qlora_app.recipe import Recipe
from qlora_app.runs.diagnose.loops import is_going_round
from qlora_app.runs.effect import checks
from qlora_app.runs.proof import Distance, HeldOut, Proof
from qlora_app.runs.proof_words import proof_words
from qlora_app.runs.since import OTHER_BASE, OTHER_WEIGHTS, changed_words
from qlora_app.runs.verdict import verdict
from qlora_app.starter import DATASETS
from qlora_app.tasks import TASKS
from qlora_app.tasks.task import divergence
from qlora_app.ui.language import LANGUAGES
from qlora_app.ui.runs.card_ending import ending
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(ModelChoice())


def of(**figures) -> Proof:
    """A proof with these held-out figures."""
    nats = figures.pop("nats", None)
    distance = Distance(nats, 0 if nats is None else 500)
    return Proof(HeldOut(**{"questions": 100, "tokens": 9.0} | figures, distance=distance))


CASES = [
    (of(nats=0.0), "does_nothing", "bad"),
    (of(nats=9e-5), "does_nothing", "bad"),
    (of(nats=0.004), "hardly_differs", "fair"),
    (of(nats=1.5), "differs", "good"),
    (of(unended=0), "ends", "good"),
    (of(unended=6, asked_longer=6, ended_longer=5, room=256), "ends", "good"),
    (of(unended=20, asked_longer=16, ended_longer=0, room=256), "ends_mostly", "fair"),
    (of(unended=60, asked_longer=16, ended_longer=2, room=256), "does_not_end", "bad"),
    (of(unended=60, asked_longer=16, ended_longer=16, room=256), "ends", "good"),
    (of(repeats=0), "no_rounds", "good"),
    (of(repeats=3), "few_rounds", "fair"),
    (of(repeats=30), "rounds", "bad"),
]


@pytest.mark.parametrize(("proof", "code", "colour"), CASES, ids=[f"{case[1]}-{i}" for i, case in enumerate(CASES)])
def test_each_figure_has_a_colour_and_a_sentence_in_every_language(proof, code, colour):
    (found,) = checks(proof)
    assert (found.code, found.colour) == (code, colour)
    assert found.sentence in proof_words(proof)
    assert [1 for language in LANGUAGES.values() if language.say(found.sentence) is None] == []
    card = ending(verdict(proof), proof.to_json())
    assert card.count(found.sentence) == 1 or found.code == "does_nothing"


@pytest.mark.parametrize(
    "proof",
    [
        Proof(),
        of(unended=60),  # of an older version, or where more room would have taken too long: nobody knows
        of(unended=0, tokens=0.0),  # nothing is generated
        of(questions=3, unended=0, repeats=0),
        of(unended=200),  # no such figure can be
        of(repeats=200),
        Proof.from_json({"heldout": {"distance": {"nats": "far"}, "repeats": [], "asked_longer": -1}}),
    ],
)
def test_nothing_is_said_of_what_was_not_measured(proof):
    assert checks(proof) == []


def test_what_never_ends_is_not_green():
    sound = {"exact_match": {"before": 0.0, "after": 0.9}, "questions": 100, "tokens": 9.0, "unended": 40}
    proof = Proof.from_json({"heldout": sound | {"asked_longer": 16, "ended_longer": 16, "room": 256}})
    assert verdict(proof).colour == "good"
    endless = replace(proof, heldout=replace(proof.heldout, ended_longer=0))
    assert (verdict(endless).code, verdict(endless).colour) == ("learned", "fair")
    assert "end by themselves" in verdict(endless).why


# ---- how far apart two models are

LOGITS = st.lists(st.floats(-30, 30), min_size=2, max_size=8)


@given(LOGITS, st.integers(0, 9))
def test_the_distance_is_zero_for_the_same_and_never_below(logits, seed):
    after = torch.tensor([logits])
    other = after + torch.randn(after.shape, generator=torch.Generator().manual_seed(seed))
    one, two = after.softmax(-1).double(), other.softmax(-1).double()
    assert divergence(after, after + 3.0) == pytest.approx(0, abs=1e-5), "what is added to all says nothing"
    by_hand = float((one * (one.log() - two.log())).nan_to_num().sum())
    assert divergence(after, other) == pytest.approx(max(0.0, by_hand), abs=1e-4) and divergence(after, other) >= 0


# ---- answers that go round


@pytest.mark.parametrize("period", [1, 2, 5, 12, 25, 40])
def test_a_round_is_seen_whatever_its_length(period):
    words = [f"word{place}" for place in range(period)]
    assert is_going_round("It begins well. " + " ".join(words * 30))
    assert not is_going_round("It begins well. " + " ".join(f"{word} {n}" for n in range(30) for word in words))


def test_no_right_answer_of_the_starter_goes_round(tokenizer):
    """What its rows answer, and what its base writes when it may not end: it says the same three sentences on and
    on.
    """
    rows = json.loads(DATASETS["helper"].file.read_text(encoding="utf-8"))
    answers = [text for row in rows for text in row.values() if isinstance(text, str)]
    assert len(answers) > 1000 and not any(map(is_going_round, answers))
    model, ids = load_model(ModelChoice(precision="fp32")), tokenizer("Tell me.", return_tensors="pt")["input_ids"]
    endless = model.generate(input_ids=ids, max_new_tokens=256, min_new_tokens=256, do_sample=False)[0]
    assert is_going_round(tokenizer.decode(endless, skip_special_tokens=True))


# ---- an adapter that does nothing


@pytest.fixture
def recipe(home, tmp_path):
    (home / "data").mkdir()
    rows = [{"instruction": f"Is it {number}?", "output": f"yes, it is {number}."} for number in range(40)]
    (home / "data" / "rows.json").write_text(json.dumps(rows))
    few = {"batch_size": 8, "max_steps": 4, "checkpoints": 0, "samples": 0, "evaluations": 0, "scored_questions": 8}
    few |= {"general_questions": 0}
    return Recipe.from_dict(
        {
            "base_model": {"source": "folder", "id": str(tiny_model("llama", tmp_path)), "precision": "fp32"},
            "method": {"name": "lora", "rank": 2},
            "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.3},
            "training": few | {"optimizer": "adamw_torch", "learning_rate": 1e-2},
        }
    )


def finished(store, recipe, **training):
    changed = recipe.training.model_copy(update=training)
    run = store.create(recipe.model_copy(update={"training": changed}))
    assert worker.main(run.folder) == 0, run.status().sentence
    return run, Proof.from_json(run.proof())


@pytest.mark.slow
def test_an_adapter_that_was_not_moved_is_red(store, recipe):
    """A learning rate of nothing: every tensor changes, by less than any answer shows."""
    _, proof = finished(store, recipe, learning_rate=1e-30)
    assert proof.update.zero_layers == 0 and proof.heldout.distance == Distance(0.0, proof.heldout.distance.labels)
    assert (verdict(proof).code, verdict(proof).colour) == ("does_nothing", "bad")
    assert verdict(proof).why in proof_words(proof)
    held_out = proof.heldout
    assert held_out.asked_longer == held_out.unended == 8 and held_out.room == 128, "half of what the model reads"
    assert held_out.ended_longer == 0 and "does_not_end" in [one.code for one in checks(proof)]


@pytest.mark.slow
def test_a_file_and_a_base_that_are_not_those_that_were_measured_are_red(store, recipe):
    run, proof = finished(store, recipe)
    assert proof.heldout.distance.nats > 1e-2 and proof.heldout.distance.labels > 20
    assert changed_words(run, proof) == "" and Proof.from_json(json.loads(json.dumps(proof.to_json()))) == proof
    file, base = run.adapter / WEIGHTS, Path(recipe.base_model.id) / "model.safetensors"
    whole, others = file.read_bytes(), base.read_bytes()
    save_file({name: tensor * 0 for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    assert changed_words(run, proof) == OTHER_WEIGHTS
    file.write_bytes(whole)
    assert changed_words(run, proof) == ""
    save_file({name: tensor + 0.1 for name, tensor in load_file(base).items()}, base, {"format": "pt"})
    assert changed_words(run, proof) == OTHER_BASE
    found = verdict(proof, changed=OTHER_BASE)
    assert found.colour == "bad" and language_lacks(found.short, OTHER_BASE, OTHER_WEIGHTS) == []
    base.write_bytes(others)
    assert changed_words(run, proof) == ""
    shutil.rmtree(base.parent)
    assert changed_words(run, proof) == "", "a base that is not here says nothing about the adapter"


def language_lacks(*sentences):
    return [text for text in sentences for language in LANGUAGES.values() if language.say(text) is None]


@pytest.mark.parametrize("name", ["chat", "classification", "text_to_text", "fill_mask"])
def test_every_task_measures_the_distance(name, tmp_path):
    """None while the adapter is as it was attached, and some when it was moved."""
    family = {"chat": "gpt2", "text_to_text": "t5"}.get(name, "bert")
    choice = ModelChoice(source="folder", id=str(tiny_model(family, tmp_path)), precision="fp32")
    task = TASKS[name](labels=("yes", "no") if name == "classification" else ())
    tokenizer = load_tokenizer(choice)
    model = load_model(choice, task.auto_class, task.labels)
    task.prepare(tokenizer, model)
    model = Recipe.from_dict({"method": {"rank": 2}}).method.attach(model, task.peft_type)
    talk = [{"role": "user", "content": "Is it wet in the river?"}, {"role": "assistant", "content": "yes"}]
    row = [{"role": "text", "content": "Mira bakes bread every morning in her bakery."}]
    example = task.encode(tokenizer, row if name == "fill_mask" else talk, 64)
    torch.manual_seed(0)
    batch = task.collator(tokenizer, packing=False)([{"input_ids": example.input_ids, "labels": example.labels}])
    nats, labels = task.distance(model, [batch, batch], most=1)
    assert nats < 1e-6 and labels >= 1
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                parameter.normal_(std=10.0)
    assert task.distance(model, [batch, batch], most=1)[0] > 100 * nats + 1e-6
    assert task.distance(model, [batch, batch], most=10**6)[1] == 2 * labels
