"""One run in one row: what a list of thousands shows of it, and what tells whether that is still so."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..differs import differs_words
from ..jobs import ACTIVE, State
from ..recipe import Recipe
from .labels import LABELS, labels_of
from .proof import Proof
from .run import Run

MOST_OF_A_SPARK = 24  # points
# Files that change whenever a figure of the row does; a wish to start is one too.
_TELLING = (
    *("status.json", "launch.json", Run.spec_file, LABELS, "task.json"),
    *("adapter/proof.json", "checkpoints", "requests/start"),
)


@dataclass(frozen=True)
class RunSummary:
    """made: seconds since the epoch. progress and score: from 0 to 1. spark: held-out losses, oldest first; where
    fewer than three were measured, training losses. seconds, tokens: of its training, all parts; None where that is
    not known. source: of its data. talks: can one chat with it?
    """

    id: str
    name: str
    state: State
    made: float
    progress: float | None = None
    seconds_left: float | None = None
    model: str = ""
    data: str = ""
    source: str = ""
    method: str = ""
    differs: str = ""
    held_out: float | None = None
    spark: tuple[float, ...] = ()
    score: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    note: str = ""
    tags: tuple[str, ...] = ()
    is_archived: bool = False
    talks: bool = False

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE


def summary_of(run: Run) -> RunSummary:
    """The row of a run, read from its folder."""
    status, labels, read = run.status(), labels_of(run), run.read_recipe()
    recipe, proof = read.recipe, Proof.from_json(run.proof())
    heldout = proof.heldout
    is_known = not read.problem or bool(recipe.name)
    after = heldout.loss.after
    return RunSummary(
        id=run.id,
        name=_text(labels.name or (recipe.title if is_known else run.id)),
        state=status.state,
        made=run.created_at(),
        progress=status.progress if status.is_active else None,
        seconds_left=status.seconds_left if status.is_active else None,
        model=_text(_model(recipe)) if is_known else "",
        data=_text(recipe.dataset.title) if is_known else "",
        source=recipe.dataset.source if not read.problem else "",
        method=recipe.method.name,
        differs=_text(differs_words(recipe, proof.data.trained or None)) if not read.problem else "",
        held_out=status.held_out_loss if after is None else after,
        spark=_spark(run),
        score=heldout.exact_match.after,
        seconds=status.seconds or None,
        tokens=status.tokens,
        note=_text(labels.note_or(recipe.note)),
        tags=labels.tags,
        is_archived=labels.is_archived,
        talks=run.newest_adapter() is not None,
    )


def mark_of(run: Run) -> str:
    """Another text whenever the row of a run that is not at work may be another."""
    folder = f"{run.folder}/"
    return " ".join(_seen(folder + name) for name in _TELLING)


def _seen(path: str) -> str:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return "-"
    return f"{found.st_mtime_ns:x}.{found.st_size:x}.{found.st_ino:x}"


def _model(recipe: Recipe) -> str:
    model = recipe.base_model
    return Path(model.id).name if model.source == "folder" else model.title


def _text(written: str) -> str:
    """Without halves of letters, which no page can show."""
    return written.encode("utf-8", "replace").decode("utf-8")


def _spark(run: Run) -> tuple[float, ...]:
    curve = run.curve()
    losses = [float(loss) for _, loss in curve.held_out]
    if len(losses) < 3:
        losses = curve.points(MOST_OF_A_SPARK)["y"]
    every = max(1, -(-len(losses) // MOST_OF_A_SPARK))
    return tuple(round(loss, 4) for loss in losses[::-1][::every][::-1])


# What a row is sorted by, by the name of its column.
SORTED_BY: dict[str, Callable[[RunSummary], str | float | None]] = {
    "name": lambda row: row.name.casefold(),
    "state": lambda row: _STATE_ORDER.index(row.state),
    "model": lambda row: row.model.casefold() or None,
    "data": lambda row: row.data.casefold() or None,
    "method": lambda row: row.method or None,
    "differs": lambda row: row.differs.casefold() or None,
    "held_out": lambda row: row.held_out,
    "score": lambda row: row.score,
    "time": lambda row: row.seconds,
    "tokens": lambda row: row.tokens,
    "tags": lambda row: " ".join(row.tags).casefold() or None,
    "when": lambda row: row.made,
}
_STATE_ORDER: tuple[State, ...] = (
    "running",
    "starting",
    "stopping",
    "queued",
    "done",
    "stopped",
    "interrupted",
    "failed",
)
