"""Figures of a proof that cannot all be true of a model that learned what it was meant to: each with what is wrong and
its likely cause.

Loss and token accuracy are measured on the tokens that carry loss; if those are the wrong ones, both look perfect. What
the model says by itself does not share that fault, so the two are held against each other.
"""

from collections.abc import Callable
from typing import NamedTuple

from ..formatting import loss_figure
from .proof import Answered, Proof

FEWEST = 4  # answers; fewer tell nothing
SEE = 'Open "Look at the data" and see what carries loss before the next run.'
NO_END = (
    "The end of a turn is not learned, or not known as an end when it answers: the chat template is the likely cause."
)
CUT = 'Most rows were cut before their end, so it never saw one. Raise "Longest example".'


class Contradiction(NamedTuple):
    """A code for programs, and one or two sentences for people."""

    code: str
    sentence: str


def contradictions(proof: Proof) -> list[Contradiction]:
    """All that the figures of a proof say against each other; none for a run that is as it should be."""
    said = ((check.__name__, check(proof)) for check in CHECKS)
    return [Contradiction(code, " ".join(sentences)) for code, sentences in said if sentences]


Sentences = tuple[str, ...]  # what is wrong, and why; none where nothing is


def asked_otherwise(proof: Proof) -> Sentences:
    """Token by token it knows its answers, but asked for them it gives others."""
    groups = [
        one
        for one in (proof.heldout, proof.learned)
        if one.questions and one.predicted is not None and one.exact_match.is_known
    ]
    questions, predicted = sum(one.questions for one in groups), sum(one.predicted or 0 for one in groups)
    right = sum(_right(one) for one in groups)
    if questions < FEWEST or predicted - right < max(2, 0.2 * questions):
        return ()
    return (
        f"Warning: {predicted:,} of {questions:,} answers are predicted whole when the right tokens before are given, "
        f"but only "
        f"{right:,} are given when it is asked.",
        "It is asked otherwise than it was taught, or what it learned is not the answer: the chat template is the "
        "likely cause.",
        SEE,
    )


def learned_and_not_answered(proof: Proof) -> Sentences:
    """The loss says that the answers of learned rows are all but certain."""
    learned, loss = proof.learned, proof.loss.last
    if learned.questions < FEWEST or loss is None or learned.tokens is None or learned.exact_match.after is None:
        return ()
    all_but_certain = loss * learned.tokens < 0.3  # nats of a whole answer: it is said with a probability of 3 in 4
    right = _right(learned)
    if not all_but_certain or right >= learned.questions / 2:
        return ()
    return (
        f"Warning: the training loss is {loss_figure(loss)}, and yet only {right:,} of {learned.questions:,} rows it "
        f"learned from are "
        "answered right.",
        "What carries loss is not what is answered.",
        SEE,
    )


def never_stops(proof: Proof) -> Sentences:
    """The right answer, and then more."""
    groups = [one for one in (proof.heldout, proof.learned) if one.questions and one.went_on is not None]
    questions, went_on = sum(one.questions for one in groups), sum(one.went_on or 0 for one in groups)
    if questions < FEWEST or went_on < max(2, questions / 4):
        return ()
    cause = CUT if proof.data.trained and proof.data.cut > proof.data.trained / 2 else NO_END
    return f"Warning: {went_on:,} of {questions:,} answers begin with the whole right one and go on after it.", cause


def says_nothing(proof: Proof) -> Sentences:
    """Empty answers where something was to be said."""
    held_out = proof.heldout
    if held_out.questions < FEWEST or not held_out.empty or held_out.empty < held_out.questions / 2:
        return ()
    return (
        f"Warning: {held_out.empty:,} of {held_out.questions:,} answers are empty.",
        "It learned to end at once: the answers of the rows may be empty, or the chat template leaves them out.",
        SEE,
    )


def one_answer_to_everything(proof: Proof) -> Sentences:
    """As if nobody had asked."""
    one = proof.heldout
    if one.questions < 2 * FEWEST or one.different_answers != 1 or (one.different_expected or 1) < 2 or one.empty:
        return ()
    return (
        f"Warning: it gives the same answer to all of {one.questions:,} questions, which have "
        f"{one.different_expected:,} different "
        "ones.",
        "It did not learn from the questions: train longer, or with a lower learning rate, and look whether they hold "
        "what the answers "
        "depend on.",
    )


def learned_by_heart(proof: Proof) -> Sentences:
    """Better on what it learned, worse on what it never saw."""
    loss, trained = proof.heldout.loss, proof.loss
    if loss.before is None or loss.after is None or trained.first is None or trained.last is None:
        return ()
    if loss.after <= 1.02 * loss.before or trained.last >= trained.first:
        return ()
    return (
        f"Warning: on held-out rows the loss rose from {loss_figure(loss.before)} to {loss_figure(loss.after)}, while "
        f"that of the rows "
        f"it learned fell from {loss_figure(trained.first)} to {loss_figure(trained.last)}.",
        "It learned them by heart: fewer epochs, a lower learning rate or more rows help.",
    )


def was_better_before(proof: Proof) -> Sentences:
    """The last adapter was wanted, and an earlier one was better."""
    kept = proof.kept
    if kept.rule != "last" or not kept.was_better or kept.best_step is None:
        return ()
    return (
        f"Warning: step {kept.best_step:,} was better on held-out examples than the last one, which is kept as you "
        f"chose.",
        'Set "Adapter to keep" to the best, or train for fewer steps.',
    )


def fewer_right_than_the_base(proof: Proof) -> Sentences:
    """The base answered more of the held-out questions."""
    one = proof.heldout
    if one.questions < FEWEST or one.exact_match.before is None or one.exact_match.after is None:
        return ()
    before, after = round(one.exact_match.before * one.questions), _right(one)
    if before - after < max(3, 0.05 * one.questions):
        return ()
    return (
        f"Warning: the base answers {before:,} of {one.questions:,} held-out questions right, and the adapter only "
        f"{after:,}.",
        "It does not help with them: a lower learning rate, or rows more like these questions, are the first things "
        "to try.",
    )


CHECKS: tuple[Callable[[Proof], Sentences], ...] = (
    asked_otherwise,
    learned_and_not_answered,
    never_stops,
    says_nothing,
    one_answer_to_everything,
    learned_by_heart,
    was_better_before,
    fewer_right_than_the_base,
)


def _right(answered: Answered) -> int:
    return round((answered.exact_match.after or 0.0) * answered.questions)
