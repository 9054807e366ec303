"""Rules on the loss and its gradient."""

import itertools

from ...errors import Problem
from .changes import lower_rate, other_rate
from .figures import error_of_means, first_of, mean_of, median, newest, recent_mean, stretches
from .seen import FEWEST_STEPS, Finding, Seen

ZERO = 1e-4  # nats a token: a loss of which nothing is left
NO_LENGTH = 1e-5  # of a gradient: what is logged has five digits
FEWEST_MEANT = 20  # steps whose mean is compared with another
SURELY = 4  # standard errors
TOO_LARGE_STEPS = Problem("diagnosis.too_large_steps", "Its steps are too large: the learning rate is too high.")


def not_a_number(seen: Seen) -> Finding | None:
    """The loss was NaN or infinite: the training failed with a sentence that says where, by its cause."""
    causes = ("training.loss_of_rate", "training.loss_grew", "training.loss_of_method", "training.loss_of_rows")
    if seen.failure not in causes:
        return None
    sentence = Problem("diagnosis.not_a_number", "The loss is no number any more.")
    if seen.failure == "training.loss_of_rows":
        cause = Problem(
            "diagnosis.not_a_number_rows",
            "It is some of the rows: the base has no loss for them either. Look at the data and leave them out.",
        )
        return Finding("not_a_number", sentence, cause, {}, True)
    if seen.failure == "training.loss_of_method":
        cause = Problem(
            "diagnosis.not_a_number_method",
            "The method begins with it on this base, before anything is learned: its numbers are too coarse.",
        )
        return Finding("not_a_number", sentence, cause, {"base_model.compute_type": "fp32"}, True)
    return Finding("not_a_number", sentence, TOO_LARGE_STEPS, lower_rate(seen.recipe), True)


def nothing_to_learn(seen: Seen) -> Finding | None:
    """The loss is 0 from the first step on."""
    curve, count = seen.curve, FEWEST_STEPS
    if seen.done < count or any(one[4] > ZERO for one in newest(curve, seen.done)):
        return None
    return Finding(
        "nothing_to_learn",
        Problem("diagnosis.nothing_to_learn", "The loss is 0 from the first step on: there is nothing to learn."),
        Problem(
            "diagnosis.nothing_to_learn_cause",
            "No token carries loss that the model does not know already. Look at what is learned of each row: the chat "
            "template or the columns are the likely cause.",
        ),
        {},
        True,
    )


def no_gradient(seen: Seen) -> Finding | None:
    """Nothing can be learned from a loss whose gradient is 0."""
    grads = seen.curve.figures["grad_norm"]
    last = newest(grads, FEWEST_STEPS)
    if seen.done < FEWEST_STEPS or sum(one[1] for one in last) < FEWEST_STEPS:
        return None
    if any(one[4] > NO_LENGTH for one in last) or recent_mean(seen.curve, FEWEST_STEPS) < 0.01:
        return None
    return Finding(
        "no_gradient",
        Problem("diagnosis.no_gradient", "The gradient is 0: nothing is learned, whatever the loss is."),
        Problem(
            "diagnosis.no_gradient_cause",
            "Nothing that learns takes part in the loss, or numbers too small for the compute type are rounded to 0.",
        ),
        {"base_model.compute_type": "fp32"},
        True,
    )


def exploded(seen: Seen) -> Finding | None:
    """The loss has risen far above where it began, or lost what it had gained, and stays there.

    Single steps jump, and of many means one is low by chance. A rise counts where it is far more than means of so many
    steps differ by themselves, and where two of them, one after the other, have it.
    """
    curve, done = seen.curve, seen.done
    many = max(FEWEST_MEANT, done // 20)
    if done < 2 * many:
        return None
    measured = [loss for _, loss in seen.measured]
    first = seen.at_first if measured else first_of(curve, FEWEST_MEANT)
    chance = SURELY * error_of_means(curve, many)
    newer = newest(curve, many)
    older = newest(curve, 2 * many)[len(newer) :]
    recent = min(mean_of(newer), mean_of(older))
    is_far_above = recent - first > max(0.7, 0.4 * first, chance)
    is_worse = len(measured) > 1 and measured[-1] > measured[0] + max(1.0, 0.5 * measured[0])
    is_worse_in_all = is_worse and recent - first > chance  # else it learns by heart
    lowest = min(stretches(curve, many), default=first)
    has_risen = recent - lowest > max(0.7 * (first - lowest), chance)
    is_lost = lowest < 0.6 * first and has_risen and recent > 3 * lowest
    if not is_far_above and not is_lost and not is_worse_in_all:
        return None
    return Finding(
        "exploded",
        Problem(
            "diagnosis.exploded",
            "The loss exploded: it was {lowest:.3g}, and is {recent:.3g}.",
            lowest=min(first_of(curve, 1), lowest),
            recent=mean_of(newer),
        ),
        TOO_LARGE_STEPS,
        lower_rate(seen.recipe),
        True,
    )


def gradients_grow(seen: Seen) -> Finding | None:
    """Gradients far longer than at first, while the loss falls no more."""
    grads, done = seen.curve.figures["grad_norm"], seen.done
    if done < 40 or exploded(seen) is not None:
        return None
    early = median([one[2] / one[1] for one in grads.buckets[: max(3, len(grads.buckets) // 5)]])
    late = median([one[2] / one[1] for one in newest(grads, max(10, done // 10))])
    has_stalled = recent_mean(seen.curve, done // 4) > 0.9 * first_of(seen.curve, max(1, done // 2))
    limit = max(30 * early, 10 * seen.recipe.training.max_grad_norm)
    if late <= limit or not has_stalled:
        return None
    return Finding(
        "gradients_grow",
        Problem(
            "diagnosis.gradients_grow",
            "The gradients grow: they were {early:.2g} long, and are {late:.2g}, while the loss does not fall.",
            early=early,
            late=late,
        ),
        TOO_LARGE_STEPS,
        lower_rate(seen.recipe),
    )


def plateau(seen: Seen) -> Finding | None:
    """After enough steps the loss is where it began."""
    curve, done = seen.curve, seen.done
    if done < max(30, 0.2 * seen.total, seen.warm_up + 20) or exploded(seen) is not None:
        return None
    first, recent = first_of(curve, max(5, done // 10)), recent_mean(curve, done // 4)
    measured = [loss for _, loss in seen.measured]
    if len(measured) > 1:  # these are of the same rows each time, and do not jump
        first, recent = measured[0], min(measured[1:])
    if first < 0.3 or recent < 0.97 * first:
        return None
    return Finding(
        "plateau",
        Problem(
            "diagnosis.plateau",
            "It does not learn: after {steps:,} steps the loss is {recent:.3g}, and was {first:.3g}.",
            steps=done,
            recent=recent,
            first=first,
        ),
        Problem(
            "diagnosis.plateau_cause", "The learning rate is far too low, or so high that every step undoes the last."
        ),
        other_rate(seen.recipe),
    )


def noisy(seen: Seen) -> Finding | None:
    """The loss jumps so much from step to step that it falls no more, and a step has few examples."""
    curve, batch = seen.curve, seen.recipe.training.batch_size
    if batch > 8 or seen.done < 60 or curve.width > 1 or exploded(seen) is not None:
        return None
    last = [one[2] for one in newest(curve, seen.done // 2)]
    half = len(last) // 2
    newer, older = last[:half], last[half:]
    mean = sum(last) / len(last)
    jumps = median([abs(one - other) for one, other in itertools.pairwise(last)])
    falls = sum(older) / len(older) - sum(newer) / len(newer)
    if mean < 0.3 * seen.at_first or jumps < 0.5 * mean or falls > 0.05 * mean:
        return None
    return Finding(
        "noisy",
        Problem(
            "diagnosis.noisy",
            "The loss jumps by {jump:.3g} from step to step and does not fall any more.",
            jump=jumps,
        ),
        Problem("diagnosis.noisy_cause", "A step has too few examples: they pull in different directions."),
        {"training.batch_size": min(4096, max(16, 4 * batch))},
    )
