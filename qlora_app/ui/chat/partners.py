"""Whom one may talk to: every run that has saved something, found by words, and told apart by them."""

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ...differs import differs_words
from ...errors import UserError
from ...recipe import Recipe
from ...runs import Run
from ...runs.proof import Proof
from ...runs.recipes import recipe_of
from ..context import AppContext
from ..differs_words import differs_in
from ..runs.card_parts import STATES, title_of
from ..translate import translate, visitors_language
from .chips import example_questions

LISTED, MOST_LISTED = 60, 2000  # in the picker at first, and at most
LONG_ENOUGH = 1.0  # seconds of looking; what was read by then is not read again
REMEMBERED = 20_000  # runs whose words are kept


@dataclass(frozen=True)
class Found:
    """Rows of the picker; are there more of them?"""

    rows: list[dict[str, str]]
    more: bool


class Partners:
    """The runs as those see them who may."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._words = functools.lru_cache(maxsize=REMEMBERED)(self._read_words)

    def newest(self) -> Run | None:
        """The first one of the picker."""
        return next((run for run in self._runs() if run.newest_adapter()), None)

    def find(self, words: str, most: int = LISTED, only_chats: bool = False) -> Found:
        """The newest runs whose name, words or id hold all of the words. only_chats: that answer conversations."""
        wanted, until = words.casefold().split(), time.monotonic() + LONG_ENOUGH
        rows: list[dict[str, str]] = []
        for run in self._runs():
            if len(rows) >= most or time.monotonic() > until:
                return Found(rows, more=True)
            said = self.words_of(run)
            text = f"{said['title']} {said['differs']} {said['base']} {run.id}".casefold()
            is_wanted = all(word in text for word in wanted) and (said["task"] == "chat" or not only_chats)
            if is_wanted and run.newest_adapter():
                rows.append(said | {"state": translate(STATES.get(run.status().state, ""))})
        return Found(rows, more=False)

    def _runs(self) -> Iterator[Run]:
        """Newest first; of thousands only those that are looked at are made."""
        return map(self.page.store.at, self.page.store.ids())

    def words_of(self, run: Run) -> dict[str, str]:
        """What tells a run from others: its name, its base, what is not as recommended, and when it began."""
        return {"run": run.id, "title": title_of(run), "when": _when(run), **self._said(run)}

    def _said(self, run: Run) -> dict[str, str]:
        words = self._words(run.id, _written(run))
        return words | {"differs": differs_in(words["differs"], visitors_language())}

    def facts(self, run: Run) -> dict[str, Any]:
        """What the page shows of the one that is talked to."""
        asked = {"chips": example_questions(self.page, run)} if run.task().is_chat else {"chips": []}
        endpoints = [one.name for one in self.page.endpoints]
        return self.words_of(run) | {"isChat": run.task().is_chat, "endpoints": endpoints} | asked

    def _read_words(self, id: str, written: tuple[int, ...]) -> dict[str, str]:
        run = self.page.store.get(id)
        recipe = recipe_of(run) if self.page.may_open(run) else None
        if recipe is None:
            return {"differs": "", "base": "", "task": _task(run)}
        return {"differs": _differs(recipe, run), "base": recipe.base_model.title, "task": _task(run)}


def _task(run: Run) -> str:
    """ "chat" where it answers conversations."""
    try:
        return "chat" if run.task().is_chat else "other"
    except UserError:
        return ""  # its recipe cannot be read


def _differs(recipe: Recipe, run: Run) -> str:
    try:
        return differs_words(recipe, Proof.from_json(run.proof()).data.trained or None)
    except UserError:
        return ""  # its model or its data is not there any more


def _written(run: Run) -> tuple[int, ...]:
    """When its recipe, its task and its proof were; 0 for what is not there."""
    files = (run.folder / "recipe.yaml", run.folder / "task.json", run.adapter / "proof.json")
    return tuple(map(_when_written, files))


def _when_written(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _when(run: Run) -> str:
    started = datetime.fromtimestamp(run.created_at())
    return translate(f"{started:%b} {started.day}, {started:%H:%M}")
