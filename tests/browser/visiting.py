"""The real app in a process of its own, and a visitor who remembers what the pages asked for and complained about."""

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page

from qlora_app.jobs import ACTIVE
from qlora_app.launch.local import launch
from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore
from qlora_app.speed import Speed, keep

ROOT = Path(__file__).parents[2]
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE = 120_000  # ms; a busy machine is slow, an idle one needs a tenth
# Gradio ends its stream itself when a page is left, and says so of it and of everything that was still to be answered.
LEAVING = re.compile(
    r"AbortError: signal is aborted without reason\n(.*\n)? +at \w+\.close \("
    r"|Unexpected error Connection errored out\. $"
)
# What the browser and Gradio say of a request that met no server, or lost it on the way.
NOBODY_THERE = re.compile(
    r"Failed to load resource: net::ERR_(CONNECTION_(RESET|REFUSED|CLOSED|ABORTED)|EMPTY_RESPONSE|"
    r"INCOMPLETE_CHUNKED_ENCODING|SOCKET_NOT_CONNECTED)$"
    r"|TypeError: (Failed to fetch|network error)(\n|$)|Unexpected error Connection errored out\. $"
)


class App:
    """`python app.py` on a port and in a home of its own."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.environment = environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home = home
        self.store = RunStore(home / "runs")
        self.url = f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        environment = os.environ | {
            "QLORA_APP_HOME": str(self.home),
            "QLORA_APP_PORT": str(self.port),
            "HF_HUB_OFFLINE": "1",
        }
        keep(self.home, Speed(1e-4))  # else every worker that waits measures this machine
        environment |= {
            "HTTP_PROXY": "http://127.0.0.1:9"
        } | self.environment  # nobody answers there: the page must not need it
        with open(self.home / "app.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(self.url, timeout=60)
                return
            except httpx.HTTPError:
                time.sleep(0.2)
        raise AssertionError((self.home / "app.log").read_text())

    def finished_run(self) -> Run:
        """A run that has ended well: one an earlier test left, else a copy of a short one."""
        done = [run for run in self.store.list() if run.status().state == "done"]
        return done[0] if done else copied(finished_run(), self.store)

    def let_end(self) -> None:
        """Wait for every run that trains or waits: one that a test left behind is ahead of those of the next."""
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            if not any(run.status().state in ("queued", *ACTIVE) for run in self.store.list()):
                return
            time.sleep(0.2)
        raise AssertionError("A run of an earlier test goes on.")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End the page, then the runs it leaves behind."""
        self.process.terminate()
        self.process.wait(timeout=30)
        for run in self.store.list():
            run.take("start")
            run.request("stop")
        deadline = time.monotonic() + 120
        while any(run.is_alive() for run in self.store.list()) and time.monotonic() < deadline:
            time.sleep(0.2)


@cache
def finished_run() -> Run:
    """A short run, trained once for the homes of all apps, by a worker as an app sends it."""
    home = Path(tempfile.mkdtemp(prefix="finished-run-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    few = {"max_steps": 4, "scored_questions": 2, "general_questions": 0, "samples": 1, "measured_examples": 8}
    run = RunStore(home / "runs").create(Recipe.from_dict({"training": few}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLORA_APP_HOME", str(home))
        patch.setenv("HF_HUB_OFFLINE", "1")
        assert launch(run).wait() == 0, run.log_tail()
    return run


def copied(run: Run, store: RunStore, **training: Any) -> Run:
    """A copy of a run in another home; training: what its recipe says otherwise."""
    recipe = run.recipe()
    other = recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})

    def fill(copy: Run) -> None:
        for part in run.folder.iterdir():
            if part.is_dir():
                shutil.copytree(part, copy.folder / part.name)
            elif part.name != Run.spec_file:
                shutil.copy2(part, copy.folder)

    return store.create(other, fill)


class Visitor:
    """Opens pages and remembers what they asked for and complained about."""

    def __init__(self, chromium: Browser, app: App) -> None:
        self.chromium, self.app = chromium, app
        self.requested, self.complaints, self.contexts = [], [], []
        self.is_leaving = self.is_alone = False

    def open(self, query: str = "", size: dict = DESK, locale: str = "en-US") -> Page:
        context = self.chromium.new_context(viewport=size, locale=locale)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("console", lambda message: self._complain(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.app.url + query)
        page.wait_for_function("window.guanacoReady")
        page.wait_for_timeout(500)
        return page

    def reload(self, page: Page) -> None:
        """As somebody does who presses the button for it: whatever is still being answered then."""
        self.is_leaving = True
        page.reload(wait_until="commit")  # what the page that is left says comes before
        self.is_leaving = False
        page.wait_for_function("window.guanacoReady")

    @contextmanager
    def without_app(self) -> Iterator[None]:
        """From the app's end until the pages have found it again: requests that nobody answers are no complaints."""
        self.is_alone = True
        yield
        self.is_alone = False

    def _complain(self, text: str) -> None:
        is_expected = (self.is_leaving and LEAVING.match(text)) or (self.is_alone and NOBODY_THERE.match(text))
        if not is_expected:
            self.complaints.append(text)

    @property
    def elsewhere(self) -> list[str]:
        own = (f"127.0.0.1:{self.app.port}", "")
        return [
            url
            for url in self.requested
            if urlsplit(url).netloc not in own or urlsplit(url).scheme not in ("http", "data", "blob")
        ]
