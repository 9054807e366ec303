"""Fit and time of a recipe, measured before it is trained: arithmetic, the search for a size, one real worker."""

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from qlora_app import effort
from qlora_app.cli import main
from qlora_app.cli.measuring import clock_in
from qlora_app.effort import counted
from qlora_app.formatting import step_time
from qlora_app.jobs import JobStore
from qlora_app.measurement import (
    Costs,
    Measurement,
    Size,
    checkpoints_of,
    divisors,
    foreseen_peak,
    measure_job,
    newest_measurement,
    newest_measurements,
    run_bytes,
    run_seconds,
    same_cost,
    sizes_that_fit,
)
from qlora_app.recipe import Recipe, Training
from qlora_app.reporting import Reporting
from qlora_app.runs import RunStore
from qlora_app.ui.train.measured import Measured
from tests.conftest import short_recipe

SCRIPT = Path(__file__).parent.parent / "qlora_app/ui/train/measured.js"

MEASURED = Measurement(
    batch_size=8,
    micro_batch=2,
    sizes=[Size(micro_batch=2, peak=2e9, seconds=1.0), Size(micro_batch=4, peak=3e9, seconds=0.8)],
    room=4e9,
    longest=128,
    steps=100,
    costs=Costs(step=1.0),
    disk_bytes=1e6,
    disk_free=1e9,
    seconds=120.0,
)


def recipe_with(**training) -> Recipe:
    return Recipe(training=Training(**training))


# ---- the largest size


@drawn(st.integers(1, 512), st.data())
def test_the_largest_size_that_fits_is_found_and_none_that_does_not_is_tried(batch, data):
    """Where each example takes as much as the others."""
    first = data.draw(st.sampled_from(divisors(batch)))
    base, each = data.draw(st.integers(0, 1000)), data.draw(st.integers(1, 50))
    room = data.draw(st.integers(1, 30_000))
    tries = []

    def tried(count):
        tries.append(count)
        return Size(micro_batch=count, peak=base + each * count, seconds=1.0)

    sizes = sizes_that_fit(batch, first, room, base, tried, lambda: True)
    fitting = [count for count in divisors(batch) if base + each * count <= room]
    assert max((one.micro_batch for one in sizes), default=0) == max(fitting, default=0)
    assert all(batch % one.micro_batch == 0 for one in sizes), "the effective batch stays"
    assert [one.micro_batch for one in sizes] == sorted(one.micro_batch for one in sizes)
    assert all(count in fitting for count in tries if count > first)
    assert len(tries) == len(set(tries))


@drawn(st.integers(1, 256), st.data())
def test_whatever_a_size_takes_only_what_was_tried_and_fits_is_named(batch, data):
    first = data.draw(st.sampled_from(divisors(batch)))
    peaks = {count: data.draw(st.none() | st.floats(0, 100)) for count in divisors(batch)}
    seen = []

    def tried(count):
        seen.append(count)
        peak = peaks[count]
        return None if peak is None else Size(micro_batch=count, peak=peak, seconds=1.0)

    sizes = sizes_that_fit(batch, first, 50.0, 0.0, tried, lambda: True)
    named = [one.micro_batch for one in sizes]
    assert set(named) <= set(seen) and all(peaks[count] is not None and peaks[count] <= 50 for count in named)
    at_first = peaks[first]
    assert (first in named) == (at_first is not None and at_first <= 50)


def test_without_time_no_other_size_is_tried():
    sizes = sizes_that_fit(8, 2, 1e9, 0, lambda n: Size(micro_batch=n, peak=n, seconds=1), lambda: False)
    assert [one.micro_batch for one in sizes] == [2]


def test_a_peak_is_foreseen_by_what_the_last_examples_took():
    one, two = Size(micro_batch=1, peak=110, seconds=1), Size(micro_batch=2, peak=130, seconds=1)
    assert foreseen_peak([one], 100, 4) == 140
    assert foreseen_peak([one, two], 100, 4) == 170


# ---- the whole run


def test_a_run_takes_the_sum_of_its_parts():
    costs = Costs(loading=3, step=2, evaluation=10, samples=5, checkpoint=1, proof=7)
    training = Training(evaluations=4, samples=2, checkpoints=3)
    assert run_seconds(costs, training, 100) == 3 + 200 + 6 * 10 + 3 * 5 + 3 * 1 + 7, "the base, each, and the end"
    few = Training(evaluations=0, samples=0, checkpoints=0)
    assert run_seconds(costs, few, 100) == 3 + 200 + 2 * 10 + 7, "the proof measures base and adapter all the same"


@pytest.mark.parametrize(("steps", "wanted", "saved"), [(100, 4, 4), (3, 4, 3), (10, 4, 4), (7, 3, 3), (5, 0, 0)])
def test_checkpoints_are_counted_as_the_trainer_saves_them(steps, wanted, saved):
    assert checkpoints_of(Training(checkpoints=wanted), steps) == saved


@pytest.mark.parametrize(
    ("training", "steps", "taken"),
    [
        ({"checkpoints": 4}, 100, 3 * 50 + 2 * 7),
        ({"checkpoints": 4, "keep": "last"}, 100, 3 * 50 + 7),
        ({"checkpoints": 1, "evaluations": 0}, 100, 50 + 7),
        ({"checkpoints": 0}, 100, 2 * 7),
        ({"checkpoints": 4}, 2, 2 * 50 + 2 * 7),
    ],
)
def test_the_disk_holds_the_newest_checkpoints_and_the_adapters(training, steps, taken):
    assert run_bytes(Training(**training), steps, 50, 7) == taken


def test_a_recipe_of_the_same_cost_takes_the_disk_that_its_own_settings_do(home, monkeypatch):
    monkeypatch.setattr(effort, "steps_of", lambda recipe, data_folder: 100)
    measured = MEASURED.model_copy(update={"checkpoint_bytes": 50.0, "adapter_bytes": 7.0, "disk_bytes": 164.0})
    asked, other = short_recipe(checkpoints=4), short_recipe(checkpoints=0, keep="last")
    assert same_cost(asked, other)
    assert effort.counted((asked, measured), other, home / "data").disk_bytes == 7


def test_a_change_is_worth_it_where_it_is_quicker_or_the_only_one_that_fits():
    assert MEASURED.fits and MEASURED.largest == 4 and MEASURED.better == MEASURED.sizes[1]
    as_quick = [MEASURED.sizes[0], Size(micro_batch=4, peak=3e9, seconds=0.99)]
    assert MEASURED.model_copy(update={"sizes": as_quick}).better is None
    smaller = MEASURED.model_copy(update={"micro_batch": 8})
    assert not smaller.fits and smaller.better == MEASURED.sizes[1]
    full = MEASURED.model_copy(update={"disk_free": 1.0})
    assert not full.fits and not full.to_json()["fits"] and full.now, "memory alone is not enough"
    none = MEASURED.model_copy(update={"sizes": []})
    assert not none.fits and none.largest == 0 and none.better is None


def test_each_verdict_has_its_code():
    codes = [
        one.verdict().code
        for one in (
            MEASURED,
            MEASURED.model_copy(update={"sizes": []}),
            MEASURED.model_copy(update={"micro_batch": 8}),
            MEASURED.model_copy(update={"disk_free": 1.0}),
        )
    ]
    assert codes == ["measured.fits", "measured.too_large", "measured.smaller", "measured.no_disk"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.00001, "0.001 s"), (0.0341, "0.034 s"), (9.94, "9.9 s"), (99.6, "1 min 40 s")]
)
def test_a_step_is_never_said_in_powers_of_ten(seconds, said):
    assert step_time(seconds) == said
    found = MEASURED.model_copy(update={"sizes": [Size(micro_batch=2, peak=2e9, seconds=seconds)]})
    assert f"100 steps of {said}. At most" in str(found.verdict())


def test_an_end_on_another_day_is_told_with_its_day():
    late = datetime(2026, 11, 30, 23, 30)
    assert [clock_in(hours * 3600, late) for hours in (0.25, 1, 49)] == [
        "23:45",
        "00:30 on Tuesday 1 December",
        "00:30 on Thursday 3 December",
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")
def test_an_end_on_another_day_is_told_with_its_day_on_the_page():
    around = (
        "const element = {querySelectorAll: () => [], addEventListener() {}}, watch = () => 0; setInterval = () => 0;"
    )
    late = "new Date(2026, 10, 30, 23, 30).getTime()"
    asked = f"[900, 3600].map(seconds => clockIn({late}, seconds, 'de'))"
    program = f"{around}\n{SCRIPT.read_text(encoding='utf-8')}\nconsole.log(JSON.stringify({asked}))"
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True, timeout=20)
    today, tomorrow = json.loads(done.stdout)
    assert today == "23:45" and tomorrow.startswith("Di") and "1. Dez" in tomorrow and tomorrow.endswith("00:30")


# ---- which recipe it is of


def test_what_changes_no_step_leaves_a_measurement_as_it_is():
    recipe = Recipe()
    assert same_cost(recipe, recipe_with(learning_rate=1e-3, epochs=1, evaluations=1, seed=3))
    assert same_cost(recipe, recipe.model_copy(update={"name": "other"}))
    assert same_cost(recipe, recipe.model_copy(update={"reporting": Reporting(report_to="wandb")}))
    assert not same_cost(recipe, recipe_with(batch_size=32))
    assert not same_cost(recipe, recipe_with(micro_batch=2))
    assert not same_cost(recipe, recipe_with(max_length=2048))


def test_what_is_measured_already_is_not_measured_twice_at_once(home):
    store, recipe = JobStore(home / "jobs"), Recipe()
    job = measure_job(store, recipe, recipe)
    job.request("start")
    assert measure_job(store, recipe, recipe).id == job.id
    other = measure_job(store, recipe_with(batch_size=32), recipe_with(batch_size=32))
    assert newest_measurement(store, recipe) is None, "it has not measured yet"
    for one in (job, other):
        (one.folder / "result.json").write_text("{}")
    assert [one.id for one in newest_measurements(store, recipe)] == [job.id, other.id]
    (other.folder / "job.yaml").write_text("kind: measure\n")
    assert newest_measurement(store, recipe_with(batch_size=32)) is None, "its file says something else"


def test_a_form_that_changes_lists_the_jobs_once(page, monkeypatch):
    store, listed, whole = JobStore(page.settings.jobs), [], JobStore.list
    for recipe in (Recipe(), recipe_with(batch_size=32)):
        job = measure_job(store, recipe, recipe)
        (job.folder / "result.json").write_text(json.dumps(MEASURED.to_json()))
    monkeypatch.setattr(JobStore, "list", lambda store: listed.append(store) or whole(store))
    assert "other settings" in Measured(page).words(recipe_with(batch_size=8))
    assert len(listed) == 1


def test_what_is_being_measured_is_not_measured_once_more_at_its_end(home):
    Recipe().save(home / "mine.yaml")
    again = ["measure", str(home / "mine.yaml"), "--no-watch"]
    assert main(again) == 0
    (job,) = JobStore(home / "jobs").list()
    assert job.take("start"), "it waits for its turn"
    with job.hold():
        assert main(again) == 0
        assert len(JobStore(home / "jobs").list()) == 1 and not job.is_asked("start")


def test_a_size_that_was_tried_is_measured_too(home):
    """A click on "Use 4 at once" does not make its own verdict old."""
    store, asked = JobStore(home / "jobs"), recipe_with()
    job = measure_job(store, asked, asked)
    (job.folder / "result.json").write_text(json.dumps(MEASURED.to_json()))
    taken = recipe_with(micro_batch=4, epochs=asked.training.epochs / 2)
    assert newest_measurement(store, taken).id == job.id
    found = counted((asked, MEASURED), taken, home / "data")
    assert (found.micro_batch, found.steps, found.costs.step, found.better) == (4, 50, 0.8, None)
    assert found.seconds == pytest.approx(40) and "0.8 s" in str(found.verdict())
    assert MEASURED.at(4).seconds == pytest.approx(100) and MEASURED.at(8) is MEASURED is MEASURED.at(0)
    for other in (recipe_with(micro_batch=8), recipe_with(micro_batch=4, batch_size=32)):
        assert newest_measurement(store, other) is None
    smaller = MEASURED.model_copy(update={"micro_batch": 8})
    assert not smaller.fits and smaller.at(4).fits


# ---- by a real worker


@pytest.mark.slow
def test_the_command_measures_a_recipe_and_leaves_no_run(home, capsys):
    short_recipe(max_steps=40, batch_size=4, micro_batch=2, packing=True).save(home / "mine.yaml")
    assert main(["measure", str(home / "mine.yaml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["micro_batch"] for one in found["sizes"]] == [2, 4] and found["largest"] == 4
    assert found["steps"] == 40 and found["fits"] and found["verdict"].startswith("Fits")
    costs = found["costs"]
    assert all(costs[name] > 0 for name in Costs.model_fields)
    assert 40 * costs["step"] < found["seconds"] < 600 and 2e8 < found["sizes"][0]["peak"] < found["room"]
    assert found["adapter_bytes"] < found["checkpoint_bytes"] < found["disk_bytes"] < found["disk_free"]
    assert RunStore(home / "runs").list() == []
    (job,) = JobStore(home / "jobs").list()
    assert not (job.folder / "trial").exists()
    shutil.rmtree(job.folder)
