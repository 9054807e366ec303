"""Which checkpoint may be resumed from: only one whose manifest, written last, agrees with every byte in it.

A Trainer that is killed while saving leaves a folder that fails to load, or worse, loads without its optimizer.
"""

import json
from pathlib import Path

from ..storage.digests import sha256_of
from ..storage.reading import is_regular, read_json

MANIFEST = "COMPLETE.json"


def fingerprint(folder: Path) -> dict[str, list[int | str]]:
    """{file name: [size in bytes, sha256]} of every file directly in `folder` but the manifest."""
    found: dict[str, list[int | str]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != MANIFEST and not path.name.endswith(".tmp"):
            found[path.name] = [path.stat().st_size, sha256_of(path)]
    return found


def seal(folder: Path) -> None:
    """Declare a checkpoint complete. The manifest is renamed into place, after everything else was written."""
    text = json.dumps(fingerprint(folder))
    beside = folder / f"{MANIFEST}.tmp"
    beside.write_text(text, encoding="utf-8")
    beside.replace(folder / MANIFEST)


def is_complete(folder: Path, deep: bool = True) -> bool:
    """Is everything there that the manifest names? `deep` compares contents too; without it sizes only, for lists."""
    manifest = read_json(folder / MANIFEST)
    if manifest is None:
        return False
    try:
        if deep:
            return bool(manifest == fingerprint(folder))
        return all(is_regular(folder / name) and _size(folder / name) == told[0] for name, told in manifest.items())
    except (OSError, ValueError, TypeError, LookupError):  # a manifest that says something else
        return False


def _size(file: Path) -> int:
    return file.stat().st_size


def in_order(checkpoints: Path) -> list[Path]:
    """checkpoint-N folders, newest first."""
    numbered = [p for p in checkpoints.glob("checkpoint-*") if p.name.rpartition("-")[2].isdecimal() and p.is_dir()]
    return sorted(numbered, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """After which it was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def newest_complete(checkpoints: Path, deep: bool = True) -> Path | None:
    return next((p for p in in_order(checkpoints) if is_complete(p, deep)), None)


def set_broken_aside(checkpoints: Path) -> list[Path]:
    """Rename every incomplete checkpoint-N to broken-N (never delete what may be evidence); returns the new paths."""
    moved = []
    for folder in in_order(checkpoints):
        if not is_complete(folder):
            target = folder.with_name(folder.name.replace("checkpoint-", "broken-"))
            number = 2
            while target.exists():
                target = folder.with_name(f"{folder.name.replace('checkpoint-', 'broken-')}-{number}")
                number += 1
            moved.append(folder.rename(target))
    return moved
