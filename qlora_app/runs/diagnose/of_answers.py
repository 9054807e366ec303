"""Rules on what it answers."""

from typing import Any

from ...errors import Problem
from ..contradictions import contradictions
from ..rows import SampleRow
from .changes import lower_rate
from .loops import is_going_round
from .of_loss import plateau
from .seen import Finding, Seen

MASK_SUSPECTED = ("asked_otherwise", "learned_and_not_answered")  # contradictions of a proof
FEWEST_ANSWERS = 3


def never_ends(seen: Seen) -> Finding | None:
    """Answers that are cut at the longest length allowed."""
    if seen.is_early or repeats(seen) is not None or plateau(seen) is not None:
        return None
    proof, answers = seen.proof, seen.answers
    if proof and proof.heldout.questions >= FEWEST_ANSWERS and proof.heldout.unended is not None:
        asked, endless = proof.heldout.questions, proof.heldout.unended
    else:
        asked, endless = len(answers), sum(_is_endless(row) for row in answers)
    if asked < FEWEST_ANSWERS or endless < 0.6 * asked:
        return None
    return Finding(
        "never_ends",
        Problem(
            "diagnosis.never_ends",
            "Its answers do not end: {endless:,} of {asked:,} were cut at the longest length allowed.",
            endless=endless,
            asked=asked,
        ),
        *_why_endless(seen),
    )


def _is_endless(row: SampleRow) -> bool:
    """Cut, and longer than what is right by far, where that is known."""
    expected = row.get("expected", "")
    return bool(row.get("is_cut")) and (not expected or len(row.get("answer", "")) > 1.5 * len(expected))


def _why_endless(seen: Seen) -> tuple[Problem, dict[str, Any]]:
    data, length = (seen.proof.data if seen.proof else None), seen.recipe.training.max_length
    if data and data.trained and data.cut > 0.3 * data.trained:
        cause = Problem(
            "diagnosis.never_ends_cut",
            "{cut:,} of {rows:,} rows were cut before their end, so it never saw one.",
            cut=data.cut,
            rows=data.trained,
        )
        return cause, {"training.max_length": min(131_072, max(256, 4 * length))}
    cause = Problem(
        "diagnosis.never_ends_cause",
        "It has not learned where an answer ends: train longer, or look whether the end of each answer carries loss.",
    )
    training = seen.recipe.training
    if training.max_steps:
        return cause, {"training.max_steps": 2 * training.max_steps}
    return cause, {"training.epochs": min(1000.0, 2 * training.epochs)}


def repeats(seen: Seen) -> Finding | None:
    """Answers that say the same over and over."""
    answers = seen.answers
    count = sum(_repeats_itself(row) for row in answers)
    if seen.is_early or len(answers) < FEWEST_ANSWERS or count < 0.5 * len(answers):
        return None
    return Finding(
        "repeats",
        Problem(
            "diagnosis.repeats",
            "It repeats itself: {count:,} of {asked:,} answers say the same over and over.",
            count=count,
            asked=len(answers),
        ),
        Problem(
            "diagnosis.repeats_cause",
            "It has forgotten how to write: a lower learning rate keeps more of what the base knows.",
        ),
        lower_rate(seen.recipe),
    )


def _repeats_itself(row: SampleRow) -> bool:
    """Where the right answer goes round too, that is how it is to answer."""
    return is_going_round(row.get("answer", "")) and not is_going_round(row.get("expected", ""))


def mask_suspected(seen: Seen) -> Finding | None:
    """The loss says that it knows the answers, and what it answers is something else.

    That is known of a proof alone, which asks for rows that it learned: while it trains only held-out ones are asked,
    and who has learned others by heart answers those otherwise.
    """
    if seen.proof is None or not any(one.code in MASK_SUSPECTED for one in contradictions(seen.proof)):
        return None
    return Finding(
        "mask_suspected",
        Problem("diagnosis.mask_suspected", "The loss is low, and yet its answers are wrong."),
        Problem(
            "diagnosis.mask_suspected_cause",
            "What carries loss is not what is asked: look at what is learned of each row. The chat template or the "
            "columns are the likely cause.",
        ),
    )
