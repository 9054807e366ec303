"""The menu beside Start: the command of this moment, a recipe kept, a run beside another, several values at once."""

import contextlib
import json
import shlex

import gradio as gr
import pytest

from qlora_app.choices import variant_of
from qlora_app.cli.commands import _parse
from qlora_app.errors import UserError
from qlora_app.overrides import recipe_from
from qlora_app.runs import address_of
from qlora_app.sweep import Sweeps
from qlora_app.ui.train.form_values import FIELDS, METHOD, read, show
from qlora_app.ui.train.sweep_form import several_choices
from tests.fixtures.handlers import another, given, seen
from tests.test_measurement import MEASURED


@pytest.fixture
def tab(workshop):
    return workshop.train


@pytest.fixture
def values(tab):
    return show(tab.controls.first)


def made_by_its_command(tab, values):
    """The recipe that the copied command makes."""
    words = shlex.split(tab.start.menu.command(given(tab, values))[tab.start.menu.copied])
    parsed = _parse(words[3:])
    return recipe_from(parsed.recipe, parsed.changes, tab.page.settings)


# Held-out data of another set is part of data that is on the Hub or a person's own.
CHANGED = [name for name in FIELDS if not name.startswith(("dataset.", "task."))]


def test_the_copied_command_makes_exactly_what_stands_on_the_form(tab, values):
    tried = 0
    for name in CHANGED:
        method = variant_of(name) or values[METHOD]
        typed = values | {METHOD: method, "name": "my own, it's"}
        if method != "lora":
            typed["base_model.precision"] = "bf16"
        typed[name] = another(name, typed[name])
        with contextlib.suppress(UserError):  # this value needs another one beside it
            meant = read(typed)
            assert made_by_its_command(tab, typed) == meant, name
            tried += 1
    assert tried >= len(CHANGED) - 5  # nodes need a network beside them


def test_the_form_is_kept_as_a_recipe_of_ones_own(tab, values):
    menu = tab.start.menu
    said = menu.keep_recipe(given(tab, values | {"training.learning_rate": 0.001}))[menu.said]
    assert "helper-starter-r16-lr-1e-3" in said
    assert tab.page.presets.load("helper-starter-r16-lr-1e-3").training.learning_rate == 0.001
    again = menu.keep_recipe(given(tab, values | {"training.learning_rate": 0.001}))[menu.said]
    assert 'role="alert"' in again, "nothing kept is replaced without a word"
    assert "alert" in menu.keep_recipe(given(tab, values | {"method[lora].rank": 0}))[tab.mistakes.alert]


def test_started_now_it_does_not_wait(tab, values):
    tab.start.menu.start_now(given(tab, values))
    (run,) = tab.page.store.list()
    assert run.is_asked("start") and run.is_asked("now")


# ---- several values


def asked(tab, values, *several, sample=0, halving=False):
    sweep = tab.sweep
    typed = [*several, *[(None, "")] * (len(sweep.places) - len(several))]
    pairs = {}
    for (setting, text), (name, one) in zip(sweep.places, typed, strict=True):
        pairs |= {setting: name, text: one}
    return given(tab, values) | pairs | {sweep.sample: sample, sweep.halving: halving}


RATE, RANK = "training.learning_rate", "method.rank"


@pytest.mark.parametrize(
    ("several", "more", "said"),
    [
        ([(RATE, "1e-3, 2e-3"), (RANK, "8, 16, 32")], {}, "6 runs, about"),
        ([(RATE, "1e-4..1e-2 log")], {"sample": 4}, "4 runs"),
        ([(RATE, "1e-3, 2e-3, 3e-3")], {"sample": 2}, "2 runs of 3"),
        ([(RATE, "much")], {}, 'role="alert"'),
        ([(RATE, "")], {}, "Choose a setting"),
    ],
)
def test_several_values_say_what_they_come_to(tab, values, several, more, said):
    assert said in tab.sweep.count(asked(tab, values, *several, **more))[tab.sweep.line]


def test_several_values_wait_in_the_queue_together_and_are_ranked(tab, values):
    short = values | {"training.max_steps": 40}
    tab.sweep.begin(asked(tab, short, (RATE, "1e-3, 2e-3"), halving=True))
    runs = tab.page.store.list()
    (sweep,) = Sweeps(tab.page.settings.sweeps, tab.page.store).list()
    assert {run.recipe().training.learning_rate for run in runs} == {0.001, 0.002} and len(runs) == 2
    assert all(run.is_asked("start") for run in runs) and sweep.halving is not None
    ranking = tab.sweep.look()[tab.sweep.ranking]
    assert ranking.count("<tr>") == 3 and "learning_rate 0.001" in ranking
    refused = tab.sweep.begin(asked(tab, short, (RATE, "-1, 2e-3")))[tab.sweep.line]
    assert 'role="alert"' in refused and len(tab.page.store.list()) == 2


def test_every_setting_that_can_have_several_values_is_offered_once():
    names = [name for _, name in several_choices()]
    assert len(names) == len(set(names)) and {RATE, RANK, "training.scheduler"} <= {*names}
    assert not [name for name in names if name.startswith(("dataset", "name", "note"))]


# ---- measured first


def test_measured_first_it_waits_as_a_job_and_is_no_run(tab, values):
    measure, shown = tab.start.measure, tab.form.measured
    answer = measure.begin(given(tab, values))
    (job,) = tab.page.jobs.others.list()
    assert answer[shown.card] == address_of(job) and job.is_asked("start") and job.kind == "measure"
    assert answer[shown.verdict] == "" and tab.page.store.list() == []
    assert measure.begin(given(tab, values))[shown.card] == address_of(job), "a double click is one wish"
    assert "alert" in measure.begin(given(tab, values | {"method[lora].rank": 0}))[tab.mistakes.alert]
    assert measure.shown()[shown.card] == address_of(job), "a reload finds it again"


def test_a_verdict_is_out_of_date_when_the_recipe_costs_something_else(tab, values):
    shown = tab.form.measured
    tab.start.measure.begin(given(tab, values))
    (job,) = tab.page.jobs.others.list()
    (job.folder / "result.json").write_text(json.dumps(MEASURED.to_json()))
    words = tab.start.measure.finished(given(tab, values))[shown.verdict]
    assert "Fits, and takes about 2 min" in words and "data-use='4'" in words.replace('"', "'")
    assert tab.form.settle(given(tab, values))[shown.verdict] == words, "also after a reload"
    rate = tab.form.settle(given(tab, values | {"training.learning_rate": 1e-3}))[shown.verdict]
    assert rate == words, "that costs the same"
    longer = tab.form.settle(given(tab, values | {"training.epochs": 9.2}))[shown.verdict]
    assert "takes about 7 min: 400 steps" in longer, "and that is counted"
    other = tab.form.settle(given(tab, values | {"training.batch_size": 64}, None))[shown.verdict]
    assert "Measured with other settings" in other and "data-use" not in other


def test_a_better_size_is_taken_at_a_click(tab, values):
    answer = tab.start.measure.use(gr.EventData(target=None, _data={"count": "4"}))
    assert seen(answer[tab.controls.controls["training.micro_batch"]]) == 4 and tab.form.touched in answer
    nothing = tab.start.measure.use(gr.EventData(target=None, _data={"count": "none"}))
    assert tab.form.touched not in nothing
