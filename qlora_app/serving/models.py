"""The names that a program may ask: every run that has saved something, and behind @base the model it began from."""

from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..inference.pool import ModelPool
from ..inference.session import ChatSession
from ..runs import Run, RunStore
from ..runs.finding import find_run
from ..runs.labels import labels_of
from .problems import ApiError

BASE = "@base"
MOST_LISTED = 100  # of the newest; others are answered too, by their name


@dataclass(frozen=True)
class Asked:
    """Who answers."""

    name: str  # as the program said it
    run: Run
    of_base: bool


class ServedModels:
    """The runs of a store, or only some of them."""

    def __init__(self, store: RunStore, pool: ModelPool, only: tuple[str, ...] = ()) -> None:
        """only: ids of runs; none for all."""
        self.store, self.pool, self.only = store, pool, only

    def rows(self) -> list[dict[str, Any]]:
        """As GET /v1/models answers."""
        rows = []
        for run in self._runs():
            if run.newest_adapter() is None:
                continue
            for name in (run.id, run.id + BASE):
                rows.append(_row(name, run))
            if len(rows) >= 2 * MOST_LISTED:
                break
        return rows

    def get(self, name: str) -> dict[str, Any]:
        """One of them. Raises ApiError."""
        return _row(name, self.find(name).run)

    def find(self, name: str) -> Asked:
        """By a run's id, the beginning of one, the name it was given, or `latest`. Raises ApiError."""
        bare = name.removesuffix(BASE)
        try:
            run = self._named(bare) or find_run(bare, self.store, with_adapter=True)
        except UserError:
            run = None
        if run is None or (self.only and run.id not in self.only):
            raise ApiError(
                404, f"There is no model {name!r} here. GET /v1/models lists them.", "model", "model_not_found"
            )
        return Asked(name, run, name.endswith(BASE))

    def session(self, asked: Asked) -> ChatSession:
        """Waits until it is loaded. Raises ApiError."""
        try:
            session = self.pool.get(asked.run)
        except UserError as error:
            raise ApiError.of(error, 400, "model") from error
        if not session.task.is_chat:
            title = session.task.title
            raise ApiError(400, f"{asked.name} is trained for {title} and holds no conversation.", "model", "no_chat")
        return session

    def _runs(self) -> list[Run]:
        if self.only:
            return [self.store.get(id) for id in self.only]
        return self.store.list()

    def _named(self, name: str) -> Run | None:
        return next((run for run in self._runs()[:MOST_LISTED] if labels_of(run).name == name), None)


def _row(name: str, run: Run) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(run.created_at()), "owned_by": "guanaco-workshop"}
