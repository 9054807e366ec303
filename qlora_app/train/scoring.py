"""Questions answered by base and adapter, and the figures that come of it."""

import time
from dataclasses import dataclass, replace
from typing import Any

from ..runs.held_out_answers import HeldOutAnswer, key_of
from ..runs.proof import Answered, Shares
from ..tasks import Answer
from ..tasks.asked import Asked, groups
from ..tasks.generate import context_of
from ..tasks.task import BATCH, same_answer
from .questions import spread
from .setup import TrainingSetup

AT_ONCE = 1e11  # parameters times tokens to be generated that are not worth a thought: seconds on any machine
PILOT = 10  # questions after which it is known how long all of them will take
LEAST_SECONDS = 300.0  # that scoring may take, however short the training was


@dataclass(frozen=True)
class Scored:
    """What base and adapter answered: counted, {figure of the task: {"before", "after"}}, and each answer."""

    answered: Answered
    figures: dict[str, dict[str, float | None]]
    answers: list[HeldOutAnswer]
    asked: list[Asked]
    seconds_a_token: float  # of a batch of answers, at the least


def score(job: TrainingSetup, questions: list[Asked], seconds: float) -> Scored:
    """On as many of the questions, drawn evenly, as can be answered in `seconds`."""
    began = time.monotonic()
    answers = answers_within(job, questions, max(seconds, LEAST_SECONDS))
    seconds = time.monotonic() - began
    places = sorted(answers["after"])
    scored = [questions[place] for place in places]
    given = {when: [answers[when][place] for place in places] for when in answers}
    expected = [one.question.expected for one in scored]
    scores = {when: job.task.scores([one.text for one in given[when]], expected) if scored else {} for when in given}
    figures = {name: {when: round(scores[when][name], 4) for when in scores} for name in scores["after"]}
    answered = _counted(job, scored, given["after"])
    exact_match = Shares(**figures.pop("exact_match", {}))
    counted = replace(answered, exact_match=exact_match, not_asked=len(questions) - len(scored))
    said = [
        _kept(one, before, after) for one, before, after in zip(scored, given["before"], given["after"], strict=True)
    ]
    steps = 2 * sum(one.longest for one in scored)
    return Scored(counted, figures, said, scored, seconds * BATCH / steps if steps else 0.0)


def answers_within(job: TrainingSetup, questions: list[Asked], seconds: float) -> dict[str, dict[int, Answer]]:
    """{"before", "after": {place of a question: what base and adapter answer}}, of as many, evenly drawn, as that takes
    `seconds` for; the first few are asked whatever it takes.
    """
    answers: dict[str, dict[int, Answer]] = {"before": {}, "after": {}}
    began = time.monotonic()
    chosen = spread(range(len(questions)), PILOT) if _cost(job, questions) > AT_ONCE else range(len(questions))
    _answer(job, questions, chosen, answers)
    if len(chosen) < len(questions):
        each = (time.monotonic() - began) / len(chosen)
        rest = [place for place in range(len(questions)) if place not in answers["after"]]
        chosen = spread(rest, max(0, int(seconds / each) - len(chosen)))
        _answer(job, questions, chosen, answers)
    return answers


def _kept(asked: Asked, before: Answer, after: Answer) -> HeldOutAnswer:
    question = asked.question
    key = key_of(question.conversation, question.expected)
    return HeldOutAnswer(key, question.text, question.expected, before.text, after.text, not after.has_ended)


def _cost(job: TrainingSetup, questions: list[Asked]) -> float:
    """Parameters times tokens, for base and adapter."""
    return 2.0 * sum(one.longest for one in questions if one.answer) * sum(p.numel() for p in job.model.parameters())


def _answer(job: TrainingSetup, questions: list[Asked], places: Any, answers: dict[str, dict[int, Answer]]) -> None:
    for group in groups({place: questions[place] for place in places}, context_of(job.model)):
        asked = [questions[place].question.conversation for place in group]
        thinking = [questions[place].question.thinking for place in group]
        longest = max(questions[place].longest for place in group)
        for when, known in answers.items():
            made = job.task.answers(job.model, job.tokenizer, asked, when == "before", longest, thinking=thinking)
            known |= zip(group, made, strict=True)


def _counted(job: TrainingSetup, asked: list[Asked], answers: list[Answer]) -> Answered:
    """What the adapter's answers are like, beside being right."""
    pairs = [(one.question.expected.strip(), answer) for one, answer in zip(asked, answers, strict=True)]
    unended = [(right, answer.text) for right, answer in pairs if right and not answer.has_ended]
    went_on = sum(text.startswith(right) and not same_answer(text, right) for right, text in unended)
    return Answered(
        questions=len(asked),
        predicted=predicted(job, asked),
        unended=sum(not answer.has_ended for answer in answers),
        went_on=went_on,
        empty=sum(answer.has_ended and not answer.text for right, answer in pairs if right),
        different_answers=len({answer.text for answer in answers}),
        different_expected=len({right for right, _ in pairs}),
        tokens=round(sum(one.answer for one in asked) / len(asked), 1) if asked else None,
    )


def predicted(job: TrainingSetup, asked: list[Asked]) -> int | None:
    """How many answers are the likeliest token by token, their end included, when the right tokens before are given;
    None where that cannot be known: a task that hides words draws them anew, and an answer that is cut has no end."""
    task, collate = job.task, job.task.collator(job.tokenizer, packing=False)
    whole = [one for one in asked if one.question.turn is not None]
    if len(whole) < len(asked) or not asked:
        return None
    longest = max(job.max_length, *(one.prompt + one.answer for one in asked))
    count = 0
    for one in whole:
        example = task.encode(job.tokenizer, one.question.example, longest)
        batch = collate([{"input_ids": example.input_ids, "labels": example.labels}])
        count += task.measure(job.model, [batch])[task.accuracy_name] == 1.0
    return count
