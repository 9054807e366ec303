"""How much do four people who chat slow a training down?  make crowd

`app.py` trains the starter, alone and beside four people who ask another of its runs, in turn: without a pause, or with
the seconds that people take to read. Adds to RESULTS.md how many times as long a step took, and what was answered.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from measuring import App, record, seconds_until, used_by_others

from qlora_app.presets import Presets
from qlora_app.runs import Run, RunStore

PEOPLE, STEPS, SKIPPED = 4, 120, 20  # of a training, and those at its beginning that are not counted
READS = 5.0  # seconds between two questions of a person


def trained(app: App, store: RunStore, steps: int) -> tuple[Run, float]:
    """A run, and the milliseconds of its steps in the middle."""
    recipe = Presets().load("starter")
    training = recipe.training.model_copy(
        update={"max_steps": steps, "samples": 0, "evaluations": 1, "checkpoints": 1, "scored_questions": 1}
    )
    run = store.create(recipe.model_copy(update={"training": training}))
    run.ask_to_start()
    seconds_until(lambda: run.status().has_ended)
    lines = (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    times = [row["seconds"] for row in map(json.loads, lines) if "seconds" in row][SKIPPED:]
    return run, 1000 * statistics.median(later - earlier for earlier, later in itertools.pairwise(times))


class Crowd:
    """People who ask a run again and again."""

    def __init__(self, url: str, run: str, reads: float) -> None:
        self.url, self.run, self.reads = url, run, reads
        self.first_tokens: list[float] = []
        self.tokens = 0
        self._over = threading.Event()

    @contextmanager
    def chatting(self) -> Iterator[None]:
        people = [threading.Thread(target=self._chat, args=(number,)) for number in range(PEOPLE)]
        for one in people:
            one.start()
        yield
        self._over.set()
        for one in people:
            one.join()

    def _chat(self, number: int) -> None:
        with httpx.Client(base_url=self.url, timeout=120) as client:
            while not self._over.wait(self.reads):
                self._ask(client, f"Where does Mira live? Question {number} of {self.tokens}.")

    def _ask(self, client: httpx.Client, question: str) -> None:
        messages = [{"role": "user", "content": question}]
        body: dict[str, Any] = {"model": f"{self.run}@base", "messages": messages, "stream": True, "max_tokens": 100}
        began, count = time.monotonic(), 0
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    count += 1
                if count == 2:  # the first one names who speaks
                    self.first_tokens.append(time.monotonic() - began)
                    count += 1
        self.tokens += count


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rounds", type=int, default=3)
    given.add_argument("--steps", type=int, default=STEPS)
    asked = given.parse_args()
    others = used_by_others()
    with tempfile.TemporaryDirectory(prefix="crowd-") as folder:
        home = Path(folder)
        app = App(home)
        try:
            seconds_until(app.answers)
            figures = measured(app, RunStore(home / "runs"), asked.rounds, asked.steps)
        finally:
            app.close()
    print(figures, flush=True)
    record("crowd", figures, others, keep=asked.rounds >= 3)


def measured(app: App, store: RunStore, rounds: int, steps: int) -> dict[str, str]:
    run, _ = trained(app, store, SKIPPED + 2)
    alone: list[float] = []
    slowed: dict[float, list[float]] = {0.0: [], READS: []}
    crowds: dict[float, Crowd] = {}
    for _ in range(rounds):
        alone.append(trained(app, store, steps)[1])
        for reads, times in slowed.items():
            crowds[reads] = crowd = Crowd(app.url, run.id, reads)
            with crowd.chatting():
                times.append(trained(app, store, steps)[1])
    busy, reading = (statistics.median(b / a for a, b in zip(alone, slowed[reads], strict=True)) for reads in slowed)
    return {
        "a step alone, ms": f"{statistics.median(alone):.0f}",
        "four people at once, times": f"{busy:.2f}",
        "first token, s": f"{statistics.median(crowds[0.0].first_tokens):.2f}",
        "four people who read for 5 s, times": f"{reading:.2f}",
        "their first token, s": f"{statistics.median(crowds[READS].first_tokens):.2f}",
    }


if __name__ == "__main__":
    main()
