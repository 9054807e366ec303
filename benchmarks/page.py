"""What do fifty open pages cost the server, and how long does a click take while it trains and chats?  make bench

The real app with a real training run; each page asks for what changed once a second, just as its script does. Prints
milliseconds of processor time and bytes a poll, then how long clicks take while two people chat as well. Adds them,
with date and machine, to RESULTS.md.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
from measuring import App, record, seconds_until, used_by_others

from qlora_app.presets import Presets
from qlora_app.runs import Run, RunStore

QUESTION = "Where does Mira live?"
Touched = tuple[str | None, str]
VISIT = (None, "load")  # fills the form and the list of runs
NOTHING_MEASURED = {"evaluations": 0, "samples": 0, "checkpoints": 0, "scored_questions": 0}


class Site:
    """The app's endpoints, found by what a person touches: (the component's or the tab's id, the event)."""

    def __init__(self, client: httpx.AsyncClient, config: dict[str, Any]) -> None:
        self.client = client
        names = {c["id"]: c["props"].get("elem_id") or c["props"].get("id") for c in config["components"]}
        # the first of several handlers of one event is the one that asks the server
        self.endpoints = {
            (names.get(component), event): d
            for d in reversed(config["dependencies"])
            for component, event in d["targets"]
        }
        self.values = {c["id"]: c["props"].get("value") for c in config["components"]}
        self.card, self.bar, self.room = (
            next(id for id, name in names.items() if name == wanted) for wanted in ("live", "bar", "room")
        )

    @classmethod
    async def open(cls, client: httpx.AsyncClient) -> "Site":
        return cls(client, (await client.get("/config")).json())

    async def poll(self, session: str, asked: dict[str, Any]) -> httpx.Response:
        body = {"component_id": self.card, "fn_name": "poll", "session_hash": session, "data": asked}
        return (await self.client.post("/gradio_api/component_server", json=body)).raise_for_status()

    def call(self, what: Touched, session: str, data: list[Any] | None, event: dict[str, Any] | None) -> dict[str, Any]:
        """The body of an event; without data the components' first values are sent."""
        endpoint = self.endpoints[what]
        return {
            "fn_index": endpoint["id"],
            "session_hash": session,
            "event_data": event,
            "data": [self.values[i] for i in endpoint["inputs"]] if data is None else data,
        }

    async def click(
        self, what: Touched, session: str, data: list[Any] | None = None, event: dict[str, Any] | None = None
    ) -> float:
        """Seconds until the answer is there."""
        began = time.perf_counter()
        (
            await self.client.post("/gradio_api/run/predict", json=self.call(what, session, data, event))
        ).raise_for_status()
        return time.perf_counter() - began

    async def chat(self, session: str, run: Run) -> None:
        """Ask one question and read the whole answer."""
        event = {"asking": "1", "question": QUESTION, "before": []}
        data = [run.id if one == self.room else None for one in self.endpoints["room", "ask"]["inputs"]]
        question = self.call(("room", "ask"), session, data, event)
        joined = await self.client.post("/gradio_api/queue/join", json=question)
        joined.raise_for_status()
        async with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(f"the chat failed: {message['output']}")
                    return


async def look(site: Site, run: Run, name: str, until: float, sizes: list[int], times: list[float]) -> None:
    """One open page: asks once a second and knows what it was told before."""
    seen: dict[str, int] = {}
    known: dict[str, Any] = {}
    while time.perf_counter() < until:
        began = time.perf_counter()
        answer = await site.poll(name, {"run": run.id, "seen": seen, "chart": known, "log": False, "others": True})
        news = answer.json()
        seen, chart = news["seen"], news["chart"]
        known = {"grouping": chart["grouping"], "count": chart["from"] + len(chart["points"]["x"])}
        times.append(time.perf_counter() - began)
        sizes.append(len(answer.content))
        await asyncio.sleep(max(0.0, 1 - (time.perf_counter() - began)))


async def polling(site: Site, run: Run, pages: int, seconds: float) -> tuple[list[int], list[float]]:
    sizes: list[int] = []
    times: list[float] = []

    async def one(number: int) -> None:
        await asyncio.sleep(number / pages)  # people do not open their pages at the same instant
        await look(site, run, f"page{number}", time.perf_counter() + seconds, sizes, times)

    await asyncio.gather(*(one(number) for number in range(pages)))
    return sizes, times


async def clicking(site: Site, run: Run, seconds: float) -> list[float]:
    """Somebody goes through the tabs, opens runs and changes the effort, three times a second."""
    await site.click(VISIT, "clicker")
    kinds = itertools.cycle(
        [
            (("effort", "input"), None, None),
            (("runs", "select"), ["", ""], None),
            (("run-head", "back"), [], None),
            (("runs-table", "open"), [], {"run": run.id}),
            (("f-name", "input"), None, None),
            (("chat", "select"), [run.id, None, run.id], None),
        ]
    )
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        what, data, event = next(kinds)
        times.append(await site.click(what, "clicker", data, event))
        await asyncio.sleep(0.33)
    return times


async def chatting(site: Site, run: Run, name: str, until: float) -> int:
    await site.click(VISIT, name)
    answers = 0
    while time.perf_counter() < until:
        await site.chat(name, run)
        answers += 1
    return answers


async def measure(app: App, finished: Run, live: Run, pages: int, seconds: float) -> dict[str, str]:
    process = psutil.Process(app.process.pid)

    def used() -> float:
        times = process.cpu_times()
        return times.user + times.system

    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=app.url, timeout=60, limits=limits) as client:
        site = await Site.open(client)
        await site.click(VISIT, "first")
        before = used()
        for number in range(pages):  # a page asks for news after it was opened; what that takes is no part of a poll
            await site.click(VISIT, f"page{number}")
        visit = 1000 * (used() - before) / pages
        before = used()
        await asyncio.sleep(seconds / 3)
        at_rest = (used() - before) / (seconds / 3)
        before, began = used(), time.perf_counter()
        sizes, times = await polling(site, live, pages, seconds)
        server = 1000 * (used() - before - at_rest * (time.perf_counter() - began)) / len(sizes)
        await site.chat("first", finished)  # not counted: loads the model
        until = time.perf_counter() + seconds
        _, clicks, *answers = await asyncio.gather(
            polling(site, live, pages, seconds),
            clicking(site, finished, seconds),
            *(chatting(site, finished, f"chat{n}", until) for n in range(2)),
        )
    click, p95 = 1000 * statistics.median(clicks), 1000 * statistics.quantiles(clicks, n=20)[-1]
    size = statistics.mean(sizes) / 1000
    print(
        f"{pages} pages, each opened in {visit:.0f} ms; {len(sizes)} polls, each {server:.1f} ms of the server's "
        f"processor and "
        f"{size:.1f} kB (the first {max(sizes) / 1000:.1f} kB), answered in {1000 * statistics.median(times):.0f} ms\n"
        f"{len(clicks)} clicks while it trains and gives {sum(answers)} answers: {click:.0f} ms, p95 {p95:.0f} ms"
    )
    return {
        "pages": str(pages),
        "server ms a poll": f"{server:.1f}",
        "kB a poll": f"{size:.1f}",
        "click ms": f"{click:.0f}",
        "click p95 ms": f"{p95:.0f}",
    }


def start(store: RunStore, **training: Any) -> Run:
    recipe = Presets().load("starter")
    run = store.create(
        recipe.model_copy(update={"training": recipe.training.model_copy(update=NOTHING_MEASURED | training)})
    )
    run.request("start")
    return run


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--pages", type=int, default=50)
    ask.add_argument("--seconds", type=float, default=30, help="of each of the two measurements")
    ask.add_argument(
        "--quick", action="store_true", help="a few pages for a few seconds, to see that it runs; nothing is recorded"
    )
    given, others = ask.parse_args(), used_by_others()
    pages, seconds = (3, 3.0) if given.quick else (given.pages, given.seconds)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QLORA_APP_HOME"] = folder
        store, app = RunStore(Path(folder) / "runs"), App(Path(folder))
        try:
            seconds_until(app.answers)
            finished = start(store, max_steps=2)
            seconds_until(lambda: finished.status().state == "done")
            live = start(store, max_steps=1_000_000, epochs=1000.0)
            seconds_until(lambda: live.status().step > 2)
            figures = asyncio.run(measure(app, finished, live, pages, seconds))
        finally:
            for run in store.list():
                run.request("stop-now")
            app.close()
            seconds_until(lambda: not any(run.is_alive() for run in store.list()))
    record("page", figures, others, keep=not given.quick)


if __name__ == "__main__":
    main()
