"""A repository on the Hub, and the place of its copy in the Hub's own cache."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import Problem
from ..storage.outside import own_home
from ..storage.reading import read_text

PATIENCE = 6.0  # seconds for an answer of the Hub while a person waits
COMMIT = re.compile(r"[0-9a-f]{40}")
_OPEN = ".open-"  # of the name of an empty file, before the commit that everybody may have
MAY_READ = "hub_may_read"  # in a member's home: an empty file for each commit that their own token opens
_ID = re.compile(r"(?!.*(--|\.\.))[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?")
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./-]{0,127}")


@dataclass(frozen=True)
class RemoteFile:
    """One file on the Hub. `sha256` is of its content; small files have none."""

    name: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Repository:
    """One repository, at a branch, tag or commit; without a revision at its main branch."""

    id: str
    revision: str = ""
    kind: Literal["model", "dataset", "space"] = "model"

    @property
    def path(self) -> str:
        """Behind the address of the Hub."""
        return self.id if self.kind == "model" else f"{self.kind}s/{self.id}"

    @property
    def cache(self) -> Path:
        """Where the Hub's library keeps it; it need not be there."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.id, repo_type=self.kind)

    def snapshot(self, commit: str) -> Path:
        """The folder of the files at a commit, as far as they are on this machine."""
        return self.cache / "snapshots" / commit

    def kept_commit(self) -> str:
        """What the revision was when the Hub was last asked; the revision itself where nobody knows, and "" where what
        was kept of it is damaged, and for names that the Hub has not: they could lead to any folder.
        """
        if self.problems(""):
            return ""
        ref = self.cache / "refs" / (self.revision or "main")
        try:
            commit = read_text(ref, most=1000).strip()
        except (OSError, ValueError):
            return self.revision or "main"
        return commit if COMMIT.fullmatch(commit) else ""

    def is_open(self, commit: str) -> bool:
        """May everybody on this machine use the copy of a commit, or the member for whom this works? Of one that was
        brought by other programs, or by another's token for a repository that is gated or private, nobody has said so.
        """
        notes = [self.cache / f"{_OPEN}{commit}", *self._own_note(commit)]
        return bool(commit) and any(note.exists() for note in notes)

    def _own_note(self, commit: str) -> list[Path]:
        home = own_home()
        return [home / MAY_READ / f"{self.cache.name}@{commit}"] if home else []

    def note_own(self, commit: str) -> None:
        """The Hub gives a commit to the member for whom this works."""
        for note in self._own_note(commit) if COMMIT.fullmatch(commit) else []:
            with contextlib.suppress(OSError):
                note.parent.mkdir(parents=True, exist_ok=True)
                note.touch()

    def note_open(self, commit: str) -> None:
        """The Hub gives a commit to everybody. Where that cannot be noted it is asked again."""
        if COMMIT.fullmatch(commit):
            with contextlib.suppress(OSError):
                self.cache.mkdir(parents=True, exist_ok=True)
                (self.cache / f"{_OPEN}{commit}").touch()

    def arrived(self, commit: str, file: RemoteFile) -> int:
        """Bytes of a file that are on this machine already, those of an unfinished download included."""
        if (self.snapshot(commit) / file.name).exists() or (
            file.sha256 and (self.cache / "blobs" / file.sha256).exists()
        ):
            return file.size
        unfinished = self.cache / "blobs" / f"{file.sha256}.incomplete"
        if file.sha256 and unfinished.exists():
            return min(file.size, unfinished.stat().st_size)
        return 0

    def missing(self, commit: str, files: "tuple[RemoteFile, ...]") -> int:
        """Bytes of the files that are not on this machine."""
        return sum(file.size - self.arrived(commit, file) for file in files)

    def problems(self, example: str) -> dict[str, Problem]:
        """What is wrong with its name, found without asking anybody: {setting: sentence}."""
        problems = {}
        if not _ID.fullmatch(self.id):
            problems["id"] = Problem(
                "hub.no_id",
                "{id!r} is no Hub id. One looks like owner/name, for example {example}.",
                id=self.id,
                example=example,
            )
        if self.revision and not _REVISION.fullmatch(self.revision):
            problems["revision"] = Problem(
                "hub.no_revision_name",
                "{revision!r} is no revision. Give a branch, a tag or a commit, or leave it empty.",
                revision=self.revision,
            )
        return problems


def ask(path: str, token: str | None, **asked: Any) -> Any:
    """An answer of the Hub's API. Raises whatever the network does: `explain` makes a sentence of it.

    The library's own calls wait without end for a network that swallows their request.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    answer = get_session().get(
        f"{constants.ENDPOINT}/api/{path}",
        params=asked,
        headers=build_hf_headers(token=token or False),
        timeout=PATIENCE,
    )
    hf_raise_for_status(answer)
    return answer.json()


def check_access(repository: Repository, commit: str, name: str, token: str | None) -> None:
    """The Hub describes a gated repository to everybody, and what is on this machine needs no Hub; whether one may read
    it shows at a file. Raises whatever the network does.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository.id, name, repo_type=repository.kind, revision=commit)
    get_hf_file_metadata(url, token=token or False, timeout=PATIENCE)
    if token:
        repository.note_own(commit)


def files_of(info: Any) -> dict[str, RemoteFile]:
    """{name: file} of what the Hub says of a repository."""
    return {
        s.rfilename: RemoteFile(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else "") for s in info.siblings or []
    }


def licence_of(tags: list[str] | None) -> str:
    return next((tag.removeprefix("license:") for tag in tags or [] if tag.startswith("license:")), "")
