"""The runs that somebody sees who is not their owner: what they made themselves, and what the owner shows to others by
the tag `shared`. That is read, and changed by nobody but the owner.
"""

import builtins
import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

from ..errors import UserError
from ..jobs import Job
from .labels import labels_of
from .run import Run
from .store import RunStore, made_of

SHARED = "shared"
MINUTE = len("2026-11-29-0711")  # of an id, which begins with when its run was made

_changing: ContextVar[bool] = ContextVar("changing", default=False)


@contextlib.contextmanager
def changing(is_changing: bool = True) -> Iterator[None]:
    """Meanwhile what is found in a store may be changed, so that nothing of somebody else's is found."""
    token = _changing.set(is_changing)
    try:
        yield
    finally:
        _changing.reset(token)


class SeenRuns(RunStore):
    """Those of one home, and the shared ones of its owner's store."""

    def __init__(self, root: Path, owners: RunStore, tagged: Callable[[], Sequence[str]]) -> None:
        """tagged: ids of the owner's runs that are shared, as of a moment ago; each is looked at again."""
        super().__init__(root)
        self._owners, self._tagged = owners, tagged

    def is_own(self, id: str) -> bool:
        """Was it made here? What has the same id elsewhere is not seen."""
        return self._index.has(id)

    def get(self, id: str) -> Run:
        """Raises UserError for what is not seen here, and while something is changed for what is only read."""
        with contextlib.suppress(UserError):
            return super().get(id)
        run = self._owners.get(id)
        if SHARED not in labels_of(run).tags:
            raise self.not_there(id)
        if _changing.get():
            raise UserError(
                "run.shared", "{id} is shared with you: look at it and talk to it. Only its owner changes it.", id=id
            )
        return run

    def ids(self) -> builtins.list[str]:
        """Newest first."""
        own = self._index.ids()
        mine = set(own)
        seen = [*own, *(id for id in self._tagged() if id not in mine)]
        return sorted(seen, key=lambda id: id[:MINUTE], reverse=True)

    def at(self, id: str) -> Run:
        """The run of an id that `ids` named."""
        return super().at(id) if self.is_own(id) else self._owners.at(id)

    def list(self) -> builtins.list[Run]:
        """Newest first."""
        return [self.at(id) for id in self.ids()]

    def every(self) -> builtins.list[Job]:
        """Own ones only: the others are looked after where they lie."""
        found: builtins.list[Job] = []
        for run in map(super().at, self._index.ids()):
            found += [run, *made_of(run)]
        return found

    def delete(self, id: str) -> None:
        """As RunStore; raises UserError for what is not an own one."""
        with changing():
            super().delete(id)

    def discard(self, id: str) -> None:
        """As RunStore; raises UserError for what is not an own one."""
        with changing():
            super().discard(id)
