"""Which checkpoint may be resumed from: only one whose manifest, written last, agrees with every byte in it.

A Trainer that is killed while saving leaves a folder that fails to load, or worse, loads without its optimizer.
"""

import json
from pathlib import Path

from ..storage.digests import sha256_of

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
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if deep:
            return bool(manifest == fingerprint(folder))
        return all((folder / name).stat().st_size == size for name, (size, _) in manifest.items())
    except (FileNotFoundError, ValueError):
        return False


def in_order(checkpoints: Path) -> list[Path]:
    """checkpoint-N folders, newest first."""
    numbered = [p for p in checkpoints.glob("checkpoint-*") if p.name.rpartition("-")[2].isdigit()]
    return sorted(numbered, key=lambda p: int(p.name.rpartition("-")[2]), reverse=True)


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
