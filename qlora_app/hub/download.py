"""Files of the Hub onto this machine, into the Hub's own cache, and never the same byte twice.

The Hub's library throws an unfinished file away when its process ends. Weights and data are large and runs are stopped,
so here they grow in the cache under their own checksum, go on where they ended, and are checked before the library
takes them over.
"""

import contextlib
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import Stopped, UserError
from ..formatting import size
from ..storage.digests import sha256_of
from ..storage.outside import is_confined
from .errors import explain
from .repository import RemoteFile, Repository, check_access

AT_ONCE = 4  # files
CHUNK = 2**20  # bytes between two looks at whether somebody wants to stop


@dataclass(frozen=True)
class _Wanted:
    """Files of a repository at one commit, and how many of their bytes are not here."""

    repository: Repository
    commit: str
    files: tuple[RemoteFile, ...]
    missing: int

    @property
    def id(self) -> str:
        return self.repository.id


def fetch_files(
    repository: Repository,
    commit: str,
    files: tuple[RemoteFile, ...],
    token: str | None,
    on_progress: Callable[[int, int], None],
    is_stopped: Callable[[], bool],
) -> Path:
    """The folder in which the files are at that commit, downloaded where they are not here yet.

    `tell(arrived, total)` is called with bytes now and then. Raises UserError, and Stopped once `is_stopped()`.
    """
    wanted = _Wanted(repository, commit, files, repository.missing(commit, files))
    progress = _Progress(wanted, on_progress, is_stopped)
    _check_room(wanted)
    try:
        if files and is_confined():
            check_access(repository, commit, files[0].name, token)
        with ThreadPoolExecutor(AT_ONCE) as pool:  # leaving it waits for all, and they end at the first failure of one
            waiting = [pool.submit(progress.ending_all, _fetch_file, wanted, file, token, progress) for file in files]
        for one in waiting:
            one.result()
    except Exception as error:  # whatever the network or the disk does, the person gets a sentence
        raise explain(error, repository, bool(token)) from error
    return repository.snapshot(commit)


def _check_room(wanted: _Wanted) -> None:
    place = next(folder for folder in wanted.repository.cache.parents if folder.exists())
    if (free := shutil.disk_usage(place).free) < wanted.missing:
        raise UserError(
            "hub.no_room",
            "The disk is too full: {id} needs another {missing}, and {place} has {free} left. Free some space, "
            "or set HF_HOME to a folder on a larger disk, then press Resume.",
            id=wanted.id,
            missing=size(wanted.missing),
            place=place,
            free=size(free),
        )


class _Progress:
    """Bytes of all files together, and the end of all when one fails or somebody asks for it."""

    def __init__(
        self, wanted: _Wanted, on_progress: Callable[[int, int], None], is_stopped: Callable[[], bool]
    ) -> None:
        self.total = sum(file.size for file in wanted.files)
        self.done = self.total - wanted.missing
        self._tell, self._is_stopped = on_progress, is_stopped
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def add(self, count: int) -> None:
        with self._lock:
            self.done += count
            if self._failure is None and self._is_stopped():
                self._failure = Stopped()
            if self._failure is not None:
                raise self._failure
            self._tell(min(self.done, self.total), self.total)

    def ending_all(self, work: Callable[..., None], *given: Any) -> None:
        """Do the work; if it fails, all others end at their next byte, for the same reason."""
        try:
            self.add(0)
            work(*given)
        except BaseException as error:
            self._failure = self._failure or error
            raise self._failure from None

    def bar(self) -> type:
        """What the Hub's library takes for a progress bar."""
        progress = self

        class Bar:
            def __init__(self, *_: Any, **__: Any) -> None:
                pass

            def __enter__(self) -> "Bar":
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def update(self, count: float | None = 1) -> None:
                progress.add(int(count or 0))

            def close(self) -> None:
                pass

        return Bar


def _fetch_file(wanted: _Wanted, file: RemoteFile, token: str | None, progress: _Progress) -> None:
    from huggingface_hub import hf_hub_download

    before = wanted.repository.arrived(wanted.commit, file)
    if file.sha256 and before < file.size:
        _fetch_large(wanted, file, token, progress)
    # a large one is only entered into the cache
    hf_hub_download(
        wanted.id, file.name, repo_type=wanted.repository.kind, revision=wanted.commit, token=token or False
    )
    if not file.sha256:
        progress.add(file.size - before)


def _fetch_large(wanted: _Wanted, file: RemoteFile, token: str | None, progress: _Progress) -> None:
    """Grow blobs/<sha256>.incomplete until it is whole, check it, and give it its name."""
    from huggingface_hub import constants

    home = wanted.repository.cache
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / home.name / f"{file.sha256}.lock"
    unfinished = home / "blobs" / f"{file.sha256}.incomplete"
    for folder in (lock.parent, unfinished.parent):
        folder.mkdir(parents=True, exist_ok=True)
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK  # of ten megabytes, a stop and the figures on the page would wait too long
    with _locked(lock, progress):
        if (home / "blobs" / file.sha256).exists():  # another worker was faster
            return
        with open(unfinished, "ab") as growing:
            _go_on(wanted, file, token, progress, growing)
        if sha256_of(unfinished) != file.sha256:
            unfinished.unlink()
            raise UserError(
                "hub.damaged_file",
                "{name} of {id} arrived damaged (its checksum is not the Hub's) and was thrown away. Press Resume to "
                "get it again.",
                name=file.name,
                id=wanted.id,
            )
        unfinished.rename(home / "blobs" / file.sha256)


def _locked(lock: Path, progress: _Progress) -> contextlib.ExitStack:
    """Hold the lock the Hub's library uses for this file. Waiting for another worker can be ended too."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    held = contextlib.ExitStack()
    while True:
        try:
            held.enter_context(WeakFileLock(lock, timeout=1))
            return held
        except Timeout:
            progress.add(0)


def _go_on(wanted: _Wanted, file: RemoteFile, token: str | None, progress: _Progress, growing: BinaryIO) -> None:
    """Get what is missing; when the connection breaks, again from there, as long as each attempt brings something."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(wanted.id, file.name, repo_type=wanted.repository.kind, revision=wanted.commit)
    while (before := growing.tell()) < file.size:
        headers = build_hf_headers(token=token or False) | {"Accept-Encoding": "identity"}
        try:
            http_get(
                url,
                growing,
                resume_size=before,
                headers=headers,
                expected_size=file.size,
                displayed_filename=file.name,
                tqdm_class=progress.bar(),
            )
        except HTTPError as error:
            if isinstance(error, HfHubHTTPError) or growing.tell() == before:
                raise
