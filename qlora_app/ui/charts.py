"""The loss curve as the browser gets it: a few hundred numbers, and after the first time only those that are new."""

from typing import Any

from ..runs import Run

MOST_POINTS = 300
COLUMNS = ("x", "y", "low", "high")


def chart(run: Run, total: int, known: dict[str, Any]) -> dict[str, Any]:
    """Points of the curve from index `from` on, each the mean of `grouping` steps, held-out losses, and the length of the x axis.

    `known` is {"first", "count"}: what the browser already draws. While the grouping is the same, only points from its last
    one on are sent (the last may still have grown).
    """
    curve = run.curve()
    points = curve.points(MOST_POINTS)
    grouping = curve.grouped(MOST_POINTS)
    same = known.get("grouping") == grouping and isinstance(known.get("count"), int)
    start = max(0, min(known["count"] - 1, len(points["x"]))) if same else 0
    return {"grouping": grouping, "from": start, "total": max(total, *points["x"], 1) if points["x"] else max(total, 1),
            "held_out": [[step, round(loss, 4)] for step, loss in curve.held_out],
            **{column: points[column][start:] for column in COLUMNS}}
