"""The training doctor on recorded trainings: silent on healthy ones of every method, and right about broken ones."""

import itertools
import json
import random
from dataclasses import replace

import pytest

from qlora_app.cli import main
from qlora_app.methods import METHODS
from qlora_app.recipe import Recipe
from qlora_app.runs import Curve, RunStatus
from qlora_app.runs.diagnose import Seen, changed_recipe, findings, severe
from qlora_app.runs.diagnose.loops import is_going_round
from qlora_app.runs.diagnose.of_answers import repeats
from qlora_app.runs.proof import Change, Proof
from tests.fixtures.jobs import write_status
from tests.streams import BROKEN, HEALTHY, recorded, rows_of

STREAMS = {one["name"]: one for one in recorded()}


def seen_of(kept, rows=None, has_ended=True):
    """What is known of a recorded training, after some of its lines or all."""
    curve = Curve()
    for row in rows_of(kept) if rows is None else rows:
        curve.add(row)
    proof = Proof.from_json(kept["proof"]) if kept["proof"] and has_ended else None
    return Seen(
        curve=curve,
        recipe=Recipe.from_dict(kept["recipe"]),
        total=kept["total"],
        has_ended=has_ended,
        failure=kept["code"] if has_ended and kept["state"] == "failed" else "",
        samples=tuple(kept["samples"]) if has_ended else (),
        proof=proof,
    )


def told_while_it_trains(kept):
    """(what was found after one of its steps or another, the first severe one)"""
    rows, found, first = rows_of(kept), {}, None
    seen = seen_of(kept, [], has_ended=False)
    for row in rows:
        seen.curve.add(row)
        if "loss" in row and row["step"] % 4 == 2:
            found |= {one.code: one for one in findings(seen)}
            first = first or severe(seen)
    return list(found.values()), first


def test_every_method_and_thirty_healthy_trainings_are_recorded():
    assert set(STREAMS) == {*HEALTHY, *BROKEN} and len(HEALTHY) >= 30
    assert {method.model_fields["name"].default for method in METHODS} <= set(STREAMS)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_is_not_called_ill(name):
    kept = STREAMS[name]
    assert kept["state"] == "done"
    assert findings(seen_of(kept)) == []
    assert told_while_it_trains(kept) == ([], None)


@pytest.mark.parametrize("name", BROKEN)
def test_what_went_wrong_is_found(name):
    kept = STREAMS[name]
    code = name.split()[0]
    found = {one.code: one for one in [*told_while_it_trains(kept)[0], *findings(seen_of(kept))]}
    assert code in found
    if found[code].change:
        recipe = Recipe.from_dict(kept["recipe"])
        assert changed_recipe(recipe, found[code]) != recipe


def test_what_exploded_repeats_itself_too():
    assert repeats(seen_of(STREAMS["exploded unclipped"])).code == "repeats"


def made(steps=100, loss=lambda step: 3.0 / step, grad=lambda step: 1.0, pace=lambda step: 1000.0, held_out=()):
    """A stream that no training gave: what it logs at each step is made here."""
    seconds, tokens, rows = 0.0, 0, []
    for step in range(1, steps + 1):
        tokens += 500
        seconds += 500 / pace(step)
        rows.append(
            {
                "step": step,
                "loss": loss(step),
                "grad_norm": grad(step),
                "learning_rate": 1e-4,
                "tokens": tokens,
                "seconds": seconds,
                "tokens_per_second": tokens / seconds,
            }
        )
    rows += [{"step": step, "held_out_loss": value} for step, value in held_out]
    curve = Curve()
    for row in sorted(rows, key=lambda row: row["step"]):
        curve.add(row)
    return Seen(curve, Recipe(), steps, has_ended=True)


def falling(step):
    return 0.2 + 2.5 * 0.97**step


MADE = {
    "nothing_to_learn": made(loss=lambda step: 0.0),
    "no_gradient": made(loss=lambda step: 2.5, grad=lambda step: 0.0),
    "exploded": made(loss=lambda step: falling(step) if step < 60 else 2.6),
    "gradients_grow": made(loss=lambda step: 2.0, grad=lambda step: 1.1**step),
    "slowed_down": made(loss=falling, pace=lambda step: 1000.0 if step < 70 else 100.0),
    "overfits": made(loss=falling, held_out=[(0, 3.0), (20, 1.5), (40, 1.2), (60, 1.4), (80, 1.7), (100, 2.0)]),
    "noisy": made(steps=200, loss=lambda step: 0.2 if step % 2 else 2.8),
}


@pytest.mark.parametrize("code", MADE)
def test_what_cannot_be_recorded_is_found_too(code):
    seen = MADE[code]
    seen = replace(seen, recipe=Recipe.from_dict({"training": {"batch_size": 2}}))
    assert code in {one.code for one in findings(seen)}


def answering(*answers, expected="yes"):
    said = [{"question": str(at), "answer": answer, "expected": expected} for at, answer in enumerate(answers)]
    seen = made(loss=lambda step: 2.0 * 0.9**step)
    return replace(seen, samples=tuple({"step": 100, "is_cut": False} | one for one in said))


def test_only_rows_it_learned_say_that_it_learned_the_wrong_tokens():
    seen = answering("no", "no", "no", "no")
    assert findings(seen) == [], "it has not seen them, and may have learned others by heart"
    proof = Proof.from_json(STREAMS["lora"]["proof"])
    learned = replace(proof.learned, questions=8, tokens=10.0, exact_match=Change(0.0, 0.0))
    wrong = replace(proof, learned=learned, loss=replace(proof.loss, last=1e-4))
    assert "mask_suspected" in {one.code for one in findings(replace(seen, proof=wrong))}


def test_answers_that_go_round_are_wrong_only_where_the_right_ones_do_not():
    zeros = " ".join("0" * 8)
    assert repeats(answering(*[zeros] * 4, expected=zeros)) is None
    assert repeats(answering(*[zeros] * 4, expected="0 1")).code == "repeats"
    assert repeats(answering(*[zeros] * 4, expected="")).code == "repeats"


@pytest.mark.parametrize("code", ["training.loss_of_rate", "training.loss_of_method", "training.loss_of_rows"])
def test_a_loss_that_is_no_number_is_explained_by_its_cause(code):
    seen = replace(made(loss=falling), failure=code)
    (found,) = findings(seen)
    assert (found.code, found.is_severe) == ("not_a_number", True)
    assert bool(found.change) is (code != "training.loss_of_rows")


NOISES = {
    "even": lambda luck: luck.uniform(0.4, 1.6),
    "skewed": lambda luck: luck.lognormvariate(-0.18, 0.6),
    "very skewed": lambda luck: luck.lognormvariate(-0.405, 0.9),
    "rare": lambda luck: luck.expovariate(0.25) if luck.random() < 0.25 else 0.01,
}
COURSES = {
    "flat": lambda part: 1.0,
    "slow": lambda part: 1 - 0.5 * part,
    "fast": lambda part: 0.15 + 0.85 * 0.001**part,
}


def stopped_at(course, noise, batch, is_measured, seed, steps=200):
    """The first step at which such a training, whose loss begins at 2, is said to be broken; None where it is not."""
    luck, curve, recipe = random.Random(seed), Curve(), Recipe()
    for step in range(steps + 1):
        level = 2 * course(step / steps)
        if is_measured and step % 40 == 0:
            curve.add({"step": step, "held_out_loss": level})
        if step:
            drawn = sum(noise(luck) for _ in range(batch)) / batch
            curve.add({"step": step, "loss": level * drawn, "grad_norm": 1.0})
        if step % 10 == 0 and severe(Seen(curve, recipe, steps)):
            return step
    return None


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("course", COURSES)
def test_a_healthy_training_is_not_stopped_however_it_jumps(course, noise):
    kinds = itertools.product((1, 2, 4, 16), (False, True), range(2))
    assert not any(stopped_at(COURSES[course], NOISES[noise], *kind) for kind in kinds)


EXPLOSIONS = {
    "far above": lambda part: 1.0 if part < 0.3 else 8.0,
    "lost": lambda part: 0.02**part if part < 0.5 else 2.5,
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("course", EXPLOSIONS)
def test_what_explodes_is_stopped_however_it_jumps(course, noise):
    # Where one example in four has any loss, so few steps of so few examples tell too little.
    batches = (16,) if noise == "rare" else (1, 4, 16)
    for kind in itertools.product(batches, (False, True), range(4)):
        assert stopped_at(EXPLOSIONS[course], NOISES[noise], *kind), kind


def test_who_is_surely_wrong_on_rows_it_never_saw_overfits_and_goes_on():
    seen = made(
        loss=lambda step: 0.01 + 0.68 * 0.9**step,
        held_out=[(0, 0.69), (20, 0.6), (40, 0.9), (60, 1.2), (80, 1.5), (100, 1.75)],
    )
    assert severe(seen) is None and "overfits" in {one.code for one in findings(seen)}


def test_a_good_stream_that_was_made_is_healthy():
    assert findings(made(loss=falling)) == []


def test_a_long_run_costs_no_more_than_a_short_one():
    seen = made(steps=20_000, loss=lambda step: falling(step / 100))
    assert len(seen.curve.buckets) <= 2000 and findings(seen) == []


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("the cat and the cat and the cat and the cat and the", True),
        ("no no no no no no no no no", True),
        ("Theo lives on Orchard Lane, and the baker lives on Mill Street.", False),
        ("ha ha ha", False),
        ("", False),
        ("的的的的的的的的的的的的的的的的的的的的的的的的", True),
    ],
)
def test_an_answer_that_goes_round(text, does):
    assert is_going_round(text) is does


def test_the_command_says_what_to_change(store, capsys):
    run = store.create(Recipe(name="broken"))
    write_status(run, RunStatus("stopped", step=100, total=100))
    assert main(["diagnose", "latest"]) == 0 and "nothing is wrong" in capsys.readouterr().out
    with run.hold() as out:
        for step in range(1, 101):
            out.append_metric({"step": step, "loss": 3.0 if step < 20 else 30.0, "grad_norm": 1.0})
    assert main(["diagnose", "latest", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["code"], found["severe"]) == ("exploded", True)
    assert main(["diagnose", "latest"]) == 1
    said = capsys.readouterr().out
    assert found["sentence"] in said and f"training.learning_rate={found['change']['training.learning_rate']}" in said
