"""Does the page stand two hundred people who look, twenty who chat and one training at once?  make load

The real app with a real training run. Steps are timed alone and beside the pages in turn, then beside all for ten
minutes, in which every look, every first word and the app's memory are measured. The pages are played by this program
on the same machine: what it takes itself is said beside what the server takes. Adds to RESULTS.md.
"""

import argparse
import asyncio
import collections
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
from measuring import App, record, seconds_until, used_by_others
from page import QUESTION, VISIT, Site
from player import Line, Looked, Page, p95
from soak import soak

from qlora_app.presets import Presets
from qlora_app.runs import Run, RunStore

PAGES, CHATS = 200, 20
READS = 20.0  # seconds in which a person reads an answer and writes the next question
ROUNDS, PART = 3, 30.0  # of steps alone and beside the pages; seconds of each
SETTLES = 60.0  # seconds after which the app's memory counts as that of its beginning


class Chatted:
    """What happened while people chatted."""

    def __init__(self) -> None:
        self.first_words: list[float] = []
        self.busy = 0  # questions answered by the sentence that many are asking
        self.errors: list[str] = []


async def pages(app: App, site: Site, run: Run, seconds: float, found: Looked) -> None:
    """Two hundred that do not open at the same instant, each from an address of its own."""
    until = time.perf_counter() + seconds

    async def one(number: int) -> None:
        await asyncio.sleep(number / PAGES)
        line = Line(app.url, f"127.0.1.{number + 1}")
        await Page(line, f"page{number}", run, site.card, site.bar, found).looked_at(until)

    await asyncio.gather(*(one(number) for number in range(PAGES)))


async def chats(app: App, run: Run, seconds: float, found: Chatted) -> None:
    """Twenty people who ask, read and ask again, each at an address of their own."""

    async def one(number: int) -> None:
        name, until = f"chat{number}", time.perf_counter() + seconds
        await asyncio.sleep(READS * number / CHATS)
        async with client_at(app, f"127.0.2.{number + 1}") as client:
            site = await Site.open(client)
            await site.click(VISIT, name)
            while time.perf_counter() < until:
                try:
                    await ask(site, run, name, found)
                except (httpx.HTTPError, KeyError) as error:
                    found.errors.append(f"chat: {error!r}")
                await asyncio.sleep(READS)

    await asyncio.gather(*(one(number) for number in range(CHATS)))


def client_at(app: App, address: str) -> httpx.AsyncClient:
    """Asks the app from one of this machine's addresses."""
    # Shorter than the server's patience: a connection that it is about to end is not used again.
    limits = httpx.Limits(max_keepalive_connections=2, keepalive_expiry=2.0)
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=limits)
    return httpx.AsyncClient(base_url=app.url, timeout=120, transport=transport)


async def ask(site: Site, run: Run, session: str, found: Chatted) -> None:
    """One question; how long it took until the first word of its answer was there."""
    event = {"asking": "1", "question": QUESTION, "before": []}
    data = [run.id if one == site.room else None for one in site.endpoints["room", "ask"]["inputs"]]
    question = site.call(("room", "ask"), session, data, event)
    began = time.perf_counter()
    joined = await site.client.post("/gradio_api/queue/join", json=question)
    if joined.status_code == 400 and "moment" in joined.text:
        found.busy += 1
        return
    joined.raise_for_status()
    is_first = True
    async with site.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        async for line in stream.aiter_lines():
            message: dict[str, Any] = json.loads(line[6:]) if line.startswith("data: ") else {}
            if message.get("msg") == "process_generating" and is_first:
                found.first_words.append(time.perf_counter() - began)
                is_first = False
            if message.get("msg") == "process_completed":
                if not message["success"]:
                    found.errors.append(f"answer: {message['output']}")
                return


def begun(store: RunStore, steps: int) -> Run:
    """A run of the starter that measures nothing, asked to start."""
    recipe = Presets().load("starter")
    nothing = {"evaluations": 0, "samples": 0, "checkpoints": 0, "scored_questions": 0, "general_questions": 0}
    training = recipe.training.model_copy(update=nothing | {"max_steps": steps, "epochs": 1000.0})
    run = store.create(recipe.model_copy(update={"training": training}))
    run.ask_to_start()
    return run


class Steps:
    """Milliseconds of a step between two looks."""

    def __init__(self, run: Run) -> None:
        self.run = run

    async def of(self, what: Any) -> float:
        """While something is awaited."""
        step, began = self.run.status().step, time.perf_counter()
        await what
        done = self.run.status().step - step
        return 1000 * (time.perf_counter() - began) / max(1, done)


async def measure(app: App, finished: Run, live: Run, minutes: float, rounds: int) -> dict[str, str]:
    async with client_at(app, "127.0.0.1") as client:
        site, steps, alone, beside = await Site.open(client), Steps(live), [], []
        shares, looked = Shares(app), Looked()
        for _ in range(rounds):
            alone.append(await steps.of(shares.of("nobody", asyncio.sleep(PART))))
            beside.append(await steps.of(shares.of("pages", pages(app, site, live, PART, looked))))
        found, chatted, held = Looked(), Chatted(), []

        async def watch() -> None:
            await asyncio.sleep(min(SETTLES, 15 * minutes))
            held.append(shares.server.memory_info().rss)

        everything = (
            pages(app, site, live, 60 * minutes, found),
            chats(app, finished, 60 * minutes, chatted),
            watch(),
        )
        crowded = await steps.of(asyncio.gather(*everything))
        held.append(shares.server.memory_info().rss)
    for error in [*looked.errors, *found.errors, *chatted.errors][:10]:
        print(error)
    server, player = (shares.beyond_rest(who) for who in ("server", "player"))
    return {
        "errors": str(sum(map(len, (looked.errors, found.errors, chatted.errors)))),
        "looks a second": f"{looked.count / (rounds * PART):.0f}",
        "pause, s": f"{looked.pause:.1f}",
        "server ms a look": f"{1000 * server / looked.count:.2f}",
        "player ms a look": f"{1000 * player / looked.count:.2f}",
        "look p95, ms": f"{1000 * p95(found.seconds):.0f}",
        "questions": str(len(chatted.first_words)),
        "told that many ask": str(chatted.busy),
        "first word p95, s": f"{p95(chatted.first_words):.2f}",
        "memory at the end / after a minute": f"{held[1] / held[0]:.2f}",
        "a step beside the pages, times": f"{statistics.median(b / a for a, b in zip(alone, beside, strict=True)):.2f}",
        "a step beside all, times": f"{crowded / statistics.median(alone):.2f}",
    }


class Shares:
    """Processor seconds of the server and of this program, who plays the pages, while nobody looks and beside pages."""

    def __init__(self, app: App) -> None:
        self.server, self.player = psutil.Process(app.process.pid), psutil.Process()
        self.used: dict[tuple[str, str], float] = collections.Counter()
        self.passed: dict[str, float] = collections.Counter()

    async def of(self, beside: str, what: Any) -> None:
        """While something is awaited."""
        before, began = self._now(), time.perf_counter()
        await what
        self.passed[beside] += time.perf_counter() - began
        for who, seconds in self._now().items():
            self.used[who, beside] += seconds - before[who]

    def beyond_rest(self, who: str) -> float:
        """What it used beside the pages, without what it uses in as many seconds while nobody looks."""
        at_rest = self.used[who, "nobody"] / self.passed["nobody"]
        return self.used[who, "pages"] - at_rest * self.passed["pages"]

    def _now(self) -> dict[str, float]:
        found = {"server": self.server.cpu_times(), "player": self.player.cpu_times()}
        return {who: times.user + times.system for who, times in found.items()}


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--minutes", type=float, default=10)
    given.add_argument("--rounds", type=int, default=ROUNDS)
    given.add_argument("--soak", type=float, metavar="MINUTES", help="look for what grows while much happens instead")
    asked = given.parse_args()
    if asked.soak:
        soak(asked.soak)
        return
    others = used_by_others()
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        home = Path(folder)
        app, store = App(home), RunStore(home / "runs")
        live = None
        try:
            seconds_until(app.answers)
            finished = begun(store, 20)
            seconds_until(lambda: finished.status().has_ended)
            live = begun(store, 1_000_000)
            seconds_until(lambda: live.status().step > 10)
            figures = asyncio.run(measure(app, finished, live, asked.minutes, asked.rounds))
        finally:
            if live is not None:
                live.request("stop-now")
                seconds_until(lambda: not live.is_alive())
            app.close()
    print(figures, flush=True)
    record("load", figures, others, keep=asked.minutes >= 10)


if __name__ == "__main__":
    main()
