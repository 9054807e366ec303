"""All homes of a server kept in one private repository of the Hub: the owner's, and below `members/` those of members.
Each comes back into the home of the same name, and of nobody else.
"""

from collections.abc import Callable

from ..accounts import NAME, Accounts, members_in
from ..hub import explain
from ..hub.last_sent import note_sent
from ..settings import Settings
from .on_hub import KeptRuns


class KeptHomes:
    """What `KeptRuns` does for one home, for all of them. A member's run is called `NAME/ID` here."""

    def __init__(self, settings: Settings) -> None:
        """Raises UserError as KeptRuns does."""
        self.settings = settings
        self.accounts = Accounts(settings)
        self._owners = KeptRuns(settings)
        self._members: dict[str, KeptRuns] = {}

    def fetch(self, tell: Callable[[int, int], None] = lambda here, of: None) -> list[str]:
        """The runs that came: the owner's first, then those of everybody who is a member now. Raises UserError.

        tell: hears how many of how many runs of the owner's came.
        """
        came = self._owners.fetch(tell)
        for name in self.in_repository():
            if self.accounts.is_member(name):
                came += self._fetch_of(name)
        return came

    def send(self) -> list[str]:
        """The runs that were sent because they have changed. Raises UserError, and what is wrong with one home only
        once all others are sent.
        """
        sent, failed = [], None
        for name in ["", *members_in(self.settings)]:
            try:
                sent += self._send_of(name) if name else self._owners.send()
            except Exception as error:  # said below: one home must not keep another from being sent
                failed = failed or error
        if failed:
            raise failed
        note_sent(self.settings)
        return sent

    def in_repository(self) -> list[str]:
        """Whose homes are kept there. Raises UserError where the Hub cannot be asked."""
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

        try:
            names = [path.rpartition("/")[2] for path in self._owners.folders_in("members")]
        except (EntryNotFoundError, RepositoryNotFoundError):  # of nobody yet
            return []
        except Exception as error:  # whatever the network does, the person gets a sentence
            raise explain(error, self._owners.repository, True) from error
        return sorted(name for name in names if NAME.fullmatch(name))

    def left_there(self) -> list[str]:
        """Whose homes stay in the repository because they are no members any more. Raises as `in_repository` does."""
        return [name for name in self.in_repository() if not self.accounts.is_member(name)]

    def _fetch_of(self, name: str) -> list[str]:
        kept = self._members[name] = KeptRuns(self.settings, name)
        return [f"{name}/{id}" for id in kept.fetch()]

    def _send_of(self, name: str) -> list[str]:
        """Of a member who came after the start, what is kept of them comes first."""
        if name not in self._members:
            self._fetch_of(name)
        return [f"{name}/{id}" for id in self._members[name].send()]
