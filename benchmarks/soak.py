"""Does anything grow while much happens: pages look, people chat, trainings begin, end, are stopped and killed?
make soak, or make load WITH="--soak 30"

The real app. Every ten seconds its memory, open files, threads and children are counted. Adds to RESULTS.md how much
more there was in the last third of the time than in the middle one: all that is loaded once was loaded by then.
"""

import argparse
import asyncio
import contextlib
import itertools
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from measuring import App, record, seconds_until, used_by_others
from page import VISIT, Site, start
from player import Line, Looked, Page

from qlora_app.runs import Run, RunStore

PAGES, CHATS, READS = 20, 3, 5.0  # seconds in which a person reads
MINUTES = 10.0
EVERY = 10.0  # seconds between two counts
LIVES = 12.0  # seconds of a training until something is done to it
FATES = ("stop", "stop-now", "kill")
GROWN = 1.1  # times of anything: more is a leak


class Held(NamedTuple):
    """What the server holds at one moment."""

    megabytes: float
    files: int
    threads: int
    children: int


def held_by(server: psutil.Process) -> Held:
    """Now."""
    children = len(server.children(recursive=True))
    return Held(server.memory_info().rss / 1e6, server.num_fds(), server.num_threads(), children)


class Soak:
    """Everything that happens, until an instant of the clock `time.perf_counter`."""

    def __init__(self, app: App, store: RunStore, site: Site, finished: Run, until: float) -> None:
        self.app, self.store, self.site, self.finished, self.until = app, store, site, finished, until
        self.looked = Looked()
        self.held: list[Held] = []
        self.answers = self.trainings = 0
        self.errors: list[str] = []
        self.moving = finished  # what the pages look at

    @property
    def is_over(self) -> bool:
        return time.perf_counter() > self.until

    async def everything(self) -> None:
        pages = (self._page(number) for number in range(PAGES))
        await asyncio.gather(*pages, *map(self._chat, range(CHATS)), self._train(), self._count())

    async def _page(self, number: int) -> None:
        """One that is closed and opened again every half minute, as people do."""
        for visit in itertools.count():
            if self.is_over:
                return
            until = min(self.until, time.perf_counter() + random.uniform(15, 45))
            name = f"page{number}-{visit}"
            await self._safely("visit", self.site.click(VISIT, name))
            page = Page(Line(self.app.url), name, self.moving, self.site.card, self.site.bar, self.looked)
            await page.looked_at(until)

    async def _chat(self, number: int) -> None:
        await self._safely("visit", self.site.click(VISIT, f"chat{number}"))
        while not self.is_over:
            await self._safely("chat", self.site.chat(f"chat{number}", self.finished))
            self.answers += 1
            await asyncio.sleep(READS)

    async def _train(self) -> None:
        """One after the other: each is stopped, left or killed, and the killed one is deleted."""
        for fate in itertools.cycle(FATES):
            if self.is_over:
                return
            run = start(self.store, max_steps=1_000_000, epochs=1000.0)
            await until(lambda run=run: run.status().step > 2)
            self.moving = run
            await asyncio.sleep(LIVES)
            if fate == "kill":
                with contextlib.suppress(ProcessLookupError):
                    psutil.Process(run.launch_file.pid()).send_signal(signal.SIGKILL)
            else:
                run.request(fate)
            await until(lambda run=run: run.status().has_ended and not run.is_alive())
            self.trainings += 1
            if fate == "kill":
                self.store.delete(run.id)

    async def _count(self) -> None:
        server = psutil.Process(self.app.process.pid)
        while not self.is_over:
            self.held.append(held_by(server))
            print(*(f"{value:.0f} {name}" for name, value in self.held[-1]._asdict().items()), sep=", ", flush=True)
            await asyncio.sleep(EVERY)

    async def _safely(self, what: str, done: object) -> None:
        try:
            await done  # type: ignore[misc]
        except (httpx.HTTPError, RuntimeError) as error:
            self.errors.append(f"{what}: {error!r}")


async def until(happened: Callable[[], object], most: float = 300) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(most):
        while not happened():
            await asyncio.sleep(0.1)


def growth(held: list[Held]) -> dict[str, float]:
    """{what: how many times as much in the last third as in the middle one}, by their medians."""
    third = len(held) // 3
    middle, last = held[third : 2 * third], held[-third:]
    return {
        name: statistics.median(getattr(one, name) for one in last)
        / max(1.0, statistics.median(getattr(one, name) for one in middle))
        for name in Held._fields
    }


async def happen(app: App, store: RunStore, finished: Run, minutes: float) -> Soak:
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)
    async with httpx.AsyncClient(base_url=app.url, timeout=120, limits=limits) as client:
        site = await Site.open(client)
        happening = Soak(app, store, site, finished, time.perf_counter() + 60 * minutes)
        await happening.everything()
        return happening


def soak(minutes: float) -> None:
    """Prints what was held, what grew, and what went wrong."""
    others = used_by_others()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        home = Path(folder)
        app, store = App(home), RunStore(home / "runs")
        try:
            seconds_until(app.answers)
            finished = start(store, max_steps=20)
            seconds_until(lambda: finished.status().has_ended)
            found = asyncio.run(happen(app, store, finished, minutes))
        finally:
            for run in store.list():
                run.request("stop-now")
            seconds_until(lambda: not any(run.is_alive() for run in store.list()))
            app.close()
    errors = [*found.errors, *found.looked.errors]
    for error in errors[:10]:
        print(error)
    grown = growth(found.held)
    figures = {
        "minutes": f"{minutes:.0f}",
        "errors": str(len(errors)),
        "looks": f"{found.looked.count:,}",
        "answers": str(found.answers),
        "trainings": str(found.trainings),
        **{f"{name}, last / middle": f"{times:.2f}" for name, times in grown.items()},
        "MB at the end": f"{found.held[-1].megabytes:.0f}",
    }
    print(figures, flush=True)
    for name, times in grown.items():
        if times > GROWN:
            print(f"{name} grew: {times:.2f} times")
    record("soak", figures, others, keep=minutes >= MINUTES)


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--minutes", type=float, default=MINUTES)
    soak(given.parse_args().minutes)


if __name__ == "__main__":
    main()
