"""Train again: the recipe of a run comes back onto the form."""

import re

import pytest

from qlora_app.overrides import recipe_from, with_changes
from qlora_app.ui.runs.card_again import again_form
from tests.fixtures.page import event


def test_the_recipe_of_a_run_comes_onto_the_form_and_its_settings_open(workshop):
    page, train = workshop.page, workshop.train
    run = page.store.create(recipe_from("starter", ["training.learning_rate=1e-3"], page.settings))
    answer = train.again(event(run=run.id))
    assert answer[train.form.controls.controls["training.learning_rate"]] == 0.001
    assert answer[train.tabs].selected == "train"
    assert answer[train.stage.tabs].selected == "settings"


def test_what_the_doctor_would_change_is_on_the_form_too(workshop):
    page, train = workshop.page, workshop.train
    run = page.store.create(recipe_from("starter", ["training.learning_rate=0.5"], page.settings))
    with run.hold() as out:
        for step in range(1, 101):
            out.append_metric({"step": step, "loss": 3.0 if step < 20 else 30.0})
    rate = train.form.controls.controls["training.learning_rate"]
    assert train.again(event(run=run.id, finding="exploded"))[rate] == 0.002, "that of its preset"
    assert train.again(event(run=run.id, finding="no such thing"))[rate] == 0.5


@pytest.mark.parametrize("id", ["", "no-such-run", "../.."])
def test_a_run_that_is_not_there_says_so(workshop, id):
    with pytest.raises(Exception, match="no recipe"):
        workshop.train.again(event(run=id))


def test_the_same_run_with_one_value_changed_starts_at_once(workshop):
    page, train = workshop.page, workshop.train
    first = page.store.create(recipe_from("starter", ["training.max_steps=20", "name=my first"], page.settings))
    answer = train.repeat(event(run=first.id, set={"training.learning_rate": "1e-3"}))
    newest = page.store.list()[0]
    assert newest.id != first.id and newest.is_asked("start")
    recipe = newest.recipe()
    assert (recipe.training.learning_rate, recipe.training.max_steps) == (0.001, 20)
    assert "lr 1e-3" in recipe.name, "it is named after what differs"
    assert answer[train.stage.tabs].selected == "run" and answer[train.tabs].selected == "train"
    assert answer[train.form.controls.controls["training.learning_rate"]] == 0.001


@pytest.mark.parametrize(
    "sent", [{"training.learning_rate": "much"}, {"no.such": "1"}, {"training.batch_size": ""}, {"method.name": "x"}]
)
def test_what_cannot_be_is_refused_by_name_and_nothing_starts(workshop, sent):
    page, train = workshop.page, workshop.train
    first = page.store.create(recipe_from("starter", [], page.settings))
    with pytest.raises(Exception, match=next(iter(sent)).rpartition(".")[2]):
        train.repeat(event(run=first.id, set=sent))
    assert len(page.store.list()) == 1


@pytest.mark.parametrize(
    "assignments", [[], ["training.max_steps=9"], ["method.name=vera"], ["training.packing=false"]]
)
def test_the_fields_of_train_again_stand_for_the_recipe(workshop, assignments):
    recipe = recipe_from("starter", assignments, workshop.page.settings)
    html = again_form(recipe)
    named = dict(re.findall(r'<input name="([^"]+)" value="([^"]*)"', html))
    named |= {name: value for name, value in re.findall(r'<select name="([^"]+)">.*?value="([^"]*)" selected', html)}
    assert named and with_changes(recipe, named) == recipe
    assert ("training.epochs" in named) is (recipe.training.max_steps == 0)
    assert all(one.partition("=")[0] in (*named, "training.max_steps", "method.name") for one in assignments)
