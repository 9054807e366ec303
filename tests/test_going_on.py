"""A run that comes from another one: extended, or begun with its adapter; and an adapter that was made elsewhere."""

import json
import shutil
from datetime import datetime

import pytest

from qlora_app.cli import main
from qlora_app.errors import Problem
from qlora_app.preflight import ready
from qlora_app.recipe import Recipe, Training
from qlora_app.runs import RunStatus, RunStore
from qlora_app.runs.ancestry import origin_of
from qlora_app.runs.checkpoints import newest_complete, seal
from qlora_app.runs.extending import extended
from qlora_app.runs.run import Spent
from qlora_app.settings import Settings
from qlora_app.sweep import checked, plan_of
from qlora_app.train.budget import Budget
from qlora_app.train.ending import broken_words, reasons
from qlora_app.ui.runs.card_parts import head
from tests.conftest import short_recipe
from tests.fixtures.jobs import write_status
from tests.refusing import refused


@pytest.fixture
def settings(home):
    return Settings(home=home)


def done(store, recipe, step=6):
    """A finished run, as far as files tell."""
    run = store.create(recipe)
    run.adapter.mkdir()
    (run.adapter / "proof.json").write_text("{}")
    (run.adapter / "adapter_config.json").write_text("{}")
    write_status(run, RunStatus("done", step=step, total=step, epoch=0.5))
    return run


def beginning_with(named, **method):
    recipe = short_recipe(start_from=str(named))
    return recipe.model_copy(update={"method": recipe.method.model_copy(update=method)})


# ---- beginning with an adapter


@pytest.mark.parametrize(
    "method, wrong",
    [({}, []), ({"dropout": 0.5}, []), ({"rank": 4}, ["method.rank"]), ({"alpha": 8}, ["method.alpha"])],
)
def test_the_adapter_of_a_run_fits_the_same_base_and_method_only(store, settings, method, wrong):
    run = done(store, short_recipe())
    if not wrong:
        recipe = ready(beginning_with(run.id, **method), settings).recipe
        assert recipe.training.start_from == run.id
        return
    with refused("recipe.wrong_settings", "adapter.other_value") as caught:
        ready(beginning_with(run.id, **method), settings)
    assert list(caught.value.problems) == wrong


@pytest.mark.parametrize(
    "changed, wrong",
    [
        ({}, {}),
        ({"r": 4}, {"method.rank": "adapter.other_value"}),
        ({"use_dora": True}, {"method.weight_decomposed": "adapter.other_value"}),
        ({"base_model_name_or_path": "org/Llama-3"}, {"base_model.id": "adapter.other_base"}),
        ({"peft_type": "VERA"}, {"training.start_from": "adapter.lora_only"}),
    ],
)
def test_an_adapter_made_elsewhere_is_looked_at_before_anything_begins(settings, tmp_path, changed, wrong):
    folder = tmp_path / "theirs"
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16} | changed
    (folder / "adapter_config.json").write_text(json.dumps(config))
    if not wrong:
        assert ready(beginning_with(folder), settings).recipe.training.start_from == str(folder)
        return
    with refused("recipe.wrong_settings") as caught:
        ready(beginning_with(folder), settings)
    assert {name: problem.code for name, problem in caught.value.problems.items()} == wrong


def test_what_is_no_adapter_is_said_at_its_setting(store, settings, tmp_path):
    for named in (store.create(short_recipe()).id, "nothing", tmp_path):
        with refused("recipe.wrong_settings") as caught:
            ready(beginning_with(named), settings)
        assert list(caught.value.problems) == ["training.start_from"]
    averaged = Recipe.from_dict({"method": {"name": "adamix"}})
    run = done(store, averaged)
    training = averaged.training.model_copy(update={"start_from": run.id})
    with refused("recipe.wrong_settings", "adapter.method"):
        ready(averaged.model_copy(update={"training": training}), settings)


def test_a_path_into_a_run_is_kept_whole_since_its_worker_runs_elsewhere(store, settings, monkeypatch):
    run = done(store, short_recipe())
    (run.adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 16}))
    monkeypatch.chdir(store.root)
    recipe = ready(beginning_with(f"{run.id}/adapter"), settings).recipe
    assert recipe.training.start_from == str(run.adapter)


def test_every_run_of_a_sweep_is_held_against_the_adapter_it_begins_with(store, settings, monkeypatch):
    run = done(store, short_recipe())
    with refused("sweep.members_wrong", 1, 2) as caught:
        checked(plan_of(beginning_with(run.id), {"method.rank": "8, 16"}), settings)
    assert list(caught.value.problems) == ["method.rank"]
    monkeypatch.chdir(store.root)
    plan = checked(plan_of(beginning_with(f"{run.id}/adapter"), {"training.seed": "1, 2"}), settings)
    assert {one.recipe.training.start_from for one in plan.members} == {str(run.adapter)}


# ---- extending


def with_checkpoint(run, step):
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_text("moments")
    seal(folder)


def test_what_is_extended_takes_the_checkpoint_and_the_curve_and_leaves_the_finished_one(store, settings):
    run = done(store, short_recipe(max_steps=6))
    with run.hold() as out:
        out.append_metric({"step": 1, "loss": 2.0})
    with_checkpoint(run, 6)
    longer = extended(run, store, settings, steps=4)
    training = longer.recipe().training
    assert training.max_steps == 10 and training.extends == run.id and not longer.is_asked("start")
    assert newest_complete(longer.checkpoints).name == "checkpoint-6" and longer.metrics()[0] == run.metrics()[0]
    assert extended(run, store, settings, epochs=1).recipe().training.epochs == 1.5
    assert origin_of(longer).named == run.id and origin_of(run) is None
    said = head(longer, longer.status(), may_change=True)
    assert f'data-do="open" data-run="{run.id}"' in said and "Goes on from" in said
    assert ready(longer.recipe(), settings).recipe.training.extends == "", "the same settings again are a new run"


def test_a_run_that_ended_early_is_extended_from_where_it_ended(store, settings):
    run = done(store, short_recipe(max_steps=100))
    write_status(run, RunStatus("done", step=40, total=100, epoch=2.0))
    with_checkpoint(run, 40)
    training = extended(run, store, settings, steps=10).recipe().training
    assert (training.max_steps, training.epochs) == (50, 4), "20 steps are an epoch"


def test_a_budget_begins_anew_where_another_run_is_gone_on_with_and_what_it_was_stopped_for_is_known(store, settings):
    run = done(store, short_recipe(max_steps=8))
    why = Problem("doctor.lr_too_high", "It grew.")
    with run.hold() as out:
        for step in (3, 6, 7):
            out.append_metric({"step": step, "loss": 2.0, "tokens": 100 * step, "seconds": 180.0 * step})
        out.append_event(6, Spent(1080.0, 600), broken_words(why, 6, 8))
    with_checkpoint(run, 6)
    longer = extended(run, store, settings, steps=4)
    budget = Budget(Training(max_minutes=10, max_tokens=50), longer, datetime(2026, 1, 1))
    assert budget.used_up(Spent(1081, 601)) is None
    assert budget.used_up(Spent(1680, 601)) and budget.used_up(Spent(1081, 650))
    assert reasons(longer.events()) == {"doctor.lr_too_high"} and longer.events()[-1]["code"] == "event.extended"


def test_what_cannot_be_extended_says_why(store, settings):
    run = done(store, short_recipe())
    with refused("extend.no_checkpoint"):
        extended(run, store, settings, steps=1)
    with_checkpoint(run, 6)
    with refused("extend.how_far"):
        extended(run, store, settings)
    planned = done(store, Recipe.from_dict({"method": {"name": "adalora"}}))
    with_checkpoint(planned, 6)
    with refused("extend.schedules_itself"):
        extended(planned, store, settings, steps=1)
    write_status(run, RunStatus("stopped", step=3, total=6))
    with refused("extend.not_done"):
        extended(run, store, settings, steps=1)
    assert len(store.list()) == 2


@pytest.mark.slow
def test_a_run_is_extended_and_another_begins_with_its_adapter(home, settings, capsys, tmp_path):
    few = ("evaluations=2", "samples=1", "scored_questions=2", "general_questions=0", "measured_examples=8")
    few = [f"training.{name}" for name in few]
    short = ["training.max_steps=6", "training.checkpoints=2", "training.learning_rate=3e-3", *few, "method.rank=4"]
    assert main(["train", "starter", *short]) == 0
    store = RunStore(home / "runs")
    first = store.list()[0]
    assert main(["extend", first.id, "--steps", "4"]) == 0
    longer = store.list()[0]
    status = longer.status()
    assert (status.state, status.step, status.total) == ("done", 10, 10)
    rows = [row for row in longer.metrics()[0] if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, 11)) and rows[:6] == [
        row for row in first.metrics()[0] if "loss" in row
    ]
    assert newest_complete(longer.checkpoints).name == "checkpoint-10", "saved as often as its own steps ask"
    theirs = shutil.copytree(longer.adapter, tmp_path / "theirs")
    assert main(["train", "starter", *short, f"training.start_from={theirs}"]) == 0
    begun = store.list()[0]
    losses = [run.first_and_last_loss()[0]["loss"] for run in (begun, first)]
    assert losses[0] < losses[1] - 0.1, "it begins with what was learned"
    shutil.rmtree(theirs)
    assert (begun.folder / "start" / "adapter_model.safetensors").exists(), "and needs nobody's folder any more"
