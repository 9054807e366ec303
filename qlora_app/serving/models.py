"""The names that a program may ask: every run that has saved something, and behind @base the model it began from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..errors import UserError
from ..inference.pool import ModelPool
from ..inference.session import ChatSession
from ..runs import Run, RunStore
from ..runs.labels import labels_of
from .problems import ApiError

BASE = "@base"
STEP = re.compile("[0-9]{1,12}")
MOST_LISTED = 100  # of the newest; others are answered too, by their name


@dataclass(frozen=True)
class Asked:
    """Who answers."""

    name: str  # as the program said it
    run: Run
    of_base: bool
    step: int | None = None  # of a checkpoint; None for the newest adapter


class ServedModels:
    """The runs of a store that hold conversations, or only some of them."""

    def __init__(self, store: RunStore, pool: ModelPool, only: tuple[str, ...] = ()) -> None:
        """only: ids of runs; none for all."""
        self.store, self.pool, self.only = store, pool, only

    def rows(self) -> list[dict[str, Any]]:
        """As GET /v1/models answers."""
        rows = []
        for run in islice(self._answering(), MOST_LISTED):
            checkpoints = [f"{run.id}@{step}" for step in run.saved_steps()]
            rows += [_row(name, run) for name in (run.id, run.id + BASE, *checkpoints)]
        return rows

    def get(self, name: str) -> dict[str, Any]:
        """One of them. Raises ApiError."""
        return _row(name, self.find(name).run)

    def find(self, name: str) -> Asked:
        """By a run's id, the name it was given, the beginning of an id, or `latest`; with @base or @STEP behind it.

        Raises ApiError.
        """
        if run := self._found(name):  # a name that somebody gave may hold anything
            return Asked(name, run, of_base=False)
        bare, _, part = name.rpartition("@")
        run = self._found(bare)
        if run is not None and part == "base":
            return Asked(name, run, of_base=True)
        if run is not None and STEP.fullmatch(part) and run.adapter_at(int(part)):
            return Asked(name, run, of_base=False, step=int(part))
        words = f"There is no model {name!r} here. GET /v1/models lists them."
        raise ApiError(404, words, "model", "model_not_found")

    def session(self, asked: Asked) -> ChatSession:
        """Waits until it is loaded. Raises ApiError."""
        try:
            task = asked.run.task()
            if not task.is_chat:
                words = f"{asked.name} is trained for {task.title} and holds no conversation."
                raise ApiError(400, words, "model", "no_chat")
            return self.pool.get(asked.run, asked.step)
        except UserError as error:
            raise ApiError.of(error, 400, "model") from error

    def _found(self, name: str) -> Run | None:
        if not name:
            return None
        runs = self._runs()
        exact = [run for run in runs if run.id == name] or [
            run for run in runs[:MOST_LISTED] if labels_of(run).name == name
        ]
        if exact:
            return exact[0]
        if name == "latest":
            return next(self._answering(), None)
        begin = [run for run in runs if run.id.startswith(name)]
        return begin[0] if len(begin) == 1 else None

    def _answering(self) -> Iterator[Run]:
        """Newest first, those that have saved something and hold conversations."""
        for run in self._runs():
            if run.newest_adapter() is not None and _is_chat(run):
                yield run

    def _runs(self) -> list[Run]:
        """Newest first; those that are still there."""
        return [run for run in self.store.list() if not self.only or run.id in self.only]


def _is_chat(run: Run) -> bool:
    try:
        return run.task().is_chat
    except UserError:
        return False


def _row(name: str, run: Run) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(run.created_at()), "owned_by": "guanaco-workshop"}
