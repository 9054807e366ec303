"""A run's curves as the browser gets them: a few hundred numbers of the one that is looked at, and after the first time
only those that are new.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from ...runs import Run
from ...runs.curve import FIGURES, REWARDS, Curve
from ...runs.proof import Proof
from ...runs.recipes import recipe_of
from ...runs.rows import HELD_OUT
from ...storage.reading import read_json
from .said import Said

MOST_POINTS = 300
LOSS = "loss"
SERIES = (LOSS, *FIGURES, *REWARDS)  # what can be looked at; the loss has the held-out loss beside it


class HeldOutLoss(TypedDict):
    """One measurement on examples that nothing was learned from: of the loss, or of the curve that is looked at."""

    step: int
    loss: float


class Points(TypedDict):
    """Points of the curve, one list for each of their numbers; a point is the mean of `grouping` steps."""

    x: list[float]  # its last step
    y: list[float]  # mean
    low: list[float]
    high: list[float]


class Marks(TypedDict):
    """Steps at which something happened."""

    samples: list[int]  # the sample questions were answered
    asked: list[int]  # somebody's questions were
    checkpoints: list[int]  # it was saved, and still is
    kept: int | None  # whose adapter is the best so far, or the one that is kept


# "from" is a word of Python, so these keys are written as a call.
Chart = TypedDict(
    "Chart",
    {
        "series": str,
        "grouping": int,  # steps a point stands for
        "from": int,  # index of the first point that is sent
        "total": int,  # length of the x axis, steps
        "held_out": list[HeldOutLoss],
        "rewards": bool,  # does it learn preferences, which have curves of their own?
        "marks": Marks,
        "points": Points,
    },
)


class Known(TypedDict):
    """What a browser draws already."""

    series: str
    grouping: int
    count: int  # points


def series_of(asked: Any) -> str:
    """Which curve a browser asks for; that of the loss where it names none."""
    wanted = asked.get("series") if isinstance(asked, dict) else None
    return wanted if isinstance(wanted, str) and wanted in SERIES else LOSS


def chart(run: Run, total: int, series: str, proof: Proof | None, said: Said) -> Chart:
    """The whole curve of a run that takes `total` steps, with the steps at which it has answered."""
    curve = run.curve(with_figures=series != LOSS)
    wanted = curve.series(series)
    points = wanted.points(MOST_POINTS)
    held_out = _held_out(curve.held_out, proof) if series == LOSS else _measured(curve, series)
    return {
        "series": series,
        "grouping": wanted.grouped(MOST_POINTS),
        "from": 0,
        "total": int(max(total, 1, *points["x"])),
        "held_out": held_out,
        "rewards": _has_rewards(run),
        "marks": marks(run, proof, said),
        "points": Points(x=points["x"], y=points["y"], low=points["low"], high=points["high"]),
    }


def _held_out(measured: list[list[float]], proof: Proof | None) -> list[HeldOutLoss]:
    """Every measurement, by its step. That of the base is the one of step 0; of older runs it is in the proof alone."""
    found = {int(step): loss for step, loss in measured}
    before = proof.heldout.loss.before if proof else None
    if found and before is not None:
        found.setdefault(0, before)
    return [HeldOutLoss(step=step, loss=round(loss, 4)) for step, loss in sorted(found.items())]


def _measured(curve: Curve, series: str) -> list[HeldOutLoss]:
    """What was measured of held-out pairs; nothing of other figures."""
    if series not in REWARDS:
        return []
    points = curve.series(f"{HELD_OUT}{series}").points(MOST_POINTS)
    return [HeldOutLoss(step=int(x), loss=y) for x, y in zip(points["x"], points["y"], strict=True)]


def _has_rewards(run: Run) -> bool:
    recipe = recipe_of(run)
    return recipe is not None and recipe.preferences.is_on


def marks(run: Run, proof: Proof | None, said: Said) -> Marks:
    """What happened when."""
    asked = {row.get("step") for row in said.asked}
    sampled = {row.get("step", 0) for row in said.samples}
    saved = [_step_of(folder.name) for folder in run.checkpoints.glob("checkpoint-*")]
    return Marks(
        samples=sorted(step for step in sampled if isinstance(step, int)),
        asked=sorted(step for step in asked if isinstance(step, int)),
        checkpoints=sorted(step for step in saved if step is not None),
        kept=_kept(run, proof),
    )


def _kept(run: Run, proof: Proof | None) -> int | None:
    """None where nothing was measured that one could choose by."""
    if proof is not None:
        return proof.kept.step if proof.kept.best_step is not None else None
    best = [_step_of(folder.name) for folder in run.best.glob("step-*") if read_json(folder / "figures.json")]
    return next((step for step in best if step is not None), None)


def _step_of(name: str) -> int | None:
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else None


def known_of(asked: Any) -> Known | None:
    """What a browser says it draws; None where it draws nothing, or anybody sent anything."""
    if not isinstance(asked, Mapping):
        return None
    grouping, count = asked.get("grouping"), asked.get("count")
    if not isinstance(grouping, int) or not isinstance(count, int):
        return None
    return Known(series=series_of(asked), grouping=grouping, count=count)


def newer(drawn: Chart, known: Known | None) -> Chart:
    """A chart without the points that a browser has: those from index `from` on.

    While the grouping is the same, only points from its last one on are sent (the last may still have grown).
    """
    points = drawn["points"]
    if known is None or (known["series"], known["grouping"]) != (drawn["series"], drawn["grouping"]):
        return drawn
    start = max(0, min(known["count"] - 1, len(points["x"])))
    new = Points(x=points["x"][start:], y=points["y"][start:], low=points["low"][start:], high=points["high"][start:])
    return {**drawn, "from": start, "points": new}
