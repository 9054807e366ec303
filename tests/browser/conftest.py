"""The app and a browser for the tests of this folder: real workers, and Debian's Chromium looking at them."""

import shutil

import pytest
from playwright.sync_api import sync_playwright
from visiting import App, Visitor

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    app = App(tmp_path_factory.mktemp("home"))
    app.start()
    yield app
    app.close()


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium, app):
    """Every test that uses it also demands: no request to another machine, no complaint in the console."""
    app.let_end()
    visitor = Visitor(chromium, app)
    yield visitor
    for context in visitor.contexts:
        context.close()
    assert visitor.requested and visitor.elsewhere == []
    assert visitor.complaints == []
