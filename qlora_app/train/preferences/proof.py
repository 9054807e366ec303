"""What is measured of a run of preferences when it has ended."""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ...errors import UserError
from ...messages import JUDGED
from ...preferences import ON_PAIRS
from ...recipe import Recipe
from ...runs import Run
from ...runs.held_out_answers import HeldOutAnswer, held_out_answers, key_of
from ...runs.proof import Change, Distance, Preferred, Shares, StillKnown
from ...settings import Settings
from ...start_from import COPY
from ...tasks.asked import Asked, asked, groups
from ...tasks.generate import context_of
from ...tasks.packing import on_device
from ...tasks.task import evaluating, same_answer
from ...training_data import load_examples
from ..questions import draw, spread
from ..setup import TrainingSetup
from .likelihood import answers_of
from .rehearsal import begun_with

MOST_ASKED = 100  # questions of the run it began with
COMMON = 20  # what stands around one answer in so many is a style


def preferred(job: TrainingSetup, distance: Callable[..., Distance]) -> Preferred:
    """distance: of the adapter from what a context makes of the model."""
    objective, choices = job.objective, job.recipe.preferences
    if objective is None:
        return Preferred()
    figures = job.measure() if objective.held_out else {}
    return Preferred(
        trainer=choices.trainer,
        pairs=sum(batch[JUDGED]["count"] for batch in objective.held_out),
        likelier=_likelier(job) if choices.trainer in ON_PAIRS else Shares(),
        accuracy=_rounded(figures.get("rewards_accuracies")),
        margin=_rounded(figures.get("rewards_margins")),
        loss=Change(_first_loss(job), _rounded(figures.get("loss"))),
        begun_with=distance(job, _as_begun(job)),
        still_known=still_known(job),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _first_loss(job: TrainingSetup) -> float | None:
    """On held-out pairs, before the first step."""
    measured = job.run.curve().held_out
    return measured[0][1] if measured and not measured[0][0] else None


def _likelier(job: TrainingSetup) -> Shares:
    """Of held-out pairs, how many have a chosen answer that is likelier as a whole."""
    assert job.objective is not None
    before = after = count = 0
    for batch in job.objective.held_out:
        beside = batch[JUDGED]
        here = on_device({name: value for name, value in batch.items() if name != JUDGED}, job.model.device)
        with evaluating(job.model):
            now, _ = answers_of(job.model, job.objective.prepared(here))
        chosen, rejected = now.sums.chunk(2)
        known_chosen, known_rejected = beside["reference"].chunk(2)
        after += int((chosen > rejected).sum())
        before += int((known_chosen > known_rejected).sum())
        count += beside["count"]
    if not count:
        return Shares()
    return Shares(round(before / count, 4), round(after / count, 4))


def _as_begun(job: TrainingSetup) -> Callable[[], AbstractContextManager[Any]]:
    """In which the model is what the run began with: another adapter, or its base."""
    copy = job.run.folder / COPY
    if copy.is_dir():
        return lambda: job.recipe.method.from_disk(job.model, copy)
    return lambda: job.model.disable_adapter()


def still_known(job: TrainingSetup) -> StillKnown:
    """Nothing where it began with no run, or that run's data or answers are gone."""
    parent = begun_with(job.run)
    known = {one.key: one for one in (held_out_answers(parent) or ())} if parent else {}
    if parent is None or not known:
        return StillKnown()
    with contextlib.suppress(UserError, OSError):
        return _asked_again(job, parent, known)
    return StillKnown()


def _asked_again(job: TrainingSetup, parent: Run, known: dict[str, HeldOutAnswer]) -> StillKnown:
    recipe: Recipe = parent.recipe()
    task, tokenizer, context = job.task, job.tokenizer, context_of(job.model)
    held_out = load_examples(recipe.dataset, Settings.from_environment().data).held_out
    drawn = draw(task, tokenizer, held_out.__getitem__, range(len(held_out)), recipe.training.scored_questions)
    found = [(known.get(key_of(one.conversation, one.expected)), one) for _, one in drawn]
    put: list[tuple[HeldOutAnswer, Asked]] = []
    for before, question in spread(found, MOST_ASKED):
        whole = asked(task, tokenizer, question, context) if before else None
        if before and whole:
            put.append((before, whole))
    answers: dict[int, str] = {}
    for group in groups({place: one for place, (_, one) in enumerate(put)}, context):
        questions = [put[place][1].question for place in group]
        longest = 2 * max(put[place][1].longest for place in group)  # another style may take more words
        room = longest if context is None else min(longest, context - max(put[place][1].prompt for place in group))
        thinking = [one.thinking for one in questions]
        made = task.answers(
            job.model, tokenizer, [one.conversation for one in questions], False, room, thinking=thinking
        )
        answers |= {place: one.text for place, one in zip(group, made, strict=True)}
    return _compared([(before.expected, before.after, answers[place]) for place, (before, _) in enumerate(put)])


def _compared(said: list[tuple[str, str, str]]) -> StillKnown:
    """said: what is right, what was answered before, and what is answered now."""
    if not said:
        return StillKnown()
    right = [one[0] for one in said]
    shares = []
    for alike in (same_answers, right_but_for_style):
        counts = (sum(alike([one[place] for one in said], right)) for place in (1, 2))
        shares.append(Shares(*(round(count / len(said), 4) for count in counts)))
    return StillKnown(len(said), *shares)


def same_answers(answers: Sequence[str], right: Sequence[str]) -> list[bool]:
    return [same_answer(one, other) for one, other in zip(answers, right, strict=True)]


def right_but_for_style(answers: Sequence[str], right: Sequence[str]) -> list[bool]:
    """Which answers are the right one word for word, however it is written, with nothing around it or with what stands
    around one answer in twenty, which is a style. Other words around it are its own: a second answer, or talking on.
    """
    around = [_around(one, other) for one, other in zip(answers, right, strict=True)]
    counted = Counter(around)
    of_a_style = {words for words, count in counted.items() if count > 1 and COMMON * count >= len(answers)}
    return [words is not None and (words == ("", "") or words in of_a_style) for words in around]


def _around(answer: str, right: str) -> tuple[str, str] | None:
    """The words before and behind the right ones; None where they are not in the answer."""
    before, found, behind = f" {_plain(answer)} ".partition(f" {_plain(right)} ")
    return (before.strip(), behind.strip()) if found else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())
