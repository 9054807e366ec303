"""A folder and its copy at a target: sent and fetched, each time all of one moment.

    PLACE/parts/SHA256                 pieces of files, each once
    PLACE/manifest-000003.json         what belongs to it as attempt 3 left it, written last

An attempt writes its own manifest, and the highest one counts: a worker that came too late changes nothing. What is cut
off in the middle leaves pieces that nobody names, and the next time they are not sent again.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..storage.disk import said
from ..storage.files import write_json
from ..storage.reading import read_json
from .snapshot import CHECKPOINTS, Kept, Snapshot, snapshot_of, stays_here
from .target import Target

NOTES = ".sync.json"  # in the folder: what was last seen at each target
_MANIFEST = re.compile(r"manifest-(\d{6,9})\.json")


@dataclass(frozen=True)
class Carried:
    """A folder of this machine and the place of its copy. only: one file or folder of it. notes: where it is
    remembered what was last seen there.
    """

    folder: Path
    target: Target
    place: str
    only: str = ""

    @property
    def notes(self) -> Path:
        name = f".sync-{hashlib.sha256(self.only.encode()).hexdigest()[:16]}.json" if self.only else NOTES
        return self.folder / name

    def there(self) -> Snapshot | None:
        """What the newest attempt left at the target; None where nothing is. Raises UserError."""
        return self._manifest(self.newest())

    def newest(self) -> int:
        """The newest attempt that wrote there; -1 where none did."""
        return max(self.attempts(), default=-1)

    def attempts(self) -> list[int]:
        names = self.target.names(self.place)
        return sorted(int(found[1]) for name in names if (found := _MANIFEST.fullmatch(name)))

    def _manifest(self, attempt: int) -> Snapshot | None:
        content = self.target.read(f"{self.place}/{self.manifest(attempt)}") if attempt >= 0 else None
        if content is None:
            return None
        try:
            found = Snapshot.from_json(json.loads(content))
        except ValueError:
            found = None
        if found is None:
            raise self._damaged(self.manifest(attempt))
        return found

    @staticmethod
    def manifest(attempt: int) -> str:
        return f"manifest-{attempt:06d}.json"

    def _damaged(self, name: str) -> UserError:
        return UserError(
            "sync.damaged",
            "{place} at {url} is damaged ({name}), so nothing of it is taken. Send it again from where it is whole.",
            place=self.place,
            url=self.target.url,
            name=name,
        )

    # ---- what was last seen there

    def seen(self) -> Snapshot:
        """As both were when they were last the same."""
        return Snapshot.from_json(self._all_notes().get(self._key)) or Snapshot()

    def note(self, snapshot: Snapshot) -> None:
        with said(self.folder):
            write_json(self.notes, self._all_notes() | {self._key: snapshot.to_json()}, lasting=False)

    @property
    def _key(self) -> str:
        return hashlib.sha256(f"{self.target.url}/{self.place}".encode()).hexdigest()[:16]

    def _all_notes(self) -> dict[str, Any]:
        known = read_json(self.notes)
        return known if isinstance(known, dict) else {}


def sent(carried: Carried, attempt: int, by: str = "home", keep: Snapshot | None = None) -> Snapshot:
    """Send the folder as it is now. keep: what is there and stays, though it is not here any more; of checkpoints only
    where there is none here.

    Raises UserError where the target refuses it, or where a later attempt has written there; what it had is whole then.
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
    newest = carried.newest()
    if newest > attempt:
        raise UserError(
            "sync.superseded",
            "A later worker (attempt {newest}) writes to {place} at {url}, so this one (attempt {attempt}) writes no "
            "more.",
            newest=newest,
            place=place,
            url=target.url,
            attempt=attempt,
        )
    old = carried._manifest(newest)
    if old is not None and newest == attempt and (old.id, old.by) == (now.id, by):
        return old
    target.write(f"{place}/{carried.manifest(attempt)}", json.dumps(now.to_json()).encode())
    carried.note(now)
    if old is not None and newest == attempt:
        target.remove([f"{place}/parts/{part}" for part in sorted(old.parts - now.parts)])
    elif old is not None:
        _tidy(carried, attempt)
    return now


def staying(keep: Snapshot, now: Snapshot) -> Iterable[tuple[str, Kept]]:
    """Files of `keep` that are not in `now` and stay; a checkpoint only where `now` has none."""
    has_checkpoint = any(name.startswith(f"{CHECKPOINTS}/") for name in now.files)
    for name, kept in keep.files.items():
        if not (has_checkpoint and name.startswith(f"{CHECKPOINTS}/")):
            yield name, kept


def _tidy(carried: Carried, attempt: int) -> None:
    """Manifests of earlier attempts but the last one, and parts that no manifest names."""
    target, place = carried.target, carried.place
    earlier = [one for one in carried.attempts() if one < attempt][:-1]
    target.remove([f"{place}/{carried.manifest(one)}" for one in earlier])
    left = [carried._manifest(one) for one in carried.attempts()]
    named = {part for one in left if one for part in one.parts}
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


def _differs(here: Kept | None, there: Kept) -> bool:
    return here is None or (here.size, here.parts) != (there.size, there.parts)


def _fetch_file(carried: Carried, kept: Kept, file: Path, name: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with open(file, "wb") as growing:
        for part in kept.parts:
            content = carried.target.read(f"{carried.place}/parts/{part}")
            if content is None or hashlib.sha256(content).hexdigest() != part:
                raise carried._damaged(name)
            size += growing.write(content)
    if size != kept.size:
        raise carried._damaged(name)
    os.utime(file, ns=(kept.changed, kept.changed))


def _move_in(carried: Carried, beside: Path, changed: Iterable[str], there: Snapshot) -> None:
    """A folder that was not here comes whole. A checkpoint's manifest comes after its files: it counts from then on."""
    if not carried.folder.exists() and not carried.only:
        beside.chmod(0o755)
        beside.rename(carried.folder)
        return
    for name in sorted(changed, key=lambda name: (name.endswith("COMPLETE.json"), name == "status.json", name)):
        (carried.folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(beside / name, carried.folder / name)
    kept = {"/".join(name.split("/")[:2]) for name in there.files if name.startswith(f"{CHECKPOINTS}/")}
    if kept:
        for old in (carried.folder / CHECKPOINTS).glob("checkpoint-*"):
            if f"{CHECKPOINTS}/{old.name}" not in kept:
                with contextlib.suppress(OSError):
                    shutil.rmtree(old)
