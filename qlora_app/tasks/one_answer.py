"""Answers that a chat template writes otherwise once the conversation goes on, each learned where it is the last.

Qwen3 takes reasoning out of earlier turns and Mistral moves the system text to the last question. In the middle of a
conversation such an answer stands behind another prompt than the one it will be asked with.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..messages import Conversation
from .template import ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REST = -1  # of a conversation all answers that need no example of their own


class OneAnswerEach(Sequence):
    """Conversations, each followed by those that end with one of its earlier answers and teach only that one."""

    def __init__(self, conversations: Sequence[Conversation], rows: array, answers: array) -> None:
        """rows, answers: of each example its place in `conversations`, and which of its answers it teaches, from 0."""
        self.conversations, self.rows, self.answers = conversations, rows, answers

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        row, answer = self.rows[index], self.answers[index]
        conversation = self.conversations[row]
        if answer != _REST:
            return _ending_with(conversation, answer)
        alone = {self.answers[place] for place in self._same_row(index)}
        return _without_loss(conversation, alone)

    def _same_row(self, index: int) -> Iterator[int]:
        """The places after this one that hold answers of the same conversation."""
        place = index + 1
        while place < len(self.rows) and self.rows[place] == self.rows[index]:
            yield place
            place += 1


def one_answer_each(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation]
) -> Sequence[Conversation]:
    """The conversations as examples in each of which the template writes what is learned as it is asked for.

    One whose earlier answers it writes otherwise becomes several, each learning its last answer; those that the
    template refuses stay as they are. Where nothing changes, the same object is returned.
    """
    template = ChatTemplate.of(tokenizer)
    rows, answers = array("q"), array("q")
    for row, conversation in enumerate(conversations):
        own = _own_examples(template, conversation)
        learned = {
            number
            for number, turn in enumerate(_assistant_turns(conversation))
            if conversation[turn].get("train", True)
        }
        every = [_REST, *own] if not own or learned.difference(own) else own
        rows.extend([row] * len(every))
        answers.extend(every)
    is_changed = any(answer != _REST for answer in answers)
    if is_changed:
        return OneAnswerEach(conversations, rows, answers)
    return conversations


def _own_examples(template: ChatTemplate, conversation: Conversation) -> list[int]:
    if len(conversation) < 3 or any(turn.get("train") and turn["role"] != "assistant" for turn in conversation):
        return []
    try:
        return template.asked_otherwise(conversation)
    except UserError:
        return []


def _ending_with(conversation: Conversation, answer: int) -> Conversation:
    """The conversation up to one of its answers, of which only this one is learned."""
    last = _assistant_turns(conversation)[answer]
    return [*_without_loss(conversation[:last], set(range(last))), conversation[last]]


def _without_loss(conversation: Conversation, answers: set[int]) -> Conversation:
    if not answers:
        return conversation
    silent = {turn for number, turn in enumerate(_assistant_turns(conversation)) if number in answers}
    made: Conversation = []
    for place, turn in enumerate(conversation):
        if place in silent:
            turn = {**turn, "train": False}
        made.append(turn)
    return made


def _assistant_turns(conversation: Conversation) -> list[int]:
    return [place for place, turn in enumerate(conversation) if turn["role"] == "assistant"]
