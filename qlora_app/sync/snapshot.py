"""What a folder holds at one moment: every file with the checksums of its parts, so that only new parts travel, and
what arrives is what was there, to the last bit.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import UserError
from ..runs.checkpoints import in_order, is_complete
from ..storage.reading import is_regular

PART = 8 * 2**20  # bytes
VERSION = 1
MOST_ATTEMPTS = 999_999
# Of this machine and this moment: who holds the folder, what is wished, whether a worker lives.
STAYS_HERE = (
    "lock",
    "requests",
    "launch.json",
    "place.json",
    "pulse",
    "spare",
    "waiting.json",
    "exports",
    "rendezvous.json",
)
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Kept:
    """One file: bytes, when it was changed, and the SHA-256 of each of its parts."""

    size: int
    changed: int  # nanoseconds since the epoch
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """All files of a folder, by their path below it. attempt: of the worker that wrote it; by: home, worker, or done
    where that has ended; manifest: the name it was read from.
    """

    files: Mapping[str, Kept] = field(default_factory=dict)
    attempt: int = 0
    by: str = "home"
    manifest: str = field(default="", compare=False)

    @property
    def parts(self) -> set[str]:
        return {part for kept in self.files.values() for part in kept.parts}

    @property
    def id(self) -> str:
        """Another one for other contents, whoever wrote them when."""
        told = sorted((name, kept.size, kept.parts) for name, kept in self.files.items())
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        files = {name: [kept.size, kept.changed, list(kept.parts)] for name, kept in sorted(self.files.items())}
        return {"version": VERSION, "attempt": self.attempt, "by": self.by, "files": files}

    @classmethod
    def from_json(cls, values: Any) -> "Snapshot | None":
        """None for what is no snapshot, or names files that no folder could have: a bucket may be somebody else's."""
        try:
            files = {
                name: Kept(int(size), int(changed), tuple(map(str, parts)))
                for name, (size, changed, parts) in values["files"].items()
            }
            made = cls(files, int(values["attempt"]), str(values["by"]), str(values.get("manifest", "")))
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
            return None
        is_sound = values.get("version") == VERSION and 0 <= made.attempt <= MOST_ATTEMPTS
        return made if is_sound and all(_is_sound(name, kept, files) for name, kept in files.items()) else None


def read_snapshot(content: bytes, only: str = "") -> Snapshot | None:
    """As a manifest has it; None where it is none, or names anything but `only`, where that is all it may be."""
    try:
        found = Snapshot.from_json(json.loads(content))
    except (ValueError, RecursionError):
        return None
    names = found.files if found else ()
    return None if only and not all(name == only or name.startswith(f"{only}/") for name in names) else found


def _is_sound(name: str, kept: Kept, files: Mapping[str, Kept]) -> bool:
    folders = [str(folder) for folder in PurePosixPath(name).parents]
    fits = 0 <= kept.size < 2**62 and 0 <= kept.changed < 2**62 and len(kept.parts) <= kept.size
    return (
        fits and is_inside(name) and not any(folder in files for folder in folders) and all(map(_is_digest, kept.parts))
    )


def is_inside(name: str) -> bool:
    """May a file of this name be written below a folder?"""
    try:
        steps = [step.encode() for step in name.split("/")]
    except UnicodeEncodeError:  # half of a letter
        return False
    return not any(
        not step or step.startswith(b".") or b"\\" in step or b"\0" in step or len(step) > 255 for step in steps
    )


def stays_here(name: str) -> bool:
    """Of a job: is it of this machine and moment?"""
    return name.split("/")[0] in STAYS_HERE or name.endswith((".tmp", "/lock"))


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)


def parts_of(file: Path) -> Iterator[tuple[str, bytes]]:
    """(SHA-256, content) of each part."""
    with open(file, "rb") as opened:
        while content := opened.read(PART):
            yield hashlib.sha256(content).hexdigest(), content


def snapshot_of(
    folder: Path, before: Snapshot, take: Callable[[str, bytes], None] = lambda *_: None, only: str = ""
) -> Snapshot:
    """The folder as it is now. A file that is as it was `before` is not read again; `take` gets every part that is.

    Of checkpoints only those that are complete; one that its run replaces meanwhile is left out. only: one file or
    folder of it. Raises UserError for a link.
    """
    files: dict[str, Kept] = {}
    whole = {path.name for path in in_order(folder / CHECKPOINTS) if is_complete(path, deep=False)}
    lost: set[str] = set()
    for path in sorted((folder / only).rglob("*")) if (folder / only).is_dir() else [folder / only]:
        name = path.relative_to(folder).as_posix()
        checkpoint = _checkpoint_of(name)
        if not is_inside(name) or (not only and stays_here(name)) or (checkpoint and checkpoint not in whole):
            continue
        if path.is_symlink():
            raise linked(name)
        try:
            if not is_regular(path):
                continue
            files[name] = _kept(path, before.files.get(name), take)
        except FileNotFoundError:  # replaced meanwhile
            lost.add(checkpoint)
    return Snapshot({name: kept for name, kept in files.items() if (_checkpoint_of(name) or "-") not in lost})


def linked(name: str) -> UserError:
    """The error of what lies elsewhere than where it is seen: a copy of the link would be worth nothing."""
    return UserError(
        "sync.linked",
        "{name} is a link to another place, so it is not carried. Put what it names in its place, then sync again.",
        name=name,
    )


def _kept(path: Path, before: Kept | None, take: Callable[[str, bytes], None]) -> Kept:
    """What is read is kept, though the file grows meanwhile."""
    status = path.stat()
    if before is not None and (before.size, before.changed) == (status.st_size, status.st_mtime_ns):
        return before
    size, parts = 0, []
    for digest, content in parts_of(path):
        take(digest, content)
        size += len(content)
        parts.append(digest)
    return Kept(size, status.st_mtime_ns, tuple(parts))


def _checkpoint_of(name: str) -> str:
    """The checkpoint that a file is of; "" for all others."""
    steps = name.split("/")
    return steps[1] if steps[0] == CHECKPOINTS and len(steps) > 2 else ""
