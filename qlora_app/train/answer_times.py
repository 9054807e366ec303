"""How long the answers of a run take: its samples, and what it is scored on at its end. A few tokens of them are
really made, and the rest follows from their number.
"""

import time
from collections.abc import Sequence

from ..messages import Conversation
from ..tasks.asked import Asked, groups
from ..tasks.generate import context_of
from .general import general_seconds
from .scoring import AT_ONCE, LEAST_SECONDS, PILOT, predicted
from .setup import TrainingSetup

TOKENS = 16  # of an answer that are made
WHOLE = 4  # questions whose likeliest tokens are looked at


def sample_seconds(setup: TrainingSetup) -> float:
    """Of all sample questions once."""
    samples = setup.questions.samples
    if not samples:
        return 0.0
    length = setup.questions.sample_length
    seconds = _seconds(setup, [one.conversation for one in samples], length)
    return seconds * (length / min(TOKENS, length) if _generates(setup) else 1.0)


def answering_seconds(setup: TrainingSetup, training: float) -> float:
    """Of the held-out, the learned and the general questions at the end, by base and adapter; no longer than each of
    them may take after so many seconds of training.
    """
    total = 0.0
    for questions in (setup.questions.held_out, setup.questions.learned):
        total += min(_scored(setup, questions), max(training, LEAST_SECONDS))
    return total + min(_scored(setup, setup.questions.general, likeliest=False), general_seconds(training))


def _scored(setup: TrainingSetup, questions: Sequence[Asked], likeliest: bool = True) -> float:
    """likeliest: is it looked at whether the right answers are the likeliest ones?"""
    if not questions:
        return 0.0
    numbered = dict(enumerate(questions))
    every = [[numbered[key] for key in group] for group in groups(numbered, context_of(setup.model))]
    largest = max(every, key=len)
    parameters = sum(one.numel() for one in setup.model.parameters())
    is_long = parameters * TOKENS * len(largest) > AT_ONCE / 10
    pilot = largest[:PILOT] if is_long else largest
    longest = max(one.longest for one in pilot)
    seconds = _seconds(setup, [one.question.conversation for one in pilot], longest)
    seconds *= len(largest) / len(pilot)
    made = min(TOKENS, longest)
    lengths = [max(one.longest for one in group) / made if _generates(setup) else 1.0 for group in every]
    answered = 2 * seconds * sum(lengths)
    return answered + _likeliest(setup, questions) if likeliest else answered


def _likeliest(setup: TrainingSetup, questions: Sequence[Asked]) -> float:
    """Of the right answers' tokens, which are looked at one question after another."""
    few = list(questions[:WHOLE])
    began = time.monotonic()
    if predicted(setup, few) is None:
        return 0.0
    return (time.monotonic() - began) * len(questions) / len(few)


def _seconds(setup: TrainingSetup, asked: list[Conversation], length: int) -> float:
    began = time.monotonic()
    setup.task.answers(setup.model, setup.tokenizer, asked, max_new_tokens=min(TOKENS, length))
    return time.monotonic() - began


def _generates(setup: TrainingSetup) -> bool:
    """Is an answer made token by token?"""
    known = [*setup.questions.held_out, *setup.questions.learned]
    return any(one.answer for one in known) or not known
