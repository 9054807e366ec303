"""A loss curve of bounded size: at most 2,000 buckets with the lowest and highest loss of each, whatever the run's
length.
"""

import copy
import math
import threading
from pathlib import Path
from typing import Any, TypeGuard

from ..storage.reading import each_line
from .rows import MetricRow

MOST_BUCKETS = 2000
MOST_REMEMBERED = 32  # curves, of a hundred kilobytes each


class Curve:
    """Buckets double their width when they become too many, so adding is constant work and spikes are never lost."""

    def __init__(
        self,
        width: int = 1,
        buckets: list[list[float]] | None = None,
        held_out: list[list[float]] | None = None,
        offset: int = 0,
    ) -> None:
        self.width = width
        self.buckets = buckets or []  # [first step, number of losses, sum, lowest, highest]
        self.held_out = held_out or []  # [step, loss]
        self.offset = offset  # bytes of metrics.jsonl that are in here

    def add(self, row: MetricRow) -> None:
        """Take in one line of metrics.jsonl."""
        step = row.get("step", 0)
        if not _is_count(step):
            return
        held_out_loss, loss = row.get("held_out_loss"), row.get("loss")
        if _is_number(held_out_loss):
            self.held_out.append([step, held_out_loss])
        if not _is_number(loss):
            return
        if self.buckets:
            last = self.buckets[-1]
            if step < last[0] + self.width:  # as _merge does, a million times in a second
                last[1] += 1
                last[2] += loss
                if loss < last[3]:
                    last[3] = loss
                elif loss > last[4]:
                    last[4] = loss
                return
        self.buckets.append([step, 1, loss, loss, loss])
        if len(self.buckets) > MOST_BUCKETS:
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
            out["y"].append(round(sum(b[2] for b in part) / count, 4))
            out["low"].append(round(min(b[3] for b in part), 4))
            out["high"].append(round(max(b[4] for b in part), 4))
        return out

    def to_dict(self) -> dict[str, Any]:
        return {
            "width": self.width,
            "buckets": [[b[0], b[1], *(round(v, 5) for v in b[2:])] for b in self.buckets],
            "held_out": self.held_out,
            "offset": self.offset,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Curve":
        """Raises nothing: of values that are none of a curve it is empty, and metrics.jsonl holds it all."""
        width, offset = values.get("width", 1), values.get("offset", 0)
        buckets, held_out = values.get("buckets", []), values.get("held_out", [])
        is_one = _is_count(width) and width > 0 and _is_count(offset)
        if not (is_one and _are_rows(buckets, 5) and _are_rows(held_out, 2) and all(one[1] > 0 for one in buckets)):
            return cls()
        return cls(width, buckets, held_out, offset)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _are_rows(rows: Any, length: int) -> bool:
    """Are they lists of so many numbers?"""
    if not isinstance(rows, list):
        return False
    return all(isinstance(row, list) and len(row) == length and all(map(_is_number, row)) for row in rows)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


_remembered: dict[tuple[Path, int], Curve] = {}  # by the file and its number on the disk, which a new file changes
_remembering = threading.Lock()


def read_on(stored: Curve, metrics: Path) -> Curve:
    """The curve `stored` with the lines of `metrics` that are newer. What was read once is read on from there."""
    try:
        found = metrics.stat()
    except OSError:
        return stored
    key = (metrics, found.st_ino)
    with _remembering:
        known = _remembered.pop(key, None)
        curve = known if known and stored.offset < known.offset <= found.st_size else stored
        _add_newer(curve, metrics)
        _remembered[key] = curve
        while len(_remembered) > MOST_REMEMBERED:
            del _remembered[next(iter(_remembered))]
        return copy.deepcopy(curve)


def _add_newer(curve: Curve, metrics: Path) -> None:
    for row, end in each_line(metrics, curve.offset):
        curve.offset = end
        if row is not None:
            curve.add(row)  # type: ignore[arg-type]
