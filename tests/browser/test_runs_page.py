"""The list of runs and a comparison in a browser: names are told apart, runs are archived, compared in three clicks."""

import json
import shutil

import pytest
from playwright.sync_api import expect
from test_everyone import found
from visiting import DESK, PHONE

from qlora_app.runs import Run
from qlora_app.runs.labels import relabel

LONG = "Pennywick helper, all linear layers, rank 16, alpha 32, with a learning rate of "


@pytest.fixture(scope="module")
def app(trained_app):
    return trained_app


@pytest.fixture
def twins(app):
    """Two finished runs whose names differ at their ends alone."""
    first = app.finished_run()
    copy = Run(app.store.root / "2026-01-01-1010-twin")
    shutil.copytree(first.folder, copy.folder)
    relabel(copy, name=f"{LONG[:70]} 2e-3", tags=("good", "another"))
    relabel(first, name=f"{LONG[:70]} 1e-3", tags=("good",))
    yield first, copy
    relabel(first, name="", drop_tags=("good",))
    shutil.rmtree(copy.folder)


def test_an_adapter_that_is_uploaded_becomes_a_run(visitor, app, tmp_path):
    known = app.finished_run()
    file = shutil.make_archive(str(tmp_path / "brought"), "zip", known.adapter)
    page = visitor.open("?tab=runs")
    page.get_by_role("button", name="Open an adapter made elsewhere").click()
    place = page.locator("#open-adapter")
    place.get_by_label("Precision of the base").click()
    page.get_by_role("option", name="16-bit").click()
    place.locator("input[type=file]").set_input_files(file)
    expect(page.locator("#adapter-job")).to_contain_text("Imported. It stands among the runs.")
    (run,) = [one for one in app.store.list() if one.id != known.id]
    try:
        expect(page.locator(f'#runs-table tr[data-run="{run.id}"]')).to_be_visible()
        assert run.base_model().precision == "bf16" and run.title == "brought"
        assert found(page) == []
    finally:
        shutil.rmtree(run.folder)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_runs_are_told_apart_archived_and_compared(visitor, twins, size):
    page = visitor.open("?tab=runs", size)
    rows = [page.locator(f'#runs-table tr[data-run="{run.id}"]') for run in twins]
    for row, ending in zip(rows, ("1e-3", "2e-3"), strict=True):
        name = row.locator(".name a")
        expect(name).to_contain_text(ending)
        assert name.evaluate("e => e.firstElementChild.scrollHeight <= e.firstElementChild.clientHeight + 1"), "not cut"
    rows[1].locator("input").check()
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(rows[1]).to_have_count(0)
    page.get_by_role("button", name="1 archived").click()
    rows[1].locator("input").check()
    page.get_by_role("button", name="Put back in the list").click()
    page.get_by_role("button", name="Back to the others").click()
    for row in rows:
        row.locator("input").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#comparison h2")).to_have_text("2 runs compared")
    page.locator("#comparison [data-series=loss]").click()
    drawn = page.locator("#comparison .overlay svg path:not(.raw)")
    expect(drawn).to_have_count(2)
    assert found(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with page.expect_download() as download:
        page.get_by_role("button", name="Metrics as CSV").click()
    assert download.value.suggested_filename == "metrics.csv"
    visitor.reload(page)
    expect(drawn).to_have_count(2)
    assert json.loads(page.locator(".compared").get_attribute("data-runs")) == [run.id for run in twins]
