"""What sweep.json says of a sweep, as types: of a damaged one what can be read, and a sentence on what cannot."""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import Problem
from ..storage.reading import damage, read_json
from ..storage.typed import filled, misfits
from .halving import Halving

SPEC_FILE = "sweep.json"


@dataclass(frozen=True)
class Trained:
    """A run of a sweep by its id. values: {dotted setting: value} of what was given several."""

    run: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepSpec:
    """A sweep as it was started. made: seconds since the epoch; values: {dotted setting: as it was typed}."""

    name: str = ""
    made: float = 0.0
    recipe: dict[str, Any] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    sample: int = 0
    seed: int = 0
    halving: Halving | None = None
    members: tuple[Trained, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        halving = self.halving.model_dump(mode="json") if self.halving else None
        return asdict(replace(self, halving=None)) | {"halving": halving}


def spec_at(folder: Path) -> tuple[SweepSpec, Problem | None]:
    """(what the file in a sweep's folder says, as far as it can be read; what is wrong with it)"""
    file = folder / SPEC_FILE
    try:
        written = file.stat().st_mtime_ns
    except OSError:
        written = 0
    return _read(file, written)


@functools.lru_cache(maxsize=200)
def _read(file: Path, written: int) -> tuple[SweepSpec, Problem | None]:
    """What is written once is read once. `written` only tells when the file is another."""
    values = read_json(file)
    if values is None:
        return SweepSpec(), damage(file) or _odd(["members"])
    rows = values.get("members")
    members, are_whole = _members(rows if isinstance(rows, list) else [])
    whole = {name: value for name, value in values.items() if name != "members"}
    wrong = misfits(SweepSpec, whole)
    if not are_whole or not isinstance(rows, list):
        wrong.append("members")
    return replace(filled(SweepSpec, whole), members=members), _odd(wrong) if wrong else None


def _members(rows: Sequence[Any]) -> tuple[tuple[Trained, ...], bool]:
    """(those that name a run; are they all, and whole?)"""
    found = [filled(Trained, row) for row in rows]
    named = tuple(one for one in found if one.run)
    are_whole = all(isinstance(row, dict) and not misfits(Trained, row) and "values" in row for row in rows)
    return named, are_whole and len(named) == len(rows)


def _odd(names: Sequence[str]) -> Problem:
    return Problem(
        "sweep.odd_file",
        "sweep.json says things that make no sense ({names}); they are left out.",
        names=", ".join(names),
    )
