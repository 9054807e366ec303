"""Rules on how a training goes on: too long, too short a way, too slow."""

from ...errors import Problem
from .changes import lower_rate, shorter
from .figures import mean_of, median, newest, recent_mean
from .seen import FEWEST_STEPS, Finding, Seen


def overfits(seen: Seen) -> Finding | None:
    """Worse and worse on held-out rows while the rows it learns from get better."""
    measured = seen.measured
    if len(measured) < 4:
        return None
    at, (step, lowest) = min(enumerate(measured), key=lambda one: one[1][1])
    later = [loss for _, loss in measured[at + 1 :]]
    if len(later) < 2 or min(later) < 1.03 * lowest:
        return None
    has_lost = later[-1] > lowest + max(0.1 * lowest, 0.1 * (measured[0][1] - lowest))
    is_by_heart = min(later) > 1.1 * lowest and recent_mean(seen.curve, max(5, seen.done // 10)) < 0.3 * later[-1]
    if not has_lost and not is_by_heart:
        return None
    before = [bucket for bucket in seen.curve.buckets if bucket[0] <= max(step, 1)]
    if recent_mean(seen.curve, max(5, seen.done // 10)) > mean_of(before[-max(5, len(before) // 10) :]):
        return None
    return Finding(
        "overfits",
        Problem(
            "diagnosis.overfits",
            "It learns its rows by heart: the held-out loss was {lowest:.3g} at step {step:,} and is {last:.3g}.",
            lowest=lowest,
            step=int(step),
            last=later[-1],
        ),
        Problem("diagnosis.overfits_cause", "It is trained for too long on so few rows. More rows help most."),
        shorter(seen, int(step)) if step else lower_rate(seen.recipe),
    )


def still_warming_up(seen: Seen) -> Finding | None:
    """The learning rate had hardly reached its height when the steps were over."""
    rates = seen.curve.figures["learning_rate"].buckets
    is_over = seen.has_ended and seen.done >= seen.total
    if not rates or not is_over or seen.total < FEWEST_STEPS:
        return None
    highest = max(one[4] for one in rates)
    reached = next(one[0] for one in rates if one[4] >= 0.999 * highest)
    if reached < 0.7 * seen.total:
        return None
    return Finding(
        "still_warming_up",
        Problem(
            "diagnosis.still_warming_up",
            "It was still warming up when it ended: the learning rate rose until step {step:,} of {total:,}.",
            step=int(reached),
            total=seen.total,
        ),
        Problem("diagnosis.still_warming_up_cause", "The warm-up takes most of the steps."),
        {"training.warmup_ratio": 0.05},
    )


def slowed_down(seen: Seen) -> Finding | None:
    """Far fewer tokens a second than before, for many steps."""
    paces = seen.curve.figures["tokens_per_second"]
    done = seen.done
    if done < 60:
        return None
    recent = newest(paces, max(20, done // 10))
    before = [one for one in paces.buckets if one[0] < recent[-1][0]]
    if len(before) < 10:
        return None
    usual, now = median([one[2] / one[1] for one in before]), median([one[2] / one[1] for one in recent])
    fastest = max(one[4] for one in recent)
    if now > 0.3 * usual or fastest > 0.7 * usual:
        return None
    return Finding(
        "slowed_down",
        Problem(
            "diagnosis.slowed_down",
            "It has become slow: {now:,.0f} tokens a second, {usual:,.0f} before.",
            now=now,
            usual=usual,
        ),
        Problem(
            "diagnosis.slowed_down_cause",
            "Something else uses this machine, its memory is full, or it has become hot. What is learned is the same.",
        ),
    )
