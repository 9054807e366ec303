"""Which questions a run asks: those that show what it answers, the held-out ones it is scored on, and a few it has
learned.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..evaluate.general import ROOM, general_questions
from ..messages import Conversation
from ..recipe import Training
from ..tasks import Question, Task
from ..tasks.asked import Asked, asked
from ..tasks.dataset import EncodedExamples
from ..training_data import Examples

SAMPLE_QUESTIONS = 4
LEARNED_QUESTIONS = 8
LOOKED_AT = 2000  # examples, in search of questions; more would keep the first step waiting
UNKNOWN = 100  # tokens of an answer, where no right one is known
SHOWN = 512  # tokens of a sample answer: nobody reads more of it, and it is made several times in the run


@dataclass(frozen=True)
class Questions:
    """All of a run."""

    samples: list[Question] = field(default_factory=list)
    sample_length: int = UNKNOWN  # tokens
    held_out: list[Asked] = field(default_factory=list)
    also_learned: int = 0  # of the held-out ones: they stand in the data it learns from too, with another answer
    # held-out ones that were drawn, but are longer than the model reads together with their answer
    out_of_reach: int = 0
    learned: list[Asked] = field(default_factory=list)
    general: list[Asked] = field(default_factory=list)  # in the order of `general_questions`, spread over it


def questions_of(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    unfit: set[int],
    train: EncodedExamples,
    training: Training,
    context: int | None,
) -> Questions:
    """What a run on these examples asks.

    unfit: places of held-out examples that this model cannot be asked. context: tokens the model reads, None where
    there is no limit. Learned questions are of examples that were not cut: of others the end of the answer was never
    seen.
    """
    fit = [place for place in range(len(examples.held_out)) if place not in unfit]
    drawn = draw(task, tokenizer, examples.held_out.__getitem__, fit, training.scored_questions)
    held_out = [(place, one) for place, question in drawn if (one := asked(task, tokenizer, question, context))]
    typed = [
        Question(task.as_trained(tokenizer, [{"role": "user", "content": text}]), "")
        for text in training.sample_questions
    ]
    samples = typed or [
        question for _, question in draw(task, tokenizer, examples.held_out.__getitem__, fit, SAMPLE_QUESTIONS)
    ]
    twice = 2 * LEARNED_QUESTIONS if training.scored_questions else 0
    learned = draw(task, tokenizer, train.conversation, train.right_places(), twice)
    whole = [one for _, question in learned if (one := asked(task, tokenizer, question, train.max_length))]
    also_learned = len({place for place, _ in held_out}.intersection(examples.also_learned))
    return Questions(
        samples,
        _sample_length(task, tokenizer, samples, context),
        [one for _, one in held_out],
        also_learned,
        len(drawn) - len(held_out),
        list(spread(whole, LEARNED_QUESTIONS)),
        _general(task, tokenizer, training.general_questions, context),
    )


def _general(task: Task, tokenizer: PreTrainedTokenizerBase, most: int, context: int | None) -> list[Asked]:
    """None of a task that holds no conversation. An answer stands there for its template only: several are right."""
    found = []
    for one in spread(general_questions(), most) if task.is_chat and most else ():
        talk: Conversation = [{"role": "user", "content": one.text}, {"role": "assistant", "content": "yes"}]
        question = task.question(tokenizer, task.as_trained(tokenizer, talk))
        cost = asked(task, tokenizer, question, context) if question else None
        if cost is not None:
            room = ROOM if context is None else min(ROOM, context - cost.prompt)
            found.append(replace(cost, answer=room, longest=room))
    return found


def draw(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    conversation: Callable[[int], Conversation],
    places: Sequence[int],
    most: int,
) -> list[tuple[int, Question]]:
    """At most `most` questions, each with the place of its example: evenly over the examples, one of each and only then
    a second one, and evenly over their turns, so that first and last ones are asked alike. Those that a template has no
    place for are passed over.
    """
    looked_at = spread(places, max(most, LOOKED_AT)) if most else []
    turns = {place: task.asked_turns(conversation(place)) for place in looked_at}
    asking = [(number, place) for number, place in enumerate(place for place in looked_at if turns[place])]
    drawn: list[tuple[int, int]] = []
    for again in itertools.count():
        left = [(number, place) for number, place in asking if again < len(turns[place])]
        if not left or len(drawn) >= most:
            break
        drawn += [
            (place, turns[place][(number + again) % len(turns[place])])
            for number, place in spread(left, most - len(drawn))
        ]
    found = ((place, task.question(tokenizer, conversation(place), turn)) for place, turn in sorted(drawn))
    return [(place, question) for place, question in found if question is not None]


def spread(items: Sequence[Any], most: int) -> Sequence[Any]:
    """At most `most` items, evenly from all over the list."""
    return items if len(items) <= most else [items[i * len(items) // most] for i in range(most)]


def _sample_length(task: Task, tokenizer: PreTrainedTokenizerBase, samples: list[Question], context: int | None) -> int:
    known = [one for question in samples if question.turn and (one := asked(task, tokenizer, question, context))]
    return min(SHOWN, max((max(16, one.longest) for one in known), default=UNKNOWN))
