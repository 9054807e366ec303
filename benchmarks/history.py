"""What ten thousand runs and a comparison of eight long ones take in a real browser.  make history

Copies one finished run, opens the list in Chromium and sorts, searches and scrolls it, then compares eight runs of
100,000 steps. Prints milliseconds from what a person does to what stands on the screen, the middle of several. Needs
Playwright and Chromium.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import App, record, seconds_until, used_by_others
from playwright.sync_api import Page, sync_playwright

from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore
from qlora_app.runs.curve import Curve
from qlora_app.runs.labels import LABELS
from qlora_app.runs.summaries import Summaries
from qlora_app.storage.files import write_json

CHROMIUM = shutil.which("chromium")
ROUNDS = 5
ROW = "#runs-table tbody tr[data-run]:not([data-run=''])"
# Milliseconds until a condition of the page holds after something was done, measured by the page itself.
TIMED = """([done, holds]) => new Promise(told => {
  const began = performance.now(), fits = new Function('return ' + holds);
  const since = () => performance.now() - began;
  const look = () => fits() || since() > 30_000 ? told(since()) : requestAnimationFrame(look);
  new Function(done)(); look(); })"""


def long_run(store: RunStore, number: int, steps: int) -> Run:
    """A finished run with as many lines of metrics, and the curve that its worker would have left."""
    run = store.create(Recipe(name=f"long {number}"))
    dice, curve = random.Random(number), Curve()
    with run.hold() as out:
        with open(run.folder / "metrics.jsonl", "w", encoding="utf-8") as file:
            for step in range(1, steps + 1):
                row: dict[str, Any] = {"step": step, "loss": round(2 / step**0.3 + dice.random() / 5, 5)}
                row |= {"learning_rate": 1e-3 * (1 - step / steps), "grad_norm": dice.random(), "memory_mb": 600}
                row |= {"tokens": step * 512, "seconds": step / 10, "tokens_per_second": 5000}
                file.write(json.dumps(row) + "\n")
                curve.add(row)  # type: ignore[arg-type]
                if step % (steps // 20) == 0:
                    measured: dict[str, Any] = {"step": step, "held_out_loss": round(2 / step**0.3, 5)}
                    file.write(json.dumps(measured) + "\n")
                    curve.add(measured)  # type: ignore[arg-type]
        curve.offset = (run.folder / "metrics.jsonl").stat().st_size
        out.write_curve(curve)
        out.status = out.status.__class__("done", step=steps, total=steps, loss=0.1, seconds=steps / 10)
        out.write_status()
    return run


def many(store: RunStore, count: int) -> None:
    """Finished runs, by copying one, with names of their own."""
    first = store.create(Recipe(name="one"))
    with first.hold() as out:
        out.status = out.status.__class__("done", step=10, total=10, loss=0.5, held_out_loss=0.4, seconds=30)
        out.write_status()
    for number in range(count - 1):
        copy = store.root / f"2026-01-{1 + number % 28:02d}-{number // 60 % 24:02d}{number % 60:02d}-run-{number}"
        shutil.copytree(first.folder, copy)
        write_json(copy / LABELS, {"name": f"run {number}"}, lasting=False)


def seconds(page: Page, done: str, holds: str) -> float:
    return float(page.evaluate(TIMED, [done, holds]))


def middle(what: Callable[[], float], rounds: int = ROUNDS) -> str:
    values = [what() for _ in range(rounds)]
    return f"{statistics.median(values):.0f}"


def in_the_list(page: Page, url: str, count: int) -> dict[str, str]:
    """Milliseconds of what one does in the list."""
    page.goto(f"{url}/?tab=train")
    page.wait_for_function("window.guanacoReady === true", timeout=120_000)
    page.wait_for_timeout(3000)
    is_there = f"document.querySelectorAll(`{ROW}`).length > 10"
    tab = "[...document.querySelectorAll('[role=tab]')].find(one => one.textContent.includes('Runs')).click()"
    opened = seconds(page, tab, is_there)
    page.wait_for_function(f"document.querySelector('#runs-table .count').textContent.includes('{count:,} runs')")
    heads = ("name", "when")  # each begins with another run
    turn = iter(range(10_000))

    def sort() -> float:
        head = heads[next(turn) % len(heads)]
        first = f"document.querySelector(`{ROW}`)?.dataset.run"
        click = f"window.first = {first}; document.querySelector('#runs-table [data-sort={head}]').click()"
        return seconds(page, click, f"{first} && {first} !== window.first")

    def search() -> float:
        wanted = next(turn) + count // 2
        typed = f"""const box = document.querySelector('#runs-table [name=search]'); box.value = 'run {wanted}';
          box.dispatchEvent(new Event('input', {{bubbles: true}}));"""
        found = f"document.querySelector(`{ROW}`)?.textContent.includes('run {wanted}')"
        return seconds(page, typed, found)

    def scroll() -> float:
        place = (next(turn) * 997) % max(1, count - 40)
        moved = f"document.querySelector('#runs-table .runs-list').scrollTop = 36 * {place}"
        seen = f"document.querySelector(`#runs-table tr[aria-rowindex='{place + 5}'][data-run]:not([data-run=''])`)"
        return seconds(page, moved, seen)

    figures = {"list opened": f"{opened:.0f}", "sorted": middle(sort)}
    figures["searched"] = middle(search)
    empty = """const box = document.querySelector('#runs-table [name=search]'); box.value = '';
      box.dispatchEvent(new Event('input', {bubbles: true}));"""
    seconds(page, empty, f"document.querySelector('#runs-table .count').textContent.includes('{count:,} runs')")
    return figures | {"scrolled": middle(scroll)}


def compared(page: Page, url: str, runs: list[Run]) -> dict[str, str]:
    """Milliseconds until eight curves are drawn: from the link, and from the click on another one."""
    drawn = f"document.querySelectorAll('#comparison .overlay svg path:not(.raw)').length >= {len(runs)}"
    page.goto(f"{url}/?tab=runs&compare={'%2C'.join(run.id for run in runs)}")
    page.wait_for_function(drawn, timeout=120_000)
    page.wait_for_timeout(2000)

    def turned(name: str) -> float:
        other = f"document.querySelector('#comparison [data-series={name}][aria-pressed=true]') && {drawn}"
        click = f"document.querySelector('#comparison [data-series={name}]').click()"
        page.evaluate("document.querySelector('#comparison .plot').replaceChildren()")
        return seconds(page, click, other)

    first = [turned(name) for name in ("loss", "grad_norm", "tokens_per_second")]
    again = [turned(name) for name in ("loss", "grad_norm", "tokens_per_second")]
    return {
        "eight curves the first time": f"{max(first):.0f}",
        "again": f"{max(again):.0f}",
    }


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--runs", type=int, default=10_000)
    given.add_argument("--steps", type=int, default=100_000)
    asked = given.parse_args()
    others = used_by_others()
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        store = RunStore(Path(folder) / "runs")
        long = [long_run(store, number, asked.steps) for number in range(8)]
        many(store, asked.runs - len(long))
        began = time.monotonic()
        summaries = Summaries(store)
        seconds_until(lambda: bool(summaries.rows()) and not summaries.unread, most=600)
        read = time.monotonic() - began
        app = App(Path(folder))
        try:
            seconds_until(app.answers)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                figures = in_the_list(page, app.url, asked.runs) | compared(page, app.url, long)
                browser.close()
        finally:
            app.close()
    told = {"runs": f"{asked.runs:,}", "read once, s": f"{read:.1f}"} | {
        f"{name}, ms": ms for name, ms in figures.items()
    }
    print(told)
    record("history", told, others, keep=asked.runs >= 10_000 and asked.steps >= 100_000)


if __name__ == "__main__":
    main()
