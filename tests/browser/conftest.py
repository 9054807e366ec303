"""The app and a browser for the tests of this folder: real workers, and Debian's Chromium looking at them."""

import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect, sync_playwright
from visiting import PATIENCE, App, Visitor, copied, finished_run

from qlora_app.runs import RunStore

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
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """One of a file's own, in an empty home: what its tests train, upload and save is nobody else's."""
    with started(tmp_path_factory.mktemp("home")) as app:
        yield app


@pytest.fixture(scope="session")
def empty_app(tmp_path_factory):
    """One in whose home nothing is, for all tests that leave it so."""
    with started(tmp_path_factory.mktemp("empty")) as app:
        yield app
    assert app.store.list() == [], "it was left as it was found"


@pytest.fixture(scope="session")
def trained_app(tmp_path_factory):
    """One in whose home is one finished run, for all tests that leave it so."""
    home = tmp_path_factory.mktemp("trained")
    run = copied(finished_run(), RunStore(home / "runs"))
    with started(home) as app:
        yield app
    assert [one.id for one in app.store.list()] == [run.id], "it was left as it was found"


@contextmanager
def started(home):
    app = App(home)
    app.start()
    yield app
    app.close()


@pytest.fixture
def newer_run(app):
    """A run newer than the finished one, as long as the test runs."""
    copy = copied(app.finished_run(), app.store)
    yield copy
    shutil.rmtree(copy.folder)


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
    with visit(chromium, app) as visitor:
        yield visitor


@pytest.fixture
def newcomer(chromium, empty_app):
    """Somebody who comes to an empty home."""
    with visit(chromium, empty_app) as visitor:
        yield visitor


@contextmanager
def visit(chromium, app):
    """Every test that uses it also demands: no request to another machine, no complaint in the console."""
    app.let_end()
    visitor = Visitor(chromium, app)
    yield visitor
    for context in visitor.contexts:
        context.close()
    assert visitor.requested and visitor.elsewhere == []
    assert visitor.complaints == []
