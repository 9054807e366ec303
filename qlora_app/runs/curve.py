"""Curves of bounded size: at most 2,000 buckets of the loss, and fewer of each other figure, with the lowest and the
highest value of each, whatever the run's length.
"""

import bisect
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard, get_args

from ..storage.reading import each_line
from .rows import HELD_OUT, FigureName, MetricRow, RewardName

MOST_BUCKETS = 2000
MOST_OF_A_FIGURE = 500
MOST_REMEMBERED = 32  # curves, of a hundred kilobytes each
FIGURES: tuple[FigureName, ...] = get_args(FigureName)
REWARDS: tuple[RewardName, ...] = get_args(RewardName)
MEASURED = tuple(f"{HELD_OUT}{name}" for name in REWARDS)
AXES = ("seconds", "tokens")  # of training, and learned from, up to a step: what a curve may be drawn by
EVERY = (*FIGURES, *AXES, *REWARDS, *MEASURED)
PACE_OVER = 1.0  # seconds; in less the clock of the rows is too coarse


class Buckets:
    """They double their width when they become too many, so adding is constant work and spikes are never lost."""

    def __init__(self, width: int = 1, buckets: list[list[float]] | None = None, most: int = MOST_BUCKETS) -> None:
        self.width = width
        self.buckets = buckets or []  # [first step, number of values, sum, lowest, highest]
        self.most = most

    def put(self, step: int, value: float) -> None:
        """Take in one value."""
        if self.buckets:
            last = self.buckets[-1]
            if step < last[0] + self.width:  # as _merge does, a million times in a second
                last[1] += 1
                last[2] += value
                if value < last[3]:
                    last[3] = value
                elif value > last[4]:
                    last[4] = value
                return
        self.buckets.append([step, 1, value, value, value])
        if len(self.buckets) > self.most:
            self._halve()

    @staticmethod
    def _merge(into: list[float], other: list[float]) -> None:
        into[1] += other[1]
        into[2] += other[2]
        into[3] = min(into[3], other[3])
        into[4] = max(into[4], other[4])

    def _halve(self) -> None:
        self.width *= 2
        pairs = [self.buckets[i : i + 2] for i in range(0, len(self.buckets), 2)]
        for pair in pairs:
            if len(pair) == 2:
                self._merge(pair[0], pair[1])
        self.buckets = [pair[0] for pair in pairs]

    def grouped(self, most: int = 300) -> int:
        """How many steps a point stands for."""
        return self.width * self._buckets_each(most)

    def _buckets_each(self, most: int) -> int:
        return max(1, -(-len(self.buckets) // most))

    def points(self, most: int = 300) -> dict[str, list[float]]:
        """{"x": steps, "y": mean, "low", "high"} with at most `most` points, for drawing."""
        group = self._buckets_each(most)
        out: dict[str, list[float]] = {"x": [], "y": [], "low": [], "high": []}
        for i in range(0, len(self.buckets), group):
            part = self.buckets[i : i + group]
            count = sum(b[1] for b in part)
            out["x"].append(part[-1][0])
            out["y"].append(_short(sum(b[2] for b in part) / count))
            out["low"].append(_short(min(b[3] for b in part)))
            out["high"].append(_short(max(b[4] for b in part)))
        return out

    def as_rows(self) -> list[list[float]]:
        return [[b[0], b[1], *(_short(v, 7) for v in b[2:])] for b in self.buckets]

    @classmethod
    def of_rows(cls, values: Any) -> "Buckets | None":
        """Those of one figure, as they are stored; None where that is none."""
        if not isinstance(values, dict):
            return None
        width, buckets = values.get("width", 1), values.get("buckets", [])
        if not (_is_count(width) and width > 0 and _are_rows(buckets, 5) and all(one[1] > 0 for one in buckets)):
            return None
        return cls(width, buckets, MOST_OF_A_FIGURE)


class Curve(Buckets):
    """The loss; what was measured on held-out rows; and the other figures of each step."""

    def __init__(
        self,
        width: int = 1,
        buckets: list[list[float]] | None = None,
        held_out: list[list[float]] | None = None,
        offset: int = 0,
        figures: dict[str, Buckets] | None = None,
    ) -> None:
        super().__init__(width, buckets)
        self.held_out = held_out or []  # [step, loss]
        self.offset = offset  # bytes of metrics.jsonl that are in here
        self.figures = figures or {name: Buckets(most=MOST_OF_A_FIGURE) for name in EVERY}
        # An earlier version kept the loss alone: its other figures are in metrics.jsonl.
        self.has_figures = figures is not None or offset == 0
        self.tokens_before = 0  # learned from in the parts of the run before the one that goes on
        self._paced: tuple[float, float, float] | None = None  # tokens, seconds, and the pace that was measured then

    def add(self, row: MetricRow) -> None:
        """Take in one line of metrics.jsonl."""
        step = row.get("step", 0)
        if not _is_count(step):
            return
        held_out_loss, loss = row.get("held_out_loss"), row.get("loss")
        if _is_number(held_out_loss):
            bisect.insort(self.held_out, [step, held_out_loss], key=lambda one: one[0])  # a run of old began at step 1
        if not _is_number(loss):
            self._take(row, step, MEASURED)
            return
        self.put(step, loss)
        self._take(row, step, (*FIGURES, *AXES))
        if REWARDS[0] in row:
            self._take(row, step, REWARDS)

    def _take(self, row: MetricRow, step: int, names: Sequence[str]) -> None:
        for name in names:
            value = self._figure(row, name)
            if _is_number(value):
                self.figures[name].put(step, value)

    def _figure(self, row: MetricRow, name: str) -> Any:
        if name == "tokens_per_second":
            return self._pace(row)
        if name == "tokens":
            return self._tokens(row)
        return row.get(name)

    def _tokens(self, row: MetricRow) -> int | None:
        """Of all parts: a run that was resumed counts anew."""
        tokens = row.get("tokens")
        if not _is_count(tokens):
            return None
        total = self.tokens
        if self.tokens_before + tokens < total:
            self.tokens_before = total
        return self.tokens_before + tokens

    @property
    def tokens(self) -> int:
        """Learned from so far, in all parts of the run."""
        known = self.figures["tokens"].buckets
        return int(known[-1][4]) if known else 0

    @property
    def seconds(self) -> float:
        """Of training so far, in all parts of the run."""
        known = self.figures["seconds"].buckets
        return known[-1][4] if known else 0.0

    def _pace(self, row: MetricRow) -> float | None:
        """Tokens a second as they are now: a row has the mean since the run began."""
        tokens, seconds, mean = row.get("tokens"), row.get("seconds"), row.get("tokens_per_second")
        if not _is_number(tokens) or not _is_number(seconds):
            return mean
        before = self._paced
        if before is None or tokens < before[0]:  # a run that was resumed counts anew
            self._paced = (tokens, seconds, float(mean or 0))
            return mean
        if seconds - before[1] >= PACE_OVER:
            self._paced = (tokens, seconds, (tokens - before[0]) / (seconds - before[1]))
        return self._paced[2] if self._paced else mean

    def series(self, name: str) -> Buckets:
        """The buckets of one figure; the loss for a name that is none."""
        return self.figures.get(name, self)

    def copied(self) -> "Curve":
        """Another one with the same in it."""
        figures = {
            name: Buckets(one.width, [bucket[:] for bucket in one.buckets], one.most)
            for name, one in self.figures.items()
        }
        held_out = [one[:] for one in self.held_out]
        copy = Curve(self.width, [bucket[:] for bucket in self.buckets], held_out, self.offset, figures)
        copy.has_figures, copy.tokens_before = self.has_figures, self.tokens_before
        return copy

    def to_dict(self) -> dict[str, Any]:
        return {
            "width": self.width,
            "buckets": [[b[0], b[1], *(round(v, 5) for v in b[2:])] for b in self.buckets],
            "held_out": self.held_out,
            "offset": self.offset,
        }

    def figures_to_dict(self) -> dict[str, Any]:
        """The other figures: a file of their own, which is read only where somebody looks at them."""
        figures = {name: {"width": one.width, "buckets": one.as_rows()} for name, one in self.figures.items()}
        return {"offset": self.offset, "tokens_before": self.tokens_before, "figures": figures}

    @classmethod
    def from_dict(cls, values: dict[str, Any], others: dict[str, Any] | None = None) -> "Curve":
        """Raises nothing: of values that are none of a curve it is empty, and metrics.jsonl holds it all. `others`: the
        other figures, which count where they are of the same lines.
        """
        width, offset = values.get("width", 1), values.get("offset", 0)
        buckets, held_out = values.get("buckets", []), values.get("held_out", [])
        is_one = _is_count(width) and width > 0 and _is_count(offset)
        if not (is_one and _are_rows(buckets, 5) and _are_rows(held_out, 2) and all(one[1] > 0 for one in buckets)):
            return cls()
        if others is None or others.get("offset") != offset:
            return cls(width, buckets, held_out, offset)
        curve = cls(width, buckets, held_out, offset, _figures_of(others.get("figures")))
        before = others.get("tokens_before")
        curve.tokens_before = before if _is_count(before) else 0
        return curve


def _figures_of(values: Any) -> dict[str, Buckets] | None:
    """None where they are not known, or damaged."""
    if not isinstance(values, dict):
        return None
    known: dict[str, Buckets] = {}
    for name in EVERY:
        is_newer = name in (*REWARDS, *MEASURED) and name not in values  # than the run
        found = Buckets(most=MOST_OF_A_FIGURE) if is_newer else Buckets.of_rows(values.get(name))
        if found is None:
            return None
        known[name] = found
    return known


def _short(value: float, digits: int = 5) -> float:
    """A number of few letters: a learning rate is small, and has its own digits."""
    return float(f"{value:.{digits}g}")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and value >= 0


def _are_rows(rows: Any, length: int) -> bool:
    """Are they lists of so many numbers?"""
    if not isinstance(rows, list):
        return False
    return all(isinstance(row, list) and len(row) == length and all(map(_is_number, row)) for row in rows)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


# By the file, its number on the disk, which a new file changes, and whether it was read for its figures.
_remembered: dict[tuple[Path, int, bool], Curve] = {}
_remembering = threading.Lock()


def read_on(stored: Curve, metrics: Path, with_figures: bool = False) -> Curve:
    """The curve `stored` with the lines of `metrics` that are newer. What was read once is read on from there.

    `with_figures`: where the stored one has the loss alone, all lines are read once.
    """
    try:
        found = metrics.stat()
    except OSError:
        return stored
    if with_figures and not stored.has_figures:
        stored = Curve()
    key = (metrics, found.st_ino, with_figures)
    with _remembering:
        known = _remembered.pop(key, None)
        curve = known if known and stored.offset < known.offset <= found.st_size else stored
        _add_newer(curve, metrics)
        _remembered[key] = curve
        while len(_remembered) > MOST_REMEMBERED:
            del _remembered[next(iter(_remembered))]
        return curve.copied()


def _add_newer(curve: Curve, metrics: Path) -> None:
    for row, end in each_line(metrics, curve.offset):
        curve.offset = end
        if row is not None:
            curve.add(row)  # type: ignore[arg-type]
