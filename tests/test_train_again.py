"""Train again: the recipe of a run comes back onto the form."""

import pytest

from qlora_app.overrides import recipe_from
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
