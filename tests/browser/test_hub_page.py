"""A model of the Hub, from the search to a finished adapter, with a browser, real workers and a Hub of our own."""

import time

import pytest
from playwright.sync_api import expect
from visiting import App

from tests.fixtures.hub import CONFIG, FILES, PARAMETERS
from tests.fixtures.hub import DATASET as DATA
from tests.fixtures.hub import MODEL as ID
from tests.hub_server import HubServer, Repo

SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"  # what the list calls SmolLM2 135M


@pytest.fixture(scope="module")
def hub(tiny):
    server = HubServer()
    server.add(Repo.of_folder(ID, tiny, config=CONFIG, parameters={"F32": PARAMETERS}, downloads=321))
    server.add(Repo.of_folder(SMALL, tiny, config=CONFIG, parameters={"F32": PARAMETERS}))
    server.add(Repo("big/llama", {}, gated=True, licence="llama3", parameters={"BF16": 70_000_000_000}))
    server.add(Repo(DATA, dict(FILES), kind="datasets", downloads=77))
    yield server
    server.close()


@pytest.fixture(scope="module")
def app(hub, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    app = App(home, HF_ENDPOINT=hub.url, HF_HOME=str(home / "hf"), HF_HUB_OFFLINE="0")
    app.start()
    yield app
    app.close()


def test_searched_chosen_downloaded_trained(visitor, hub, app):
    page = visitor.open()
    page.wait_for_function("window.guanacoReady")
    page.get_by_role("button", name="Change", exact=True).click()
    find = page.get_by_role("searchbox", name="Find a model")
    expect(find).to_be_focused()
    page.keyboard.type("qwen3 0.6")
    expect(page.locator("#model-list li:visible")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#model-list [data-row='model:Qwen/Qwen3-0.6B']")).to_be_focused()
    find.fill("llama")
    page.get_by_role("button", name="Search the Hub for").click()
    expect(page.locator("#model-hits")).to_contain_text("70.0 B parameters · licence llama3 · gated")
    page.locator("#model-hits").get_by_role("button", name="tiny/llama").click()
    line = page.locator("#model-card")
    expect(line).to_contain_text("Llama · 1.5 M parameters · fp32 · reads 512 tokens")
    expect(line).to_contain_text("5.8 MB to download")
    expect(line).to_contain_text("Fits: training needs about")
    expect(page.locator("#face-models")).to_be_hidden()

    page.get_by_role("tab", name="Settings", exact=True).click()
    page.get_by_label("Max steps").fill("2")
    page.locator("#section-measuring-button").click()
    page.get_by_label("Scored questions").fill("2")
    hub.before_chunk = lambda name, sent: time.sleep(0.1) if name.endswith(".safetensors") else None
    page.locator("#start").click()
    expect(page.locator("#live .card")).to_contain_text("Downloading tiny/llama: ")
    hub.before_chunk = lambda name, sent: None
    expect(page.locator("#live .card .line b")).to_have_text("Finished")
    run = app.store.list()[0]
    assert run.base_model().id == ID and len(run.base_model().revision) == 40


def test_an_own_file_on_a_real_model_takes_three_actions(visitor, hub, app, tmp_path):
    for run in app.store.list():  # of another test: its model would be on the form
        app.store.delete(run.id)
    page = visitor.open()
    page.wait_for_function("window.guanacoReady")
    file = tmp_path / "capitals.csv"
    file.write_text("question,answer\n" + "".join(f"What is {n} plus {n}?,It is {2 * n}.\n" for n in range(60)))
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Use SmolLM2 135M").click()
    expect(page.locator("#model-card")).to_contain_text("5.8 MB to download")
    hub.before_chunk = lambda name, sent: time.sleep(0.1) if name.endswith(".safetensors") else None
    page.locator("#start").click()
    expect(page.locator("#live .card")).to_contain_text(f"Downloading {SMALL}: ")
    run = app.store.list()[0]
    run.request("stop")
    hub.before_chunk = lambda name, sent: None
    expect(page.locator("#live .card .line b")).to_have_text("Stopped")
    assert run.base_model().id == SMALL and run.recipe().dataset.id.endswith("capitals.csv")


def test_data_is_searched_its_split_chosen_and_looked_at(visitor):
    page = visitor.open()
    page.wait_for_function("window.guanacoReady")
    page.get_by_label("Data", exact=True).click()
    page.get_by_role("option", name="Find one on the Hugging Face Hub").click()
    page.get_by_label("Search the Hub for data").fill("talk")
    page.get_by_label("Search the Hub for data").press("Enter")
    page.get_by_role("button", name=DATA).click()
    expect(page.locator("#data-hub-line")).to_contain_text("2 files")
    expect(page.get_by_label("Split", exact=True)).to_have_value("train")
    expect(page.locator("#data-line")).to_contain_text("not on this machine yet")
    page.get_by_label("Split", exact=True).click()
    page.get_by_role("option", name="test", exact=True).click()
    expect(page.locator("#data-hub-line")).to_contain_text("1 file")
    page.get_by_role("button", name="Download it and look").click()
    expect(page.locator("#data-line")).to_contain_text("4 rows to learn from")
    expect(page.get_by_role("button", name="Download it and look")).to_be_hidden()
    page.get_by_label("Data", exact=True).click()
    page.get_by_role("option", name="A polite helper").click()
    expect(page.locator("#data-hub")).to_have_count(0)
