"""The loss curve as the browser gets it: a few hundred numbers, and after the first time only those that are new."""

from typing import Any

from ...runs import Run

MOST_POINTS = 300
COLUMNS = ("x", "y", "low", "high")


def chart(run: Run, total: int) -> dict[str, Any]:
    """The whole curve: points, each the mean of `grouping` steps, held-out losses, and the length of the x axis."""
    curve = run.curve()
    points = curve.points(MOST_POINTS)
    return {
        "grouping": curve.grouped(MOST_POINTS),
        "from": 0,
        "total": max(total, *points["x"], 1) if points["x"] else max(total, 1),
        "held_out": [[step, round(loss, 4)] for step, loss in curve.held_out],
        **points,
    }


def newer(drawn: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A chart without the points that a browser has: those from index `from` on.

    `known` is {"grouping", "count"}: what it already draws. While the grouping is the same, only points from its last
    one on are sent (the last may still have grown).
    """
    if known.get("grouping") != drawn["grouping"] or not isinstance(known.get("count"), int):
        return drawn
    start = max(0, min(known["count"] - 1, len(drawn["x"])))
    return drawn | {"from": start} | {column: drawn[column][start:] for column in COLUMNS}
