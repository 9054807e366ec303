"""Which questions a run asks: those that show what it answers, the held-out ones it is scored on, and a few it has learned."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..messages import Conversation
from ..recipe import Training
from ..tasks import Question, Task
from ..tasks.asked import Asked, asked
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
    out_of_reach: int = 0  # held-out ones that were drawn, but are longer than the model reads together with their answer
    learned: list[Asked] = field(default_factory=list)


def questions_of(task: Task, tokenizer: PreTrainedTokenizerBase, examples: Examples, training: Training, context: int | None,
                 max_length: int) -> Questions:
    """What a run on these examples asks. `context`: tokens the model reads, None where there is no limit; `max_length`: tokens that are
    learned of an example. Learned questions are of examples that were not cut: of others the answer's end was never seen."""
    drawn = draw(task, tokenizer, examples.held_out, training.scored_questions)
    held_out = {place: one for place, question in drawn if (one := asked(task, tokenizer, question, context))}
    scored = [one for _, question in drawn if (one := asked(task, tokenizer, question, context))]
    typed = [Question([{"role": "user", "content": text}], "") for text in training.sample_questions]
    samples = typed or [question for _, question in draw(task, tokenizer, examples.held_out, SAMPLE_QUESTIONS)]
    learned = draw(task, tokenizer, examples.train, 2 * LEARNED_QUESTIONS if training.scored_questions else 0)
    within = [one for _, question in learned if (one := asked(task, tokenizer, question, min(max_length, context or max_length)))]
    return Questions(samples, _sample_length(task, tokenizer, samples, context), scored,
                     len(set(held_out).intersection(examples.also_learned)), len(drawn) - len(scored),
                     list(spread(within, LEARNED_QUESTIONS)))


def draw(task: Task, tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation], most: int) -> list[tuple[int, Question]]:
    """At most `most` questions, each with the place of its example: evenly over the examples, one of each and only then a second one,
    and evenly over their turns, so that first and last ones are asked alike."""
    places = spread(range(len(conversations)), max(most, LOOKED_AT)) if most else []
    each = [(place, task.questions(tokenizer, conversations[place])) for place in places]
    asking = [(number, place, found) for number, (place, found) in enumerate(one for one in each if one[1])]
    drawn: list[tuple[int, Question]] = []
    for turn in itertools.count():
        left = [one for one in asking if turn < len(one[2])]
        if not left or len(drawn) >= most:
            return sorted(drawn, key=lambda one: one[0])
        drawn += [(place, found[(number + turn) % len(found)]) for number, place, found in spread(left, most - len(drawn))]
    raise AssertionError


def spread(items: Sequence[Any], most: int) -> Sequence[Any]:
    """At most `most` items, evenly from all over the list."""
    return items if len(items) <= most else [items[i * len(items) // most] for i in range(most)]


def _sample_length(task: Task, tokenizer: PreTrainedTokenizerBase, samples: list[Question], context: int | None) -> int:
    known = [one for question in samples if question.turn and (one := asked(task, tokenizer, question, context))]
    return min(SHOWN, max((max(16, one.longest) for one in known), default=UNKNOWN))
