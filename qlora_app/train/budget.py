"""A training that may take so long, so many tokens or so much money, or go on until a time of day."""

import datetime
from collections.abc import Callable

from ..errors import Problem
from ..recipe import Training
from ..runs import Run
from ..runs.events import Event
from ..runs.run import Spent

USED_UP = "run.stopped_by_budget"  # the beginning of the code of the event that says so
BEGINNINGS = (USED_UP, "event.extended")  # of events after which a budget is had whole


class Budget:
    """Says when it is used up. A run that was stopped by its budget and is resumed has all of it once more."""

    def __init__(
        self,
        training: Training,
        run: Run,
        launched: datetime.datetime,
        now: Callable[[], datetime.datetime] = datetime.datetime.now,
    ) -> None:
        """Minutes and tokens count from the beginning of the run, whatever it was stopped by meanwhile, else from where
        its budget was used up before, or from where it goes on from another run. A time of day is the next one after it
        was launched, however long it took from there to the first step.
        """
        self.training, self.now = training, now
        begun = [one for one in run.events() if str(one.get("code")).startswith(BEGINNINGS)]
        before: Event = begun[-1] if begun else {}
        self.seconds_before = _number(before.get("seconds"))
        self.tokens_before = _number(before.get("tokens"))
        self.ends_at = _next(training.stop_at, launched) if training.stop_at else None

    def used_up(self, spent: Spent) -> Problem | None:
        """What of it is used up, after so much was spent in all parts of the run; None while nothing is."""
        training, seconds = self.training, spent.seconds - self.seconds_before
        cost = seconds / 3600 * training.price_an_hour
        if training.max_minutes and seconds >= 60 * training.max_minutes:
            return Problem("budget.minutes", "{minutes:g} minutes of training are over", minutes=training.max_minutes)
        if training.max_tokens and spent.tokens - self.tokens_before >= training.max_tokens:
            return Problem("budget.tokens", "{tokens:,} tokens were learned from", tokens=training.max_tokens)
        if training.max_cost and training.price_an_hour and cost >= training.max_cost:
            return Problem("budget.cost", "it has cost {cost:g}", cost=training.max_cost)
        if self.ends_at and self.now() >= self.ends_at:
            return Problem("budget.time", "it is {time}", time=training.stop_at)
        return None


def stopped_words(step: int, total: int, what: Problem, is_saved: bool) -> Problem:
    """The last word of a run whose budget is used up: at which step, and what is left."""
    if not is_saved:
        return Problem(
            "run.stopped_by_budget_unsaved",
            "Stopped by its budget at step {step:,} of {total:,}, since {what}; nothing was saved.",
            step=step,
            total=total,
            what=what,
        )
    return Problem(
        "run.stopped_by_budget",
        "Stopped by its budget at step {step:,} of {total:,}, since {what}. {left:,} steps are left; Resume goes on "
        "with the same budget once more.",
        step=step,
        total=total,
        left=total - step,
        what=what,
    )


def _next(time_of_day: str, now: datetime.datetime) -> datetime.datetime:
    """When it is that time again."""
    hour, minute = map(int, time_of_day.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today > now else today + datetime.timedelta(days=1)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
