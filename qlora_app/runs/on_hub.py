"""Runs kept in a private repository of the Hub, for a machine whose disk is gone after its sleep, as that of a Space
without storage: what is missing here is fetched, and what has changed is sent, each run as one commit.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..hub import Repository, explain, is_public
from ..settings import Settings
from ..storage.files import write_json
from ..storage.reading import is_regular, read_json
from .checkpoints import newest_complete
from .run import Run
from .store import RunStore

KNOWN = "kept_runs.json"  # in the home: runs that lie there too; one that is no more here was deleted here
STAYS_HERE = ("lock", "requests", "exports", "checkpoints")  # of this machine, or can be made again


class KeptRuns:
    """The home's runs and uploaded data, and the same in a repository."""

    def __init__(self, settings: Settings) -> None:
        """Raises UserError where the settings name no repository, or no token that may write to it."""
        from huggingface_hub import HfApi
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        self.repository = Repository(settings.keep_runs or "", kind="dataset")
        if problems := self.repository.problems("you/my-runs"):
            raise UserError.of_all(problems)
        if not settings.token:
            raise UserError(
                "keep.no_token",
                "QLORA_APP_KEEP_RUNS needs a token that may write: set QLORA_APP_HUB_TOKEN to it, and start the app "
                "again.",
            )
        self.settings, self.store = settings, RunStore(settings.runs)
        self._api: Any = HfApi(token=settings.token)
        self._place = {"repo_id": self.repository.id, "repo_type": "dataset"}
        self._sent: dict[str, Any] = {}

    def fetch(self) -> list[str]:
        """The runs that came, and with them uploaded data. What lies here already stays as it is. Raises UserError."""
        self.settings.make_home()
        with tempfile.TemporaryDirectory(dir=self.settings.home, prefix=".fetching-") as folder:
            came = Path(folder)
            self._asked(lambda: self._download(came))
            names = _taken_over(came / "runs", self.settings.runs)
            _taken_over(came / "data", self.settings.data)
        for name in names:
            self._sent[name] = _mark(self.store.get(name))
        self._know([*self._known(), *names])
        return names

    def send(self) -> list[str]:
        """The runs that were sent because they have changed. One that was deleted here is deleted there too.

        Raises UserError.
        """
        self._asked(self._create)
        here = {id: _mark(self.store.get(id)) for id in self.store.ids()}
        changed = [id for id, mark in here.items() if self._sent.get(id) != mark]
        for id in changed:
            self._asked(lambda id=id: self._send_run(self.store.get(id)))
            self._sent[id] = here[id]
            self._know([*self._known(), id])
        if self.settings.data.is_dir() and changed:
            self._asked(self._send_data)
        for id in [one for one in self._known() if one not in here]:
            self._asked(lambda id=id: self._delete(id))
        return changed

    # ---- the Hub

    def _download(self, folder: Path) -> None:
        """What is there and not here, but for what was deleted here."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError

        here = {f"runs/{id}" for id in [*self.store.ids(), *self._known()]}
        here |= {f"data/{path.name}" for path in self.settings.data.glob("*")}
        try:
            entries = list(self._api.list_repo_tree(**self._place, recursive=True))
        except RepositoryNotFoundError:  # nothing was kept yet
            return
        files = [one.path for one in entries if hasattr(one, "blob_id")]
        wanted = [name for name in files if "/".join(name.split("/")[:2]) not in here]
        if wanted:
            snapshot_download(**self._place, local_dir=folder, token=self.settings.token, allow_patterns=wanted)

    def _create(self) -> None:
        self._api.create_repo(**self._place, private=True, exist_ok=True)
        if not self._api.repo_info(**self._place).private:
            raise is_public(self.repository)

    def _send_run(self, run: Run) -> None:
        """As it is at this moment: of a run that goes on, its files change while they are read."""
        with tempfile.TemporaryDirectory(dir=self.settings.home, prefix=".sending-") as folder:
            _copy(run, Path(folder))
            self._api.upload_folder(
                **self._place,
                folder_path=folder,
                path_in_repo=f"runs/{run.id}",
                delete_patterns=["checkpoints/*"],
                commit_message=run.id,
            )

    def _send_data(self) -> None:
        self._api.upload_folder(**self._place, folder_path=self.settings.data, path_in_repo="data")

    def _delete(self, id: str) -> None:
        from huggingface_hub.errors import EntryNotFoundError

        with contextlib.suppress(EntryNotFoundError):
            self._api.delete_folder(f"runs/{id}", **self._place)
        self._know([one for one in self._known() if one != id])

    def _asked(self, work: Any) -> None:
        try:
            work()
        except Exception as error:  # whatever the network does, the person gets a sentence
            raise explain(error, self.repository, True) from error

    def _known(self) -> list[str]:
        return list(read_json(self.settings.home / KNOWN) or {})

    def _know(self, ids: list[str]) -> None:
        write_json(self.settings.home / KNOWN, dict.fromkeys(ids, True))


def _mark(run: Run) -> Any:
    """Changes when there is something worth sending: of a run that goes on, a checkpoint."""
    status, checkpoint = run.status(), newest_complete(run.checkpoints, deep=False)
    name = checkpoint.name if checkpoint else ""
    if status.is_active:
        return ("goes on", name)
    files = [path.stat().st_mtime_ns for path in run.folder.iterdir() if path.name not in STAYS_HERE]
    return (status.state, name, max(files, default=0))


def _copy(run: Run, folder: Path) -> None:
    """Without what is of this machine; of the checkpoints the newest whole one."""
    for path in run.folder.iterdir():
        if path.name in STAYS_HERE or path.is_symlink():
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("lock", "*.tmp"))
        elif is_regular(path):
            shutil.copyfile(path, folder / path.name)
    if checkpoint := newest_complete(run.checkpoints):
        shutil.copytree(checkpoint, folder / run.checkpoints.name / checkpoint.name)


def _taken_over(came: Path, home: Path) -> list[str]:
    """Names of what came and was not here."""
    home.mkdir(parents=True, exist_ok=True)
    missing = [one for one in sorted(came.glob("*")) if not (home / one.name).exists()] if came.is_dir() else []
    for one in missing:
        one.rename(home / one.name)
    return [one.name for one in missing]
