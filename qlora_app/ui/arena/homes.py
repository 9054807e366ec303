"""The arenas of one home, by their names."""

import threading
from collections import OrderedDict

from ...errors import UserError
from ...evaluate.arena import Arena
from ...jobs import JobStore
from ...settings import Settings
from ..quota import Quota

MOST_KEPT = 50  # arenas whose votes are kept in memory


class Arenas:
    """Those of the owner, or of a member: with a quota, which what raters write counts against."""

    def __init__(self, settings: Settings, quota: Quota | None = None) -> None:
        self.settings, self.quota = settings, quota
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Arena] = OrderedDict()

    @property
    def is_members(self) -> bool:
        return self.quota is not None

    def get(self, name: str) -> Arena:
        """The one of exactly that name. Raises UserError."""
        job = JobStore(self.settings.evaluations).get(name)
        if job.kind != "arena":
            raise no_link()
        with self._lock:
            arena = self._known.setdefault(name, Arena(job.folder))
            self._known.move_to_end(name)
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
            return arena

    def check_room(self) -> None:
        """Raises UserError where a member's home is full. Raters are told no more of it than that."""
        if self.quota is None:
            return
        try:
            self.quota.check_space()
        except UserError as error:
            raise UserError(
                "arena.full", "No more votes are taken here for now. Tell whoever sent you the link."
            ) from error


def no_link() -> UserError:
    """The same for an arena that is not there and for a wrong link to one that is."""
    return UserError("arena.no_link", "This link opens nothing, or not any more. Ask whoever sent it for another one.")
