"""The loss curve as the browser gets it: a few hundred numbers, and after the first time only those that are new."""

from typing import Any, TypedDict

from ...runs import Run

MOST_POINTS = 300


class HeldOutLoss(TypedDict):
    """One measurement on examples that nothing was learned from."""

    step: int
    loss: float


class Points(TypedDict):
    """Points of the curve, one list for each of their numbers; a point is the mean of `grouping` steps."""

    x: list[float]  # its last step
    y: list[float]  # mean loss
    low: list[float]
    high: list[float]


# "from" is a word of Python, so these keys are written as a call.
Chart = TypedDict(
    "Chart",
    {
        "grouping": int,  # steps a point stands for
        "from": int,  # index of the first point that is sent
        "total": int,  # length of the x axis, steps
        "held_out": list[HeldOutLoss],
        "points": Points,
    },
)


class Known(TypedDict):
    """What a browser draws already."""

    grouping: int
    count: int  # points


def chart(run: Run, total: int) -> Chart:
    """The whole curve of a run that takes `total` steps."""
    curve = run.curve()
    points = curve.points(MOST_POINTS)
    held_out = [HeldOutLoss(step=int(step), loss=round(loss, 4)) for step, loss in curve.held_out]
    return {
        "grouping": curve.grouped(MOST_POINTS),
        "from": 0,
        "total": int(max(total, 1, *points["x"])),
        "held_out": held_out,
        "points": Points(x=points["x"], y=points["y"], low=points["low"], high=points["high"]),
    }


def known_of(asked: Any) -> Known | None:
    """What a browser says it draws; None where it draws nothing, or anybody sent anything."""
    if not isinstance(asked, dict):
        return None
    grouping, count = asked.get("grouping"), asked.get("count")
    return Known(grouping=grouping, count=count) if isinstance(grouping, int) and isinstance(count, int) else None


def newer(drawn: Chart, known: Known | None) -> Chart:
    """A chart without the points that a browser has: those from index `from` on.

    While the grouping is the same, only points from its last one on are sent (the last may still have grown).
    """
    points = drawn["points"]
    if known is None or known["grouping"] != drawn["grouping"]:
        return drawn
    start = max(0, min(known["count"] - 1, len(points["x"])))
    new = Points(x=points["x"][start:], y=points["y"][start:], low=points["low"][start:], high=points["high"][start:])
    return {**drawn, "from": start, "points": new}
