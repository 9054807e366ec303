"""Adapters that became one: which, how much of each, how they were combined, and how far what came of it answers as
each of them does.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import Field

from ..choices import Choices
from ..storage.reading import read_json
from ..storage.typed import filled
from .exports import POINTS, Fidelity
from .run import Run
from .verdict import LOST

MERGE = "merge.json"  # in the folder of the run that came of it
LONGEST_ID = 200


class Part(Choices):
    """A run whose finished adapter is merged, and how much of it."""

    run: str = Field(max_length=LONGEST_ID)
    weight: float = Field(1.0, ge=-2, le=2)


@dataclass(frozen=True)
class Parent:
    """One that was merged, and what the merged adapter makes of its questions."""

    run: str = ""
    title: str = ""
    weight: float = 1.0
    adapter: str = ""  # SHA-256 of its weights
    rank: int = 0
    fidelity: Fidelity = field(default_factory=Fidelity)

    @property
    def level(self) -> Literal["green", "amber", "red", "unknown"]:
        """By the right answers that were lost. To answer in other words is no loss: that is what merging does."""
        found = self.fidelity
        if found.exact_match.before is None or found.exact_match.after is None:
            return "unknown"
        if found.lost > LOST:
            return "red"
        return "amber" if found.lost > POINTS else "green"

    @property
    def words(self) -> str:
        """In one sentence."""
        return self.words_of(self.title)

    def words_of(self, name: str) -> str:
        """The same with another name: whoever sees what was merged may not see of what."""
        found = self.fidelity
        if not found.questions:
            return f"How far it answers as {name} does was not measured."
        before, after = found.exact_match.before, found.exact_match.after
        if before is None or after is None:
            return f"{found.same:,} of {found.questions:,} answers to general questions are those of {name}."
        return (
            f"{found.same:,} of {found.questions:,} held-out answers are those of {name}, word for word; "
            f"{after:.1%} of all are right, {before:.1%} of {name}'s."
        )


@dataclass(frozen=True)
class Merge:
    """All of it."""

    by: str = ""  # PEFT's name of the combination
    how: dict[str, Any] = field(default_factory=dict)  # its settings, the seed among them
    said: str = ""  # both, in words
    parents: tuple[Parent, ...] = ()
    base: str = ""
    weights: str = ""  # fingerprint of the base's weights
    precision: str = ""
    rank: int = 0
    notes: tuple[dict[str, Any], ...] = ()  # what one should know, each as `errors.with_code` keeps it
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def sum(self) -> str:
        """What of what: "0.5 * A + 0.5 * B (cat)"."""
        parts = " + ".join(f"{one.weight:g} * {one.title}" for one in self.parents)
        return f"{parts} ({self.said})"

    @property
    def words(self) -> str:
        return f"Merged of {len(self.parents)} adapters. It stands among the runs."

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Merge":
        """What is missing or fits nothing has its default, what is unknown is passed over."""
        return filled(cls, values)


def merge_of(run: Run) -> Merge | None:
    """What a run was merged of; None for one that was not."""
    known = read_json(run.folder / MERGE)
    return Merge.from_json(known) if known else None
