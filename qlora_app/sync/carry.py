"""A folder and its copy at a target: sent and fetched, each time all of one moment.

    PLACE/parts/SHA256                      pieces of files, each once
    PLACE/manifest-000003-WRITER.json       what belongs to it as attempt 3 left it, written last

Each attempt writes a manifest of its own, and the highest one counts: a worker that came too late changes nothing. What
is cut off in the middle leaves pieces that nobody names, and the next time they are not sent again.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..formatting import size
from ..storage.disk import free_bytes, said
from ..storage.files import write_json
from ..storage.reading import read_json
from .snapshot import CHECKPOINTS, Kept, Snapshot, linked, read_snapshot, snapshot_of, stays_here
from .target import Target

NOTES = ".sync.json"  # in the folder: what was last seen at each target
BRINGING = "-bringing"  # behind a key in it: what was being moved in
WORKER = "worker"  # who writes while a job is worked on elsewhere; all others are homes
_ORDER = {WORKER: "1worker", "done": "2done"}  # of one attempt a home's is the first, and each home's is another
_MANIFEST = re.compile(r"manifest-(\d{6})-(\w{1,32})\.json")


@dataclass(frozen=True)
class Carried:
    """A folder of this machine and the place of its copy. only: one file or folder of it."""

    folder: Path
    target: Target
    place: str
    only: str = ""

    @property
    def notes(self) -> Path:
        """Where it is remembered what was last seen there."""
        name = f".sync-{hashlib.sha256(self.only.encode()).hexdigest()[:16]}.json" if self.only else NOTES
        return self.folder / name

    def there(self) -> Snapshot | None:
        """What the newest attempt left at the target; None where nothing is. Raises UserError."""
        manifests = self.manifests()
        return self.read(manifests[-1]) if manifests else None

    def newest(self) -> int:
        """The newest attempt that wrote there; -1 where none did."""
        manifests = self.manifests()
        return attempt_of(manifests[-1]) if manifests else -1

    def manifests(self) -> list[str]:
        """Their names, the newest last."""
        return sorted(name for name in self.target.names(self.place) if _MANIFEST.fullmatch(name))

    def read(self, manifest: str) -> Snapshot:
        """Raises UserError for one that is no manifest of this place."""
        content = self.target.read(f"{self.place}/{manifest}")
        found = read_snapshot(content, self.only) if content is not None else None
        if found is None or found.attempt != attempt_of(manifest):
            raise self.damaged(manifest)
        return replace(found, manifest=manifest)

    def lacks(self, snapshot: Snapshot) -> set[str]:
        """The parts of it that are not there."""
        return snapshot.parts - self.target.names(f"{self.place}/parts").keys()

    def damaged(self, name: str) -> UserError:
        return UserError(
            "sync.damaged",
            "{place} at {url} is damaged ({name}), so nothing of it is taken. Send it again from where it is whole.",
            place=self.place,
            url=self.target.url,
            name=name[:200],
        )

    # ---- what was last seen there

    def seen(self) -> Snapshot:
        """As both were when they were last the same."""
        return Snapshot.from_json(self._all_notes().get(self._key)) or Snapshot()

    def is_as_seen(self, listed: Collection[str]) -> bool:
        """Is there what was last seen there, and all of it? listed: the names of all files there. A manifest of a home
        is never written again; a worker's is.
        """
        seen = self.seen()
        newest = max(filter(_MANIFEST.fullmatch, listed), default="")
        parts = {f"parts/{part}" for part in seen.parts}
        return newest != "" and newest == seen.manifest and seen.by == "home" and parts <= {*listed}

    def bringing(self) -> Snapshot | None:
        """What was being moved in when a program ended; None where nothing was."""
        return Snapshot.from_json(self._all_notes().get(self._key + BRINGING))

    def note(self, snapshot: Snapshot) -> None:
        kept = {name: known for name, known in self._all_notes().items() if name != self._key + BRINGING}
        self._write_notes(kept | {self._key: snapshot.to_json() | {"manifest": snapshot.manifest}})

    def note_bringing(self, snapshot: Snapshot) -> None:
        self._write_notes(self._all_notes() | {self._key + BRINGING: snapshot.to_json()})

    def _write_notes(self, notes: dict[str, Any]) -> None:
        with said(self.folder):
            write_json(self.notes, notes, lasting=False)

    @property
    def _key(self) -> str:
        return hashlib.sha256(f"{self.target.url}/{self.place}".encode()).hexdigest()[:16]

    def _all_notes(self) -> dict[str, Any]:
        known = read_json(self.notes)
        return known if isinstance(known, dict) else {}


def attempt_of(manifest: str) -> int:
    found = _MANIFEST.fullmatch(manifest)
    return int(found[1]) if found else -1


def sent(carried: Carried, attempt: int, by: str = "home", after: str = "", keep: Snapshot | None = None) -> Snapshot:
    """Send the folder as it is now. after: the manifest that it follows, which was looked at; keep: what is there and
    stays, though it is not here any more; of checkpoints only where there is none here.

    Raises UserError where the target refuses it, or somebody else has written there; what it had is whole then.
    """
    target, place, before = carried.target, carried.place, carried.seen()
    there = target.names(f"{place}/parts")

    def take(digest: str, content: bytes) -> None:
        if there.get(digest) != len(content):
            target.write(f"{place}/parts/{digest}", content)
            there[digest] = len(content)

    known = Snapshot({name: kept for name, kept in before.files.items() if set(kept.parts) <= there.keys()})
    now = snapshot_of(carried.folder, known, take, carried.only)
    now = replace(now, files=dict(staying(keep or Snapshot(), now)) | dict(now.files), attempt=attempt, by=by)
    manifest = f"manifest-{attempt:06d}-{_ORDER.get(by) or '0' + secrets.token_hex(8)}.json"
    if by == "home":
        _check_alone(carried, after)
    else:
        _check_attempt(carried, attempt)
        if before.by == by and before.attempt == attempt and before.id == now.id:
            return before
    target.write(f"{place}/{manifest}", json.dumps(now.to_json()).encode())
    if by == "home":
        try:
            _check_alone(carried, after, manifest)
        except UserError:
            target.remove([f"{place}/{manifest}"])
            raise
    elif before.by == by and before.attempt == attempt:  # its own of a moment ago; nobody else has named them
        target.remove([f"{place}/parts/{part}" for part in sorted(before.parts - now.parts)])
    now = replace(now, manifest=manifest)
    carried.note(now)
    return now


def _check_alone(carried: Carried, after: str, mine: str = "") -> None:
    """Raises UserError where another home has written since `after` was looked at: what it sent stays."""
    if any(name > after and name != mine for name in carried.manifests()):
        raise UserError(
            "sync.raced",
            "{place} at {url} was written by somebody else at the same moment, so nothing was sent. Sync it again.",
            place=carried.place,
            url=carried.target.url,
        )


def _check_attempt(carried: Carried, attempt: int) -> None:
    newest = carried.newest()
    if newest > attempt:
        raise UserError(
            "sync.superseded",
            "A later worker (attempt {newest}) writes to {place} at {url}, so this one (attempt {attempt}) writes no "
            "more.",
            newest=newest,
            place=carried.place,
            url=carried.target.url,
            attempt=attempt,
        )


def staying(keep: Snapshot, now: Snapshot) -> Iterable[tuple[str, Kept]]:
    """Files of `keep` that are not in `now` and stay; a checkpoint only where `now` has none."""
    has_checkpoint = any(name.startswith(f"{CHECKPOINTS}/") for name in now.files)
    for name, kept in keep.files.items():
        if not (has_checkpoint and name.startswith(f"{CHECKPOINTS}/")):
            yield name, kept


def tidied(carried: Carried, last: str) -> None:
    """Remove manifests before that one, and parts that it does not name. Only where a person asks for it: another home
    may be sending.
    """
    target, place = carried.target, carried.place
    named = carried.read(last).parts
    target.remove([f"{place}/{name}" for name in carried.manifests() if name < last])
    target.remove([f"{place}/parts/{part}" for part in target.names(f"{place}/parts") if part not in named])


def fetched(
    carried: Carried,
    there: Snapshot,
    held: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
) -> list[str]:
    """Bring the folder to what is there: names of the files that came. What is here and not there stays, but for
    checkpoints that their run replaced.

    Everything is fetched beside the folder and checked before the first file is moved; `held` is held while they are.
    Raises UserError.
    """
    before = carried.seen()
    here = snapshot_of(carried.folder, before, only=carried.only) if carried.folder.exists() else Snapshot()
    wanted = {name: kept for name, kept in there.files.items() if carried.only or not stays_here(name)}
    changed = {name: kept for name, kept in wanted.items() if _differs(here.files.get(name), kept)}
    carried.folder.parent.mkdir(parents=True, exist_ok=True)
    _check_room(carried, sum(kept.size for kept in changed.values()))
    with said(carried.folder.parent):
        beside = Path(tempfile.mkdtemp(dir=carried.folder.parent, prefix=".fetching-"))
        try:
            for name, kept in changed.items():
                _fetch_file(carried, kept, beside / name, name)
            with held():
                _move_in(carried, beside, changed, there)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    carried.note(there)
    return sorted(changed)


def _check_room(carried: Carried, bytes: int) -> None:
    free = free_bytes(carried.folder.parent)
    if bytes > free:
        raise UserError(
            "sync.no_room",
            "{place} takes {size} more here, and {folder} has {free} left. Free some space, then sync again.",
            place=carried.place,
            size=size(bytes),
            folder=carried.folder.parent,
            free=size(free),
        )


def _differs(here: Kept | None, there: Kept) -> bool:
    return here is None or (here.size, here.parts) != (there.size, there.parts)


def _fetch_file(carried: Carried, kept: Kept, file: Path, name: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    arrived = 0
    with open(file, "wb") as growing:
        for part in kept.parts:
            content = carried.target.read(f"{carried.place}/parts/{part}")
            if content is None or hashlib.sha256(content).hexdigest() != part or arrived + len(content) > kept.size:
                raise carried.damaged(name)
            arrived += growing.write(content)
    if arrived != kept.size:
        raise carried.damaged(name)
    os.utime(file, ns=(kept.changed, kept.changed))


def _move_in(carried: Carried, beside: Path, changed: Iterable[str], there: Snapshot) -> None:
    """A folder that was not here comes whole. A checkpoint's manifest comes after its files: it counts from then on.
    Cut off in the middle, the next time goes on.
    """
    if not carried.folder.exists() and not carried.only:
        beside.rename(carried.folder)  # only its owner may read it, as any run's
        return
    carried.folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if any((carried.folder / parent).is_symlink() for parent in Path(name).parents if parent != Path()):
            raise linked(name)
    carried.note_bringing(there)
    for name in sorted(changed, key=lambda name: (name.endswith("COMPLETE.json"), name == "status.json", name)):
        (carried.folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(beside / name, carried.folder / name)
    kept = {"/".join(name.split("/")[:2]) for name in there.files if name.startswith(f"{CHECKPOINTS}/")}
    if kept and not carried.only:
        for old in (carried.folder / CHECKPOINTS).glob("checkpoint-*"):
            if f"{CHECKPOINTS}/{old.name}" not in kept:
                with contextlib.suppress(OSError):
                    shutil.rmtree(old)
