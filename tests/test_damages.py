"""Whatever stands in one folder is a sentence at that folder: the page opens, the lists list, the queue goes on."""

import shutil
from itertools import islice

import pytest

from qlora_app.runs import RunStore
from tests.fixtures.damages import DAMAGES, make_home, remove, rounds, targets
from tests.fixtures.page import FakeSessions, FakeSupervisor
from tests.fixtures.walking import Walk

QUICK = 6  # rounds
UNCHANGED = (
    "poll healthy",
    "open healthy",
    "recipe healthy",
    "adapter healthy",
    "preset healthy",
    "data healthy.jsonl",
)


@pytest.fixture
def damaged_page(home, monkeypatch):
    from huggingface_hub import constants

    from qlora_app.ui.context import AppContext

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    settings = make_home(home)
    return AppContext(settings, RunStore(home / "runs"), FakeSupervisor(), FakeSessions())


def walk_round(page, pairs, seen):
    """The home with some damages, walked; then as it was."""
    home = page.settings.home
    kept = home.parent / f"{home.name}-kept"
    shutil.copytree(home, kept, symlinks=True)
    try:
        for path, name in pairs:
            if path.exists():  # its folder may be gone by another damage
                DAMAGES[name](path)
        walk = Walk(page).all()
    finally:
        for place in home.iterdir():
            remove(place)
        for place in kept.iterdir():
            place.rename(home / place.name)
        kept.rmdir()
    named = [f"{path.relative_to(home)} {name}" for path, name in pairs]
    assert walk.wrong == [], "\n".join([*named, *walk.wrong])
    for step, words in walk.said.items():
        if step in UNCHANGED:
            assert words == seen[step], (named, step)


def test_an_undamaged_home_is_walked_without_a_word(damaged_page):
    walk = Walk(damaged_page).all()
    assert walk.wrong == [] and "waiting" in walk.said["sent"]


def test_damages_cost_their_own_folder_only(damaged_page):
    seen = Walk(damaged_page).all().said
    home = damaged_page.settings.home
    for pairs in islice(rounds(targets(home), home), QUICK):
        walk_round(damaged_page, pairs, seen)
