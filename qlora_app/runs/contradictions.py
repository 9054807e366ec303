"""Figures of a proof that cannot all be true of a model that learned what it was meant to: each with what is wrong and its likely cause.

Loss and token accuracy are measured on the tokens that carry loss; if those are the wrong ones, both look perfect. What the model says by
itself does not share that fault, so the two are held against each other.
"""

from collections.abc import Callable
from typing import NamedTuple

from .proof import Answered, Proof

FEWEST = 4  # answers; fewer tell nothing
SEE_THROUGH = "Look at the rows as the model sees them, on the Train tab, before the next run."


class Contradiction(NamedTuple):
    """A code for programs, and one or two sentences for people."""

    code: str
    sentence: str


def contradictions(proof: Proof) -> list[Contradiction]:
    """All that the figures of a proof say against each other; none for a run that is as it should be."""
    said = ((check.__name__, check(proof)) for check in CHECKS)
    return [Contradiction(code, f"Warning: {sentence}") for code, sentence in said if sentence]


def asked_otherwise(proof: Proof) -> str:
    """Token by token it knows its answers, but asked for them it gives others."""
    groups = [one for one in (proof.heldout, proof.learned) if one.questions and one.predicted is not None and one.exact_match.is_known]
    questions, predicted = sum(one.questions for one in groups), sum(one.predicted or 0 for one in groups)
    right = sum(_right(one) for one in groups)
    if questions < FEWEST or predicted - right < max(2, 0.2 * questions):
        return ""
    return (f"{predicted:,} of {questions:,} answers are predicted whole when the right tokens before are given, but only {right:,} are "
            "given when it is asked. It is asked otherwise than it was taught, or what it learned is not the answer: the chat template "
            f"is the likely cause. {SEE_THROUGH}")


def learned_and_not_answered(proof: Proof) -> str:
    """The loss says that the answers of learned rows are all but certain."""
    learned, loss = proof.learned, proof.loss.last
    if learned.questions < FEWEST or loss is None or learned.tokens is None or learned.exact_match.after is None:
        return ""
    all_but_certain = loss * learned.tokens < 0.3  # nats of a whole answer: it is said with a probability of 3 in 4
    right = _right(learned)
    if not all_but_certain or right >= learned.questions / 2:
        return ""
    return (f"the training loss is {loss:.2g}, and yet only {right:,} of {learned.questions:,} rows it learned from are answered right. "
            f"What carries loss is not what is answered. {SEE_THROUGH}")


def never_stops(proof: Proof) -> str:
    """The right answer, and then more."""
    groups = [one for one in (proof.heldout, proof.learned) if one.questions and one.went_on is not None]
    questions, went_on = sum(one.questions for one in groups), sum(one.went_on or 0 for one in groups)
    if questions < FEWEST or went_on < max(2, questions / 4):
        return ""
    cause = "The end of a turn is not learned, or not known as an end when it answers: the chat template is the likely cause."
    if proof.data.trained and proof.data.cut > proof.data.trained / 2:
        cause = "Most rows were cut before their end, so it never saw one. Raise \"Longest example\"."
    return f"{went_on:,} of {questions:,} answers begin with the whole right one and go on after it. {cause}"


def says_nothing(proof: Proof) -> str:
    """Empty answers where something was to be said."""
    held_out = proof.heldout
    if held_out.questions < FEWEST or not held_out.empty or held_out.empty < held_out.questions / 2:
        return ""
    return (f"{held_out.empty:,} of {held_out.questions:,} answers are empty. It learned to end at once: the answers of the rows may be "
            f"empty, or the chat template leaves them out. {SEE_THROUGH}")


def one_answer_to_everything(proof: Proof) -> str:
    """As if nobody had asked."""
    one = proof.heldout
    if one.questions < 2 * FEWEST or one.different_answers != 1 or (one.different_expected or 1) < 2 or one.empty:
        return ""
    return (f"it gives the same answer to all of {one.questions:,} questions, which have {one.different_expected:,} different ones. It "
            "did not learn from the questions: train longer, or with a lower learning rate, and look whether they hold what the answers "
            "depend on.")


def learned_by_heart(proof: Proof) -> str:
    """Better on what it learned, worse on what it never saw."""
    loss, trained = proof.heldout.loss, proof.loss
    if not loss.is_known or trained.first is None or trained.last is None:
        return ""
    if loss.after <= 1.02 * loss.before or trained.last >= trained.first:  # type: ignore[operator]
        return ""
    return (f"on held-out rows the loss rose from {loss.before:.2f} to {loss.after:.2f}, while that of the rows it learned fell from "
            f"{trained.first:.2f} to {trained.last:.2f}. It learned them by heart: fewer epochs, a lower learning rate or more rows help.")


def was_better_before(proof: Proof) -> str:
    """The last adapter was wanted, and an earlier one was better."""
    kept = proof.kept
    if kept.rule != "last" or not kept.was_better or kept.best_step is None:
        return ""
    return (f"step {kept.best_step:,} was better on held-out examples than the last one, which is kept as you chose. Set \"Adapter to "
            "keep\" to the best, or train for fewer steps.")


def fewer_right_than_the_base(proof: Proof) -> str:
    """The base answered more of the held-out questions."""
    one = proof.heldout
    if one.questions < FEWEST or not one.exact_match.is_known:
        return ""
    before, after = round(one.exact_match.before * one.questions), _right(one)  # type: ignore[operator]
    if before - after < max(3, 0.05 * one.questions):
        return ""
    return (f"the base answers {before:,} of {one.questions:,} held-out questions right, and the adapter only {after:,}. It does not "
            "help with them: a lower learning rate, or rows more like these questions, are the first things to try.")


CHECKS: tuple[Callable[[Proof], str], ...] = (
    asked_otherwise, learned_and_not_answered, never_stops, says_nothing, one_answer_to_everything, learned_by_heart, was_better_before,
    fewer_right_than_the_base)


def _right(answered: Answered) -> int:
    return round((answered.exact_match.after or 0.0) * answered.questions)
