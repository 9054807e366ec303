"""Curves of several runs for one picture: any figure by steps, time or tokens, short, with their lowest and highest."""

import functools
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from .curve import Curve
from .run import Run

MOST_POINTS = 400
SeriesName = Literal["held_out", "loss", "learning_rate", "grad_norm", "tokens_per_second", "memory_mb"]
AxisName = Literal["step", "seconds", "tokens"]
SERIES: tuple[SeriesName, ...] = get_args(SeriesName)
BY: tuple[AxisName, ...] = get_args(AxisName)
Points = dict[str, list[float]]


def points_of(run: Run, series: SeriesName, by: AxisName) -> Points:
    """{"x", "y", "low", "high"}: at most 400 points, of each its place on the axis, mean, lowest and highest. What is
    asked of a run that has not changed is remembered.
    """
    return _made(run.folder, series, by, _mark(run))


def _mark(run: Run) -> tuple[int, int]:
    try:
        found = (run.folder / "metrics.jsonl").stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=256)
def _made(folder: Path, series: SeriesName, by: AxisName, mark: tuple[int, int]) -> Points:
    """`mark` only tells when the run's figures are others."""
    curve = Run(folder).curve(with_figures=by != "step" or series not in ("loss", "held_out"))
    points = _held_out(curve) if series == "held_out" else curve.series(series).points(MOST_POINTS)
    if by == "step":
        return points
    places = curve.figures[by].buckets
    if not places:
        return {name: [] for name in points}
    return {**points, "x": [_place(places, step) for step in points["x"]]}


def _held_out(curve: Curve) -> Points:
    every = max(1, -(-len(curve.held_out) // MOST_POINTS))
    shown = curve.held_out[::-1][::every][::-1]
    losses = [round(loss, 5) for _, loss in shown]
    return {"x": [step for step, _ in shown], "y": losses, "low": losses, "high": losses}


def _place(places: Sequence[list[float]], step: float) -> float:
    """How much time or how many tokens had gone by at a step. A bucket's lowest is that of its first step."""
    after = bisect_right(places, step, key=lambda bucket: bucket[0])
    if after == 0:
        first, lowest = places[0][0], places[0][3]
        return round(lowest * step / first, 2) if first else 0.0
    first, _, _, lowest, highest = places[after - 1]
    if after == len(places):
        return round(highest if step > first else lowest, 2)
    share = (step - first) / (places[after][0] - first)
    return round(lowest + share * (places[after][3] - lowest), 2)
