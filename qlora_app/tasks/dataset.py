"""Examples as the model reads them, all of them met before the first step: what is refused or
teaches nothing is left out by its number.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Problem, UserError
from ..messages import Conversation
from .task import Task, in_batches
from .token_cache import Encoded, TokenCache

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOGETHER = 256  # examples that are cut into tokens at once
MOST_REASONS = 1000  # rows that are told why; of more, nobody reads each


class NotLearned(NamedTuple):
    """A conversation of which nothing, or not every answer, is learned: its place in the dataset from 0, and why."""

    place: int
    reason: str


class EncodedExamples(Sequence):
    """Conversations as token ids with their labels. Before `meet_all` each is encoded when it is asked for."""

    read_each = 1  # how many rows the model reads for each of them

    def __init__(
        self,
        conversations: Sequence[Conversation],
        tokenizer: "PreTrainedTokenizerBase",
        max_length: int,
        task: Task | None = None,
        cache: Callable[[int], TokenCache] = TokenCache,
    ) -> None:
        """cache: makes the place for the tokens of so many examples."""
        from .chat import Chat  # which is below only in that it is the default

        self.task, self.tokenizer, self.max_length = task or Chat(), tokenizer, max_length
        self.given = conversations
        self.conversations = self._examples()
        self.cache = cache(len(self.conversations))
        self.left_out: list[NotLearned] = []
        self.partly_learned: list[NotLearned] = []
        self._kept: Sequence[int] = range(len(self.conversations))
        self._cut: bytearray = bytearray(len(self.conversations))  # 1 for each that was seen and is cut

    def _examples(self) -> Sequence[Conversation]:
        """What is learned from as one row each."""
        return self.task.examples(self.tokenizer, self.given)

    def __len__(self) -> int:
        return len(self._kept)

    def right_places(self) -> Sequence[int]:
        """The examples that end with an answer that would be right."""
        return range(len(self))

    def meet_all(self, progress: Callable[[int, int], None] = lambda done, of: None, may_be_none: bool = False) -> None:
        """Encode every example, and leave out those that are refused or have no token to learn from.

        progress: is told how many of how many are done. Raises UserError with a reason where none is left, unless that
        may be.
        """
        kept = array("q")
        for places in in_batches(range(len(self.conversations)), TOGETHER):
            self._encode_those(places)
            for place in places:
                example = self._encoded(place)
                if self.task.is_trainable(example.labels):
                    kept.append(place)
                else:
                    self._note(self.left_out, place)
                if example.is_partial:
                    self._note(self.partly_learned, place)
            progress(places[-1] + 1, len(self.conversations))
        self._kept = kept
        if not kept and not may_be_none:
            raise UserError.of(self._nothing_left())

    def _note(self, noted: list[NotLearned], place: int) -> None:
        row = self.row_of(place)
        if len(noted) > MOST_REASONS:
            noted.append(NotLearned(row, noted[-1].reason))
            return
        noted.append(
            NotLearned(row, self.task.why_not_learned(self.tokenizer, self.conversations[place], self.max_length))
        )

    def _nothing_left(self) -> Problem:
        why = "there is none"
        if self.left_out:
            why = self.left_out[0].reason.rstrip(".")
        return Problem(
            "task.no_example_learned",
            'No example has a token to learn from. The first of {count:,}: {why}. Raise "Longest example", '
            "shorten the prompts, or choose other data.",
            count=len(self.left_out),
            why=why,
        )

    def row_of(self, place: int) -> int:
        """Which of the given conversations an example is made of."""
        rows = getattr(self.conversations, "rows", None)
        if rows is None:
            return place
        return rows[place]

    def encoded(self, index: int) -> Encoded:
        return self._encoded(self._kept[index])

    def encode_those(self, indices: Sequence[int]) -> None:
        """Those of them that are not known yet, together, which is quicker than one after another."""
        self._encode_those([self._kept[index] for index in indices])

    def conversation(self, index: int) -> Conversation:
        return self.conversations[self._kept[index]]

    def _encoded(self, place: int) -> Encoded:
        example = self.cache.get(place, lambda: self._encode([self.conversations[place]])[0])
        self._cut[place] = example.is_cut
        return example

    def _encode(self, conversations: Sequence[Conversation]) -> list[Encoded]:
        return self.task.encode_all(self.tokenizer, conversations, self.max_length)

    def _encode_those(self, places: Sequence[int]) -> None:
        """Those of them that are not known yet, together."""
        new = [place for place in dict.fromkeys(places) if not self.cache.knows(place)]
        for some in in_batches(new, TOGETHER):
            for place, example in zip(some, self._encode(_at(self.conversations, some)), strict=True):
                self.cache.add(place, example)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        example = self.encoded(index)
        return {"input_ids": example.input_ids, "labels": example.labels}

    def __getitems__(self, indices: list[int]) -> list[dict[str, list[int]]]:
        """As torch's DataLoader asks for a micro-batch."""
        self.encode_those(indices)
        return [self[index] for index in indices]

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        for some in in_batches(range(len(self)), TOGETHER):
            yield from self.__getitems__(some)

    def count_cut(self) -> int:
        """How many of the examples seen so far were longer than allowed."""
        return self._cut.count(1)

    def spread(self, most: int) -> list[Encoded]:
        """At most `most` examples from all over the dataset."""
        places = range(0, len(self), max(1, len(self) // most))[:most]
        self.encode_those(places)
        return [self.encoded(place) for place in places]


def _at(conversations: Sequence[Conversation], places: Sequence[int]) -> Sequence[Conversation]:
    """Those at these places, read in one go where they lie on disk one after another."""
    piece = range(places[0], places[0] + len(places))
    if list(places) == list(piece):
        return conversations[piece.start : piece.stop]
    return [conversations[place] for place in places]


def micro_batches(
    examples: Sequence[dict[str, list[int]]], size: int, collate: Callable[..., dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for i in range(0, len(examples), size):
        yield collate([examples[j] for j in range(i, min(len(examples), i + size))])
