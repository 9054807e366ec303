"""What a person calls a run afterwards, and when a run was made."""

import os
import shutil
from datetime import datetime

import pytest

from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.runs.labels import LABELS, Labels, labels_of, relabel
from qlora_app.ui.runs.card_parts import title_of
from tests.refusing import refused


@pytest.fixture
def run(store):
    return store.create(Recipe(name="test"))


def test_a_run_is_renamed_and_its_recipe_stays(run):
    before = (run.folder / "recipe.yaml").read_bytes()
    assert labels_of(run) == Labels()
    relabel(run, name="  the\nbest   one ")
    relabel(run, note="Læs det\nigen \N{ROCKET}", tags=("good", " good ", "", "to show"))
    assert labels_of(run) == Labels("the best one", "Læs det\nigen \N{ROCKET}", ("good", "to show"))
    assert title_of(run) == "the best one"
    assert relabel(run, name="").note == "Læs det\nigen \N{ROCKET}"
    assert title_of(run) == run.read_recipe().recipe.title
    assert (run.folder / "recipe.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "x" * 81}, "labels.name_too_long"),
        ({"note": "x" * 2001}, "labels.note_too_long"),
        ({"tags": tuple(map(str, range(13)))}, "labels.too_many_tags"),
        ({"tags": ("x" * 41,)}, "labels.tag_too_long"),
    ],
)
def test_labels_that_are_too_long_are_refused_and_nothing_changes(run, changes, code):
    relabel(run, name="before")
    with refused(code):
        relabel(run, **changes)
    assert labels_of(run) == Labels("before")


def test_half_a_letter_and_what_steers_something_are_left_out(run):
    assert relabel(run, name="a\ud800b\x00\u202ec").name == "a?bc"


@pytest.mark.parametrize("content", ["", "[]", '{"name": 7, "tags": "x", "note": null}', '{"name"', '{"name": ["x"]}'])
def test_labels_that_cannot_be_read_are_as_if_they_were_not_there(run, content):
    (run.folder / LABELS).write_text(content)
    assert labels_of(run) == Labels()


def test_labels_that_are_damaged_are_not_written_over(run):
    (run.folder / LABELS).write_text('{"name": "the one", "tags": ["go')
    with refused("labels.damaged"):
        relabel(run, name="another")
    assert "the one" in (run.folder / LABELS).read_text()


def test_a_copy_of_a_home_shows_when_its_runs_were_made_and_in_which_order(tmp_path):
    here, there = RunStore(tmp_path / "here"), tmp_path / "there"
    made = [here.create(Recipe(name=name)) for name in "zya"]
    early = made[0].folder.rename(here.root / "2024-02-29-2359-early")
    shutil.copytree(here.root, there, copy_function=shutil.copyfile)
    for file in there.glob("*/recipe.yaml"):
        os.utime(file, (1, 1))
    copied = RunStore(there)
    assert {run.id for run in copied.list()[:2]} == {made[1].id, made[2].id}
    assert copied.list()[-1].id == early.name
    when = datetime.fromtimestamp(copied.get(early.name).created_at())
    assert (when.year, when.month, when.day, when.hour, when.minute) == (2024, 2, 29, 23, 59)
    assert abs(made[1].created_at() - copied.get(made[1].id).created_at()) <= 120


def test_of_two_of_one_name_the_later_number_is_newer_in_a_copy(store):
    made = [store.create(Recipe(name="same")) for _ in range(3)]
    for run in made:
        os.utime(run.folder / "recipe.yaml", (1, 1))
    shutil.rmtree(store.root / ".index")
    assert [run.id for run in store.list()] == [run.id for run in made[::-1]]


def test_a_name_that_only_looks_like_a_day_says_nothing(store):
    folder = store.create(Recipe(name="x")).folder.rename(store.root / "2024-13-45-9999-x")
    os.utime(folder / "recipe.yaml", (1000, 1000))
    assert store.get(folder.name).created_at() == 1000
