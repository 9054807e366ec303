"""The loss mask under a microscope: one example token by token, and how long all
examples are, before anything is trained.

Both come out of the task's `examine`, which encodes as the worker does and cuts nothing off.
"""

import math
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..errors import UserError
from ..messages import IGNORED, Conversation
from .chat import Chat, first_learned
from .task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHAT = Chat()
LENGTHS = (256, 512, 1024, 2048, 4096)  # tokens; those that are suggested
ENOUGH = 0.99  # share of the examples that a suggested length keeps whole
BINS = 24  # about so many bars
LONGEST_CHARACTER = 4  # bytes, and so the most tokens a character can be spread over


TokenKind = Literal["trained", "read", "cut"]


class Token(NamedTuple):
    """One token of an example."""

    id: int
    text: str  # what it adds to the text; "" where the character it begins is completed by a later token
    kind: TokenKind  # carries loss; is only read; lies beyond the longest example allowed
    is_special: bool  # stands for more than its letters, as an end of turn does


class Bin(NamedTuple):
    """One bar of the lengths: `count` examples have from `low` to `high` tokens."""

    low: int
    high: int
    count: int  # type: ignore[assignment]  # hides the method of tuples, which nobody asks a bin for


@dataclass
class Lengths:
    """Lengths in tokens, nothing cut off; the lists have one entry a measured example."""

    places: list[int] = field(default_factory=list)  # which of the examples it is
    tokens: list[int] = field(default_factory=list)
    learned_from: list[int] = field(
        default_factory=list
    )  # place of its first token with loss, or its length without any
    not_learned: dict[int, str] = field(
        default_factory=dict
    )  # why an example is refused, or not every answer in it is learned

    def add(self, place: int, labels: list[int]) -> None:
        self.places.append(place)
        self.tokens.append(len(labels))
        self.learned_from.append(first_learned(labels))

    @property
    def longest(self) -> int:
        """Which example it is; of several the first."""
        return self.places[self.tokens.index(max(self.tokens))]

    @property
    def shortest(self) -> int:
        return self.places[self.tokens.index(min(self.tokens))]

    def quantile(self, share: float) -> int:
        """The length that this share of the examples does not exceed."""
        return sorted(self.tokens)[max(0, round(share * len(self.tokens)) - 1)]

    def cut(self, max_length: int) -> list[int]:
        """The examples that lose their end."""
        return [place for place, count in zip(self.places, self.tokens, strict=True) if count > max_length]

    @property
    def examined(self) -> int:
        """How many of the given examples were looked at."""
        return len({*self.places, *self.not_learned})

    def without_loss(self, max_length: int) -> list[int]:
        """The examples of which no token is learned, those aside that are refused."""
        return [
            place
            for place, count, start in zip(self.places, self.tokens, self.learned_from, strict=True)
            if start >= min(count, max_length)
        ]

    def share_whole(self, max_length: int) -> float:
        return 1 - len(self.cut(max_length)) / len(self.tokens)

    def suggestion(self, context: int | None) -> int:
        """The smallest usual length that keeps nearly all examples whole, else the largest the model reads."""
        possible = [length for length in LENGTHS if length <= (context or LENGTHS[-1])] or [context or LENGTHS[0]]
        return next((length for length in possible if self.share_whole(length) >= ENOUGH), possible[-1])

    def bins(self, max_length: int) -> list[Bin]:
        """A histogram.

        `max_length`, where it cuts something, is the border of two bins, and the last bin takes all that is longer.
        """
        longest, usual = max(self.tokens), self.quantile(0.99)
        end = longest
        if longest > 3 * usual:  # a single long example must not press all others into one bar
            end = 2 * usual
        end = min(longest, max(end, round(1.15 * max_length)))
        width = max(1.0, end / BINS)
        if width / 2 < max_length < end:
            width = max_length / max(1, round(max_length / width))
        upper = {border for i in range(1, math.ceil(end / width)) if (border := round(i * width)) < longest}
        if max_length < end:
            upper.add(max_length)
        borders = sorted(upper)
        counts = Counter(bisect_left(borders, count) for count in self.tokens)
        edges = zip([0, *borders], [*borders, longest], strict=True)
        return [Bin(low + 1, high, counts[number]) for number, (low, high) in enumerate(edges)]


def tokens_of(
    tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int, task: Task = CHAT
) -> list[Token]:
    """Every token of an example, those that are cut off too. Raises UserError as `encode` does."""
    ids, labels, *_ = task.examine(tokenizer, conversation)
    special, texts = tokenizer.added_tokens_decoder, _texts(tokenizer, ids)
    kinds: list[TokenKind] = ["read" if label == IGNORED else "trained" for label in labels]
    kinds[max_length:] = ["cut"] * len(kinds[max_length:])
    return [Token(id, text, kind, id in special) for id, text, kind in zip(ids, texts, kinds, strict=True)]


def measured(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[Conversation],
    most: int,
    pause: float,
    task: Task = CHAT,
) -> Iterator[Lengths]:
    """The lengths of all examples, or of `most` of them from all over.

    Yields what there is every `pause` seconds and at the end.

    Raises UserError with the first reason where every one of them is refused.
    """
    lengths, reported_at, count = Lengths(), time.monotonic(), len(conversations)
    looked_at = min(count, most)
    for place in (i * count // looked_at for i in range(looked_at)):
        _measure(lengths, place, tokenizer, conversations[place], task)
        if lengths.tokens and time.monotonic() - reported_at > pause:
            yield lengths
            reported_at = time.monotonic()
    if not lengths.tokens:
        raise UserError(
            "task.nothing_learned",
            "None of the examples can be learned from with this model. The first: {first}",
            first=lengths.not_learned[0],
        )
    yield lengths


def _measure(
    lengths: Lengths, place: int, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, task: Task
) -> None:
    """A row, which is several examples where one of its answers has to stand alone."""
    for example in task.examples(tokenizer, [conversation]):
        try:
            found = task.examine(tokenizer, example)
        except UserError as error:
            lengths.not_learned[place] = str(error)
            return
        lengths.add(place, found.labels)
        if found.is_partial:
            lengths.not_learned[place] = task.why_not_learned(tokenizer, example, len(found.labels))


def is_trainable(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[Conversation],
    max_length: int,
    seconds: float,
    task: Task = CHAT,
) -> bool:
    """Has any example a token to learn from? True as well where none was found in so many seconds."""
    until = time.monotonic() + seconds
    return any(
        task.is_trainable(task.encode_all(tokenizer, [one], max_length)[0].labels) or time.monotonic() > until
        for one in conversations
    )


def _texts(tokenizer: "PreTrainedTokenizerBase", ids: list[int]) -> list[str]:
    """What each token adds to the text.

    It is decoded together with the ones before it: alone, some tokenizers would drop its blank, and half a character is
    none.
    """
    texts, before, start = (
        [],
        0,
        0,
    )  # the tokens from `start` on have shown no text yet; those from `before` on are decoded again
    for end in range(1, len(ids) + 1):
        known, now = (
            tokenizer.decode(part, clean_up_tokenization_spaces=False) for part in (ids[before:start], ids[before:end])
        )
        if now.endswith("\N{REPLACEMENT CHARACTER}") and end - start < LONGEST_CHARACTER and end < len(ids):
            texts.append("")
        else:
            texts.append(now[len(known) :])
            before, start = start, end
    return texts
