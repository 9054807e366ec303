"""Runs kept in a private repository of the Hub, for a machine whose disk is gone after its sleep, as that of a Space
without storage: what is missing here is fetched, and what has changed is sent, each run as one commit.
"""

import contextlib
import glob
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..hub import Repository, explain, is_public
from ..settings import Settings
from ..storage.gone import gone, keep_notes
from ..storage.reading import is_regular
from .checkpoints import newest_complete
from .run import Run
from .store import RunStore

STAYS_HERE = ("lock", "requests", "exports", "checkpoints")  # of this machine, or can be made again


class KeptRuns:
    """A home's runs and uploaded data, and the same in a repository: the owner's, or a member's in a folder by name."""

    def __init__(self, settings: Settings, member: str = "") -> None:
        """settings: the owner's, whose repository and token it is. Raises UserError where these name no repository, or
        no token that may write to it.
        """
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
        self._token = settings.token
        self._below = f"members/{member}/" if member else ""  # in the repository
        if member:
            settings = settings.of_member(member)
        self.settings, self.store = settings, RunStore(settings.runs)
        self._api: Any = HfApi(token=self._token)
        self._place = {"repo_id": self.repository.id, "repo_type": "dataset"}
        self._sent: dict[str, Any] = {}
        self._sent_data: Any = None
        settings.make_home()
        keep_notes(settings.runs)
        with contextlib.suppress(OSError):  # a folder of data that may only be read: nobody deletes there
            keep_notes(settings.data)

    def fetch(self, tell: Callable[[int, int], None] = lambda here, of: None) -> list[str]:
        """The runs that came, and with them uploaded data: data first, then run after run, the newest first, each there
        once it is whole. What lies here already stays as it is. Raises UserError.

        tell: hears how many of how many runs came.
        """
        missing: dict[str, list[str]] = {}
        self._asked(lambda: missing.update(self._missing()))
        data = [file for place, files in missing.items() if place.startswith("data/") for file in files]
        came: list[str] = []
        if data:
            self._asked(lambda: self._bring(data))
        runs = sorted((place for place in missing if place.startswith("runs/")), reverse=True)
        for number, place in enumerate(runs):
            tell(number, len(runs))
            self._asked(lambda place=place: came.extend(self._bring(missing[place])))
        for name in came:
            self._sent[name] = _mark(self.store.get(name))
        return sorted(came)

    def send(self) -> list[str]:
        """The runs that were sent because they have changed. What a person deleted here is deleted there too, and
        nothing else: what is merely not here stays there.

        Raises UserError; of a run that cannot be read only once all else is sent.
        """
        self._asked(self._create)
        self._asked(self._delete_what_is_gone)
        sent, failed = [], None
        for id in self.store.ids():
            try:
                if self._send_changed(self.store.at(id)):
                    sent.append(id)
            except UserError:
                raise
            except OSError as error:  # such as a checkpoint that its run replaced meanwhile
                failed = _not_copied(id, error)
        self._send_data()
        if failed:
            raise failed
        return sent

    # ---- the Hub

    def folders_in(self, place: str) -> list[str]:
        """Their paths. Raises whatever the network does."""
        entries = self._api.list_repo_tree(**self._place, path_in_repo=place)
        return [one.path for one in entries if not hasattr(one, "blob_id")]

    def _missing(self) -> dict[str, list[str]]:
        """{"runs/ID" or "data/NAME": its files} of what is there and not here, but for what was deleted here."""
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

        try:
            within = {"path_in_repo": self._below.rstrip("/")} if self._below else {}
            entries = list(self._api.list_repo_tree(**self._place, **within, recursive=True))
        except (RepositoryNotFoundError, EntryNotFoundError):  # nothing was kept yet
            return {}
        here = self._here()
        missing: dict[str, list[str]] = {}
        for name in (one.path for one in entries if hasattr(one, "blob_id")):
            place = "/".join(name.removeprefix(self._below).split("/")[:2])
            if place not in here and place.startswith(("runs/", "data/")):
                missing.setdefault(place, []).append(name)
        return missing

    def _here(self) -> set[str]:
        """What is here, or was deleted here."""
        homes = {"runs": self.settings.runs, "data": self.settings.data}
        return {f"{name}/{path.name}" for name, home in homes.items() for path in [*home.glob("*"), *gone(home)]}

    def _bring(self, files: list[str]) -> list[str]:
        """The runs that came whole into a folder beside, and from there into their place, unless there are such ones
        now, or somebody deleted them meanwhile.
        """
        from huggingface_hub import snapshot_download

        came = []
        with tempfile.TemporaryDirectory(dir=self.settings.home, prefix=".fetching-") as folder:
            wanted = [glob.escape(name) for name in files]
            snapshot_download(**self._place, local_dir=folder, token=self._token, allow_patterns=wanted)
            here = self._here()
            for name, home in (("runs", self.settings.runs), ("data", self.settings.data)):
                home.mkdir(parents=True, exist_ok=True)
                for one in sorted((Path(folder) / self._below / name).glob("*")):
                    if f"{name}/{one.name}" not in here:
                        one.rename(home / one.name)
                        came += [one.name] if name == "runs" else []
        return came

    def _create(self) -> None:
        self._api.create_repo(**self._place, private=True, exist_ok=True)
        if not self._api.repo_info(**self._place).private:
            raise is_public(self.repository)

    def _send_changed(self, run: Run) -> bool:
        """As it is at this moment: of a run that goes on, its files change while they are read."""
        mark = _mark(run)
        if self._sent.get(run.id) == mark:
            return False
        with tempfile.TemporaryDirectory(dir=self.settings.home, prefix=".sending-") as folder:
            _copy(run, Path(folder))
            self._asked(lambda: self._upload(folder, f"runs/{run.id}", delete_patterns=["checkpoints/*"]))
        self._sent[run.id] = mark
        return True

    def _send_data(self) -> None:
        mark = _mark_of_data(self.settings.data)
        if mark and mark != self._sent_data:
            self._asked(lambda: self._upload(self.settings.data, "data", ignore_patterns=[".*", "*/.*"]))
        self._sent_data = mark

    def _upload(self, folder: Path | str, place: str, **more: Any) -> None:
        place = f"{self._below}{place}"
        self._api.upload_folder(**self._place, folder_path=folder, path_in_repo=place, commit_message=place, **more)

    def _delete_what_is_gone(self) -> None:
        """A note that is newer than what lies here is of a deletion under way."""
        from huggingface_hub.errors import EntryNotFoundError

        for home, place in ((self.settings.runs, "runs"), (self.settings.data, "data")):
            for note in gone(home):
                here = home / note.name
                here = here / Run.spec_file if here.is_dir() else here
                if here.exists() and here.stat().st_mtime_ns <= note.stat().st_mtime_ns:
                    continue
                delete = self._api.delete_folder if place == "runs" else self._api.delete_file
                with contextlib.suppress(EntryNotFoundError):
                    delete(f"{self._below}{place}/{note.name}", **self._place)
                self._sent.pop(note.name, None)
                note.unlink()

    def _asked(self, work: Any) -> None:
        try:
            work()
        except Exception as error:  # whatever the network does, the person gets a sentence
            raise explain(error, self.repository, True) from error


def _not_copied(id: str, error: OSError) -> UserError:
    return UserError(
        "keep.not_copied",
        "{id} could not be read to be sent ({why}). What is kept of it stays as it was; it is tried again.",
        id=id,
        why=str(error)[:200],
    )


def _mark(run: Run) -> Any:
    """Changes when there is something worth sending: of a run that goes on, a checkpoint."""
    status, checkpoint = run.status(), newest_complete(run.checkpoints, deep=False)
    name = checkpoint.name if checkpoint else ""
    if status.is_active:
        return ("goes on", name)
    files = [path.stat().st_mtime_ns for path in run.folder.iterdir() if path.name not in STAYS_HERE]
    return (status.state, name, max(files, default=0))


def _mark_of_data(folder: Path) -> Any:
    """Changes with the files; empty where there are none."""
    seen = {}
    for path in folder.rglob("[!.]*"):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            found = path.stat()
            seen[path.relative_to(folder).as_posix()] = (found.st_size, found.st_mtime_ns)
    return seen


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
