"""How long a training takes: by the speed of this machine, by runs, by a measurement; one law for all of them."""

import json
import os

import pytest

from qlora_app import effort, speed
from qlora_app.effort import (
    Pace,
    awaits_speed,
    effort_choices,
    expected_seconds,
    pace_measured,
    starter_pace,
    work_of,
    work_of_training,
)
from qlora_app.hardware import Machine
from qlora_app.jobs import JobStore
from qlora_app.measurement import measure_job
from qlora_app.preflight import examples_of
from qlora_app.presets import Presets
from qlora_app.runs import RunStatus
from qlora_app.settings import Settings
from qlora_app.speed import Speed, keep, machine_key, pace_with, slowed, speed_here
from qlora_app.train.calibrate import calibrate
from tests.fixtures.page import write_status
from tests.test_measurement import MEASURED

STARTER = Presets().load("starter")


@pytest.fixture
def calm(monkeypatch):
    """A machine on which nothing else runs."""
    monkeypatch.setattr(speed, "_others", lambda: 0.0)


# ---- this machine


def test_a_speed_is_kept_for_this_machine_and_no_other(home, monkeypatch):
    assert speed_here(home) is None
    keep(home, Speed(5e-5))
    assert speed_here(home) == Speed(5e-5)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert speed_here(home) is None, "as on another processor"
    keep(home, Speed(9e-5))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert speed_here(home) == Speed(5e-5), "both are remembered"


@pytest.mark.parametrize("damaged", ["", "[1]", "{", '{"KEY": "fast"}', '{"KEY": 0.0}', '{"KEY": 7.0}'])
def test_a_damaged_file_is_measured_again(home, damaged):
    (home / speed.FILE).write_text(damaged.replace("KEY", machine_key().replace('"', "")))
    assert speed_here(home) is None
    keep(home, Speed(5e-5))
    assert speed_here(home) == Speed(5e-5)


def test_who_shares_the_cores_takes_longer():
    assert slowed(2, 2, 0.0) == 1.0 == slowed(2, 8, 4.0), "there is room beside it"
    assert slowed(2, 2, 1.0) == 1.5
    assert slowed(2, 2, 100.0) == speed.MOST_SLOWED


def test_more_threads_are_never_slower(monkeypatch):
    monkeypatch.setattr(speed, "usable_cores", lambda: 8)
    paces = []
    for threads in ("1", "2", "8"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        paces.append(pace_with(Speed(1e-4), load=0.0))
    assert paces == sorted(paces, reverse=True) and paces[0] == 1e-4 and paces[-1] > 1e-4 / 8


@pytest.mark.slow
def test_a_waiting_worker_measures_it_in_a_moment_and_leaves_it_when_it_is_wanted(home):
    settings = Settings.from_environment()
    assert calibrate(settings, lambda: True) is None and speed_here(home) is None
    found = calibrate(settings, lambda: False)
    assert found is not None and 1e-6 < found.pace < 1e-2 and speed_here(home) == found
    (home / speed.FILE).write_text(json.dumps({machine_key(): 0.5}))
    os.utime(home / speed.FILE, ns=(1, 1))
    assert calibrate(settings, lambda: False) == Speed(0.5), "what is known is not measured again"


# ---- a run by it


def test_a_fresh_page_says_whose_times_it_names(store, home, calm, monkeypatch):
    before, note = effort_choices(STARTER, store, home / "data")
    assert "another computer, until this one is measured" in note and awaits_speed(store)
    with monkeypatch.context() as with_gpu:
        with_gpu.setattr(effort, "here", lambda: Machine("cuda", 8e9, 8e9))
        assert not awaits_speed(store), "nobody measures it"
        assert effort_choices(STARTER, store, home / "data")[1] == note, "and for all that it is not this machine's"
    keep(home, Speed(4e-4))
    after, note = effort_choices(STARTER, store, home / "data")
    assert "by the speed of this machine" in note and not awaits_speed(store)
    assert before != after and "min" in after[1][0]
    monkeypatch.setattr(speed, "_others", lambda: 40.0)
    busy, note = effort_choices(STARTER, store, home / "data")
    assert "others use now" in note and busy != after


def test_an_own_run_is_waited_for_and_no_other_that_slows_it(store, home, monkeypatch):
    monkeypatch.setattr(effort, "A_MOMENT", 1e-9)
    monkeypatch.setattr(speed, "usable_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(speed, "_others", lambda: 2.0)
    keep(home, Speed(1e-4))
    before, note = effort_choices(STARTER, store, home / "data")
    assert "others use now" in note
    with store.create(STARTER).hold():
        alone, note = effort_choices(STARTER, store, home / "data")
    assert "others" not in note and alone != before


def test_what_is_measured_and_answered_counts_too(home):
    examples = examples_of(STARTER.dataset, home / "data")
    bare = STARTER.training.model_copy(update={"evaluations": 0, "samples": 0, "scored_questions": 0})
    silent = STARTER.model_copy(update={"training": bare})
    learned = 2.3 * examples.characters
    assert work_of_training(silent, examples, 2.3) == pytest.approx(learned)
    assert learned < work_of(silent, examples, 2.3) < work_of(STARTER, examples, 2.3) < 1.2 * learned
    unmeasured = bare.model_copy(update={"measured_examples": 0})
    without = work_of(STARTER.model_copy(update={"training": unmeasured}), examples, 2.3)
    assert without < work_of(silent, examples, 2.3), "the proof measures all the same"


def test_a_run_that_ended_here_says_more_than_the_speed(store, home, calm):
    keep(home, Speed(1e-4))
    by_speed = expected_seconds(STARTER, store, home / "data")
    write_status(store.create(STARTER), RunStatus("done", step=1203, total=1203, seconds=1000.0))
    by_run = expected_seconds(STARTER, store, home / "data")
    assert by_run is not None and by_speed is not None and by_speed < 200 and 1000 < by_run < 1100
    measured = pace_measured(STARTER, store, home / "data")
    assert isinstance(measured, Pace) and measured.runs == 1 and starter_pace(store) < measured.seconds


def test_a_measurement_of_this_recipe_says_more_than_any_run(store, home):
    write_status(store.create(STARTER), RunStatus("done", step=1203, total=1203, seconds=1000.0))
    job = measure_job(JobStore(home / "jobs"), STARTER, STARTER)
    (job.folder / "result.json").write_text(json.dumps(MEASURED.model_copy(update={"steps": 1203}).to_json()))
    assert expected_seconds(STARTER, store, home / "data") == pytest.approx(1203 * 1.0)
    labels, note = effort_choices(STARTER, store, home / "data")
    assert note == "Times as measured here with these settings." and "about 20 min" in labels[1][0]
