"""The runs of a sweep, the best first: by what a verdict looks at, the right answers, then the held-out loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..jobs.status import ENDED
from ..runs.summary import RunSummary
from .halving import Decision


@dataclass(frozen=True)
class RankedRun:
    """One run of a sweep. place: from 1; 0 of one that has not ended, or was not measured. row: None once it was
    deleted. stopped: why the sweep stopped it; None of one that ended otherwise.
    """

    run: str
    values: dict[str, Any]
    row: RunSummary | None
    place: int = 0
    stopped: Decision | None = None

    def to_json(self) -> dict[str, Any]:
        """As a script gets it."""
        row = self.row
        return {
            "place": self.place,
            "run": self.run,
            "values": self.values,
            "state": row.state if row else "deleted",
            "held_out_loss": row.held_out if row else None,
            "exact_match": row.score if row else None,
            "stopped_by_sweep": self.stopped is not None,
        }


def ranked(
    members: Sequence[tuple[str, dict[str, Any]]],
    row_of: Callable[[str], RunSummary | None],
    stopped: Mapping[str, Decision],
) -> list[RankedRun]:
    """members: (run, values). The best that is done first; those that were stopped early after all that are done, then
    those without a measurement, in their order. stopped: what was decided against a run, which may have ended before
    it heard.
    """
    rows = [(run, values, row_of(run)) for run, values in members]
    runs = [RankedRun(run, values, row, stopped=_heard(stopped.get(run), row)) for run, values, row in rows]
    measured = sorted(filter(_is_measured, runs), key=_rank)
    places = {one.run: place for place, one in enumerate(measured, start=1)}
    placed = [RankedRun(one.run, one.values, one.row, places[one.run], one.stopped) for one in measured]
    return [*placed, *(one for one in runs if one.run not in places)]


def _heard(decision: Decision | None, row: RunSummary | None) -> Decision | None:
    return decision if row is not None and row.state == "stopped" else None


def _is_measured(one: RankedRun) -> bool:
    row = one.row
    if row is None or row.state not in ENDED:
        return False
    return row.held_out is not None or row.score is not None


def _rank(one: RankedRun) -> tuple[bool, float, float]:
    row = one.row
    assert row is not None
    loss = float("inf") if row.held_out is None else row.held_out
    return row.state != "done", -(row.score or 0.0), loss
