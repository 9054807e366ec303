"""What it takes to answer a question whose right answer is known, and which questions are answered together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError
from .task import BATCH, Question, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MORE = 8  # tokens an answer may have beyond the right one, so that talking on is seen


@dataclass(frozen=True)
class Asked:
    """A question with its cost, in tokens."""

    question: Question
    prompt: int  # what stands beside the answer in the context
    answer: int  # the right one, its end included; 0 where nothing is generated
    longest: int  # an answer may have


def asked(task: Task, tokenizer: "PreTrainedTokenizerBase", question: Question, context: int | None) -> Asked | None:
    """None where the right answer does not fit beside the question into the `context` tokens that the model reads
    (None: no limit): it could only be wrong."""
    try:
        prompt, answer = task.tokens(tokenizer, question)
    except UserError:  # the template refuses it as it stands here, so it cannot be asked
        return None
    more = MORE
    if question.thinking:
        more = max(MORE, answer)  # the same may be found out in more words
    longest = answer + more
    if context is not None:
        longest = min(longest, context - prompt)
    if longest >= answer:
        return Asked(question, prompt, answer, longest)
    return None


def groups(questions: dict[int, Asked], context: int | None) -> Iterator[list[int]]:
    """The keys in groups that are answered together: whose answers have about the same length, for all are generated as
    long as the longest, and whose longest prompt leaves room for the longest answer."""
    group: list[int] = []
    for key in sorted(questions, key=lambda key: questions[key].longest):
        longest = questions[key].longest
        prompt = max(questions[one].prompt for one in [*group, key])
        is_alike = not group or longest <= 2 * questions[group[0]].longest
        fits = context is None or prompt + longest <= context
        if group and not (is_alike and fits and len(group) < BATCH):
            yield group
            group = []
        group.append(key)
    if group:
        yield group
