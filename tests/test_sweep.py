"""Several values for some settings: what is typed, which runs it makes, who goes on, and how they are ranked."""

import itertools
import json
import math
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.cli import main
from qlora_app.cli.sweeping import _as_row, _table
from qlora_app.jobs import State
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus, RunStore
from qlora_app.runs.summary import RunSummary
from qlora_app.settings import Settings
from qlora_app.sweep import MOST_RUNS, Drawn, Halving, Listed, Sweeps, checked, plan_of, values_of
from qlora_app.sweep.halving import goes_on
from qlora_app.sweep.ranking import ranked
from qlora_app.sweep.spec import SPEC_FILE
from qlora_app.sweep.store import DECISIONS
from tests.fixtures.jobs import write_status
from tests.refusing import refused

RATE, RANK = "training.learning_rate", "method.rank"
TICKS = itertools.count(10)


@pytest.fixture
def sweeps(store):
    return Sweeps(store.root.parent / "sweeps", store)


@pytest.mark.parametrize(
    "name, typed, expected",
    [
        (RATE, "1e-4, 3e-4", ("1e-4", "3e-4")),
        (RANK, "8..64 step 8", (8, 16, 24, 32, 40, 48, 56, 64)),
        (RANK, "8..64 step x2", (8, 16, 32, 64)),
        (RANK, "4, 8..16 step 8, 64,", ("4", 8, 16, "64")),
        (RATE, "0..0.3 step 0.1", (0.0, 0.1, 0.2, 0.3)),
        (RATE, "1e-5..1e-3 log 3", (1e-5, 1e-4, 1e-3)),
        (RATE, "0..1 in 5", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("training.scheduler", "cosine,linear", ("cosine", "linear")),
        ("training.sample_questions", "[[a, b], []]", (["a", "b"], [])),
    ],
)
def test_what_is_typed_is_those_values(name, typed, expected):
    assert values_of(name, typed) == Listed(expected)


@pytest.mark.parametrize(
    "name, typed, code",
    [
        (RATE, " , ", "sweep.no_values"),
        (RATE, "1..", "sweep.no_range"),
        (RATE, "3..1 step 1", "sweep.range_upside_down"),
        (RATE, "0..1 log 3", "sweep.range_upside_down"),
        (RATE, "1..2 step 0", "sweep.step_too_small"),
        (RATE, "1..2 step x1", "sweep.step_too_small"),
        (RATE, "1..1e12 step 1e-9", "sweep.too_many_values"),
        (RATE, "1e-5..1e-3 log, 1", "sweep.range_in_list"),
        ("training.scheduler", "1..3 step 1", "sweep.range_of_words"),
        ("training.sample_questions", "a, b", "sweep.lists_wanted"),
        ("name", "a, b", "sweep.never_several"),
    ],
)
def test_what_is_no_list_or_range_is_said_at_its_setting(name, typed, code):
    with refused(code) as caught:
        values_of(name, typed)
    assert list(caught.value.problems) == [name]


numbers = st.floats(1e-9, 1e6, allow_nan=False).map(lambda one: float(f"{one:.3g}"))


@given(st.lists(numbers, min_size=1))
def test_a_list_of_any_length_is_its_different_values_in_their_order(listed):
    assert values_of(RATE, ",".join(map(repr, listed))).values == tuple(dict.fromkeys(map(repr, listed)))


@given(numbers, numbers, st.integers(2, 60), st.sampled_from(["log", "in"]))
def test_so_many_values_of_a_range_rise_from_end_to_end(one, other, count, how):
    low, high = sorted((one, other))
    found = values_of(RATE, f"{low!r}..{high!r} {how} {count}").values
    assert found[0] == low and found[-1] == high and list(found) == sorted(found) and len(found) <= count


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=5, unique=True), min_size=1, max_size=3), st.data())
def test_the_product_is_every_combination_once_and_a_sample_is_the_same_part_of_it_for_a_seed(lists, data):
    names = (RANK, "training.batch_size", "training.max_steps")
    given = dict(zip(names, lists, strict=False))
    whole = plan_of(Recipe(), given)
    combinations = [tuple(one.values.values()) for one in whole.members]
    assert len(set(combinations)) == len(combinations) == math.prod(map(len, lists)) == whole.possible
    sample = data.draw(st.integers(1, 10))
    drawn, again = (plan_of(Recipe(), given, sample, seed=7) for _ in range(2))
    assert drawn == again and len(drawn.members) == min(sample, len(combinations))
    assert {tuple(one.values.values()) for one in drawn.members} <= set(combinations)


@given(numbers, numbers, st.booleans(), st.integers(0, 2**32))
def test_what_is_drawn_lies_in_its_range(one, other, is_log, seed):
    low, high = sorted((one, other))
    drawn = values_of(RATE, f"{low!r}..{high!r}{' log' if is_log else ''}")
    assert isinstance(drawn, Drawn) and low <= drawn.draw(random.Random(seed)) <= high


def test_a_plan_names_its_runs_by_what_differs_and_makes_none_twice():
    plan = plan_of(Recipe(name="mine"), {"method.name": "lora, ia3", RANK: [8, 16]} | {RATE: "1e-4"})
    with refused("recipe.wrong_settings"):
        plan_of(Recipe(), {RANK: "8, 0"})
    ranks = [(one.recipe.method.name, one.values.get(RANK)) for one in plan.members]
    assert ranks == [("lora", 8), ("lora", 16), ("ia3", None)]
    with refused("sweep.of_no_method"):
        plan_of(Recipe(), {"method.name": "ia3", RANK: "8, 16"})
    assert plan.members[0].recipe.name == "mine · LoRA · rank 8 · lr 1e-4"


def test_a_huge_product_is_refused_or_sampled_and_never_made():
    huge = {f"training.{name}": "1..9000 step 1" for name in ("max_steps", "seed", "batch_size")}
    with refused("sweep.too_many_runs"):
        plan_of(Recipe(), huge)
    huge["training.batch_size"] = "1..4000 step 1"
    assert len(plan_of(Recipe(), huge, sample=5).members) == 5
    with refused("sweep.range_without_steps"):
        plan_of(Recipe(), {RATE: "1e-5..1e-3 log"})
    with refused("sweep.too_many_runs"):
        plan_of(Recipe(), {RATE: "1e-5..1e-3 log"}, sample=MOST_RUNS + 1)


def test_members_are_checked_as_a_start_is(home):
    plan = checked(plan_of(Recipe(), {RANK: "4, 8"}), Settings(home=home))
    assert [one.values[RANK] for one in plan.members] == [4, 8]
    wrong = plan_of(Recipe(), {"task.name": "chat, classification"})
    with refused("sweep.members_wrong", 1, 2) as caught:
        checked(wrong, Settings(home=home))
    assert "task.name" in caught.value.problems


# ---- who goes on


@given(st.lists(numbers, min_size=1, unique=True), st.sampled_from([0.25, 1 / 3, 0.5]))
def test_the_first_and_the_best_go_on_and_in_the_long_run_no_more_than_the_share(losses, keep):
    kept = [loss for place, loss in enumerate(losses) if goes_on(loss, losses[:place], keep)]
    assert losses[0] in kept and min(losses) in kept
    rising = sorted(losses)
    still = [loss for place, loss in enumerate(rising) if goes_on(loss, rising[:place], keep)]
    assert len(still) <= len(rising) * keep + 1


def measured(run, losses, total=100, state: State = "running"):
    """A run that came so far: held-out losses at tenths of its steps."""
    run.take("start")
    with run.hold() as out:
        for place, loss in enumerate(losses, start=1):
            out.append_metric({"step": place * total // 10, "held_out_loss": loss})
    step = len(losses) * total // 10
    write_status(run, RunStatus(state, step=step, total=total, held_out_loss=losses[-1]))


def test_a_hopeless_run_is_stopped_once_and_again_after_a_restart_no_other(sweeps, store):
    sweep = sweeps.start(plan_of(Recipe(), {RANK: "2, 4, 8, 16"}), Halving(when=(0.3,)))
    one, two, three, four = sweep.runs()
    assert all(run.is_asked("start") for run in sweep.runs()) and sweeps.of_run(two.id).id == sweep.id
    measured(one, [5, 4, 3, 2, 1, 1, 1, 1, 1, 1], state="done")  # nobody looked meanwhile
    measured(two, [5, 5])
    sweep.judge(two)
    assert sweep.decisions() == [], "too early to say"
    measured(two, [5, 5, 5, 5])
    sweep.judge(two)
    assert two.is_asked("stop") and [(d.run, d.loss, d.goes_on) for d in sweep.decisions()] == [
        (one.id, 3, True),
        (two.id, 5, False),
    ]
    two.forget_stop()
    measured(three, [2, 2, 2])
    for again in (sweep, Sweeps(sweeps.root, store).get(sweep.id)):
        again.judge(three)
        again.judge(two)
    assert not three.is_asked("stop") and not two.is_asked("stop"), "somebody resumed it"
    measured(four, [9, 9, 2.5])
    sweep.judge(four)
    assert not four.is_asked("stop") and len(sweep.decisions()) == 4


def test_a_run_that_is_being_proven_goes_on_and_one_that_ended_whole_was_not_stopped(sweeps):
    sweep = sweeps.start(plan_of(Recipe(), {RANK: "2, 4, 8"}), Halving(when=(0.3,)))
    one, two, three = sweep.runs()
    measured(one, [1] * 10, state="done")
    measured(two, [5] * 10)
    sweep.judge(two)
    assert not two.is_asked("stop") and sweep.decisions()[-1].goes_on
    measured(three, [5] * 9)
    sweep.judge(three)
    assert three.is_asked("stop")
    for state, is_stopped in (("done", False), ("stopped", True)):
        write_status(three, RunStatus(state, step=90, total=100, held_out_loss=5))
        told = {one.run: one.to_json()["stopped_by_sweep"] for one in sweep.ranked()}
        assert told == {one.id: False, two.id: False, three.id: is_stopped}


@pytest.mark.parametrize(
    "values",
    [
        {"base_model.precision": "nf4, bf16"},
        {"training.max_length": "64, 128"},
        {RANK: "8", "training.measured_examples": "8, 16"},
    ],
)
def test_what_cannot_be_compared_is_not_halved(sweeps, values):
    with refused("sweep.losses_not_comparable"):
        sweeps.start(plan_of(Recipe(), values), Halving())
    assert sweeps.list() == []


def test_what_is_not_measured_is_not_halved(sweeps, home):
    data = home / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "mine.jsonl").write_text("".join(f'{{"prompt": "{n}?", "completion": "{n}."}}\n' for n in range(40)))
    for share, is_held_out in ((0, False), (0.5, True)):
        own = Recipe.from_dict({"dataset": {"source": "file", "id": "mine.jsonl", "held_out_share": share}})
        plan = checked(plan_of(own, {RANK: "4, 8"}), Settings(home=home))
        assert plan.holds_out == is_held_out
        if not is_held_out:
            with refused("sweep.nothing_held_out"):
                sweeps.start(plan, Halving())
    late = plan_of(Recipe(), {"training.evaluations": "8, 1"})
    with refused("sweep.not_measured_in_time"):
        sweeps.start(late, Halving())
    assert sweeps.list() == []


def broken(value, data):
    """A value of JSON with something else in one place of it."""
    odd = data.draw(st.sampled_from([None, 7, -1.5, "", "x", [], ["x"], {}, {"x": 1}, True]))
    if not isinstance(value, dict | list) or not value or data.draw(st.integers(0, 3)) == 0:
        return odd
    at = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    copy = value.copy()
    if isinstance(value, dict) and data.draw(st.booleans()):
        del copy[at]
    else:
        copy[at] = broken(value[at], data)
    return copy


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_sweep_costs_no_other_one(sweeps, data):
    found = sweeps.list()
    if not found:
        found = [sweeps.start(plan_of(Recipe(), {RANK: "2, 4"}), Halving(when=(0.3,))) for _ in range(2)]
    whole, other = sorted(found, key=lambda sweep: sweep.id)
    kept = (other.folder / SPEC_FILE).read_text()
    try:
        text = json.dumps(broken(json.loads(kept), data))
        (other.folder / SPEC_FILE).write_text(text[: data.draw(st.sampled_from([len(text), 40]))])
        os.utime(other.folder / SPEC_FILE, ns=(0, next(TICKS)))
        (other.folder / DECISIONS).write_text(
            '{"run": 1, "when": "x", "step": [], "loss": 1, "before": 0, "goes_on": 1}\n'
        )
        assert {one.id for one in sweeps.list()} == {whole.id, other.id}
        for run in whole.runs():
            assert sweeps.of_run(run.id).id == whole.id and whole.damage() is None
        assert len(other.members()) == 2 or other.damage()
        assert other.decisions() == [] and len(other.ranked()) == len(other.members())
        assert _as_row(other, other.ranked())["sweep"] == other.id and _table(other, other.ranked())
        for run in other.runs():
            other.judge(run)
    finally:
        (other.folder / SPEC_FILE).write_text(kept)
        os.utime(other.folder / SPEC_FILE, ns=(0, 1))


# ---- what came of it


def row(id, state, held_out=None, score=None):
    return RunSummary(id, id, state, 0.0, held_out=held_out, score=score)


def test_the_most_right_is_first_then_the_lowest_loss_then_what_was_stopped_early():
    rows = [
        row("low", "done", 1.0, 0.0),
        row("right", "done", 2.0, 0.5),
        row("early", "stopped", 0.5),
        row("waits", "queued"),
        row("failed", "failed"),
        row("high", "done", 1.5, 0.0),
    ]
    there = {one.id: one for one in rows}
    found = ranked([(one.id, {}) for one in rows] + [("gone", {})], there.get, {})
    assert [(one.run, one.place) for one in found] == [
        ("right", 1), ("low", 2), ("high", 3), ("early", 4), ("waits", 0), ("failed", 0), ("gone", 0)
    ]  # fmt: skip


# ---- by command


def test_the_command_shows_starts_lists_and_stops(home, capsys):
    words = ["sweep", "starter", "training.learning_rate=1e-3,2e-3", "method.rank=8..16 step 8", "training.max_steps=4"]
    assert main([*words, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {RATE: 1e-3, RANK: 8}
    assert main([*words, "--no-watch", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == 4 and [one["state"] for one in told["ranked"]] == ["queued"] * 4
    runs = RunStore(home / "runs").list()
    assert all(run.recipe().training.max_steps == 4 for run in runs)
    assert main(["sweeps", "latest", "--stop"]) == 0 and "rank 16" in capsys.readouterr().out
    assert not any(run.is_asked("start") for run in runs)
    assert main(["sweeps", "--json"]) == 0 and json.loads(capsys.readouterr().out)[0]["runs"] == 4
    assert main(["sweep", "starter", "--halving", "2"]) == 2
    assert main(["sweeps", "none"]) == 2
