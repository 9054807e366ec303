"""Whatever stands in one folder is a sentence at that folder: the page opens, the lists list, the queue goes on."""

import shutil
from itertools import islice

import pytest

from qlora_app.runs import RunStore
from tests.fixtures.damages import DAMAGES, make_home, remove, rounds, targets
from tests.fixtures.page import FakeSessions, FakeSupervisor
from tests.fixtures.walking import Walk

QUICK, MANY = 1, 10  # rounds, each with a damage in every folder
UNCHANGED = (
    "poll healthy",
    "open healthy",
    "recipe healthy",
    "adapter healthy",
    "preset healthy",
    "data healthy.jsonl",
    "findings healthy",
)


@pytest.fixture
def damaged_page(home, monkeypatch):
    from huggingface_hub import constants

    from qlora_app.ui.context import AppContext

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    settings = make_home(home)
    return AppContext(settings, RunStore(home / "runs"), FakeSupervisor(), FakeSessions())


def walk_round(page, pairs, seen, looks_at_data=False):
    """The home with some damages, walked; then as it was."""
    home = page.settings.home
    kept = home.parent / f"{home.name}-kept"
    shutil.copytree(home, kept, symlinks=True)
    try:
        for path, name in pairs:
            if path.exists():  # its folder may be gone by another damage
                DAMAGES[name](path)
        walk = Walk(page, looks_at_data).all()
    finally:
        for place in home.iterdir():
            remove(place)
        for place in kept.iterdir():
            place.rename(home / place.name)
        kept.rmdir()
    named = [f"{path.relative_to(home)} {name}" for path, name in pairs]
    assert walk.wrong == [], "\n".join([*named, *walk.wrong])
    assert walk.said.get("sent") or ".app.lock" in walk.said["supervisor"], named
    for step, words in walk.said.items():
        if step in UNCHANGED:
            assert words == seen[step], (named, step)


def test_damages_cost_their_own_folder_only(damaged_page):
    """A few of a great many; what stands in a healthy folder is shown as before."""
    seen = Walk(damaged_page).all()
    assert seen.wrong == [] and seen.said["sent"]
    walk_rounds(damaged_page, QUICK, seen.said)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.matrix)])
def test_many_damages_cost_their_own_folder_only(seed, damaged_page):
    walk_rounds(damaged_page, MANY, Walk(damaged_page, True).all().said, seed, looks_at_data=True)


@pytest.mark.slow
@pytest.mark.matrix
def test_every_damage_costs_its_own_folder_only(damaged_page):
    walk_rounds(damaged_page, None, Walk(damaged_page, True).all().said, looks_at_data=True)


def walk_rounds(page, most, seen, seed=0, **how):
    home = page.settings.home
    for pairs in islice(rounds(targets(home), home, seed), most):
        walk_round(page, pairs, seen, **how)
