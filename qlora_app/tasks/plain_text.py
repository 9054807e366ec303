"""A text as token ids, in which nothing that somebody wrote is taken for a control token.

A control token is one that its tokenizer calls special. Added tokens that it does not, as thinking marks, runs of
blanks or the tags of HTML, are text of their own and stay what they are.
"""

import copy
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ..messages import Conversation, flatten

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Token = tuple[int, int, int]  # its id, and from where to where it stands in the text


class Plain(NamedTuple):
    """A text as the model reads it, what its tokenizer puts around it included; both lists have one entry a token."""

    ids: list[int]
    words: list[int | None]  # which word of the text it belongs to; None for what was put around it


@lru_cache(maxsize=8)
def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    """{control token: its id}, the longest first. Single characters are none: a text could not do without them."""
    special = [
        (str(token), i) for i, token in tokenizer.added_tokens_decoder.items() if token.special and len(str(token)) > 1
    ]
    return dict(sorted(special, key=lambda one: -len(one[0])))


@lru_cache(maxsize=8)
def _without_special(tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
    """A copy to which control tokens are letters. Transformers keeps that choice in the tokenizer itself, where it
    would reach whatever other threads encode at that moment.
    """
    made = copy.deepcopy(tokenizer)
    made.split_special_tokens = made.backend_tokenizer.encode_special_tokens = True
    return made


def as_letters(
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    written: Iterable[tuple[int, int]],
    tokens: Sequence[Token],
    control: frozenset[int] = frozenset(),
) -> list[Token]:
    """The tokens of a text, with those of its letters in place of each control token in the parts that people wrote.

    written: from where to where these parts stand, in their order. control: ids of control tokens that are not called
    special.
    """
    control = control.union(special_tokens(tokenizer).values())
    parts = iter(written)
    part = next(parts, None)
    made: list[Token] = []
    for i, a, b in tokens:
        while part is not None and part[1] <= a:
            part = next(parts, None)
        if i in control and part is not None and part[0] <= a < b and a < part[1]:
            made += [
                (letter, a + start, a + end) for letter, start, end in _letters(tokenizer, text[a:b], a > 0, control)
            ]
        else:
            made.append((i, a, b))
    return made


def _letters(tokenizer: "PreTrainedTokenizerBase", text: str, is_inside: bool, control: frozenset[int]) -> list[Token]:
    """Tokens of a control token's letters.

    SentencePiece's models know control tokens as words too: then they are read in two parts.
    """
    tokens = tokens_within(tokenizer, text, is_inside, without_special=True)
    if len(text) < 2 or control.isdisjoint([i for i, _, _ in tokens]):
        return tokens
    rest = _letters(tokenizer, text[1:], True, control)
    return [
        *tokens_within(tokenizer, text[:1], is_inside, without_special=True),
        *((i, a + 1, b + 1) for i, a, b in rest),
    ]


def tokens_within(
    tokenizer: "PreTrainedTokenizerBase", text: str, is_inside: bool, without_special: bool = False
) -> list[Token]:
    """Tokens of a part of a text, and nothing around them.

    is_inside: something stands before it. Then it is read behind a line break, or SentencePiece would put a blank
    before it.
    without_special: control tokens in it are letters.
    """
    read = f"\n{text}" if is_inside else text
    reader = _without_special(tokenizer) if without_special else tokenizer
    made = reader(read, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
    tokens = [(i, a, b) for i, (a, b) in zip(made["input_ids"], made["offset_mapping"], strict=True)]
    if not is_inside:
        return tokens
    if any(a < 1 < b for _, a, b in tokens):  # the line break has grown together with the text
        return tokens_within(tokenizer, text, False, without_special)
    return [(i, a - 1, b - 1) for i, a, b in tokens if a >= 1 or b > 1]


def plain(tokenizer: "PreTrainedTokenizerBase", text: str) -> Plain:
    """The tokens of a text."""
    return plain_all(tokenizer, [text])[0]


def plain_all(tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> list[Plain]:
    """The tokens of many texts, which is quicker than one after another."""
    made = tokenizer(texts, return_offsets_mapping=True, return_attention_mask=False)
    return [
        _plain(tokenizer, text, made["input_ids"][number], made["offset_mapping"][number], made.word_ids(number))
        for number, text in enumerate(texts)
    ]


def _plain(
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    ids: list[int],
    offsets: list[tuple[int, int]],
    words: list[int | None],
) -> Plain:
    tokens = [(i, a, b) for i, (a, b) in zip(ids, offsets, strict=True)]
    if not any(token in text for token in special_tokens(tokenizer)):
        return Plain(ids, words)
    word_at = dict(zip(offsets, words, strict=True))
    found = as_letters(tokenizer, text, [(0, len(text))], tokens)
    words = [_word_at(word_at, a, b) for _, a, b in found]
    return Plain([i for i, _, _ in found], words)


def _word_at(words: dict[tuple[int, int], int | None], start: int, end: int) -> int | None:
    """The word that a token belongs to, or that the control token belonged to of which it is a letter."""
    if (start, end) in words:
        return words[start, end]
    return next((word for (a, b), word in words.items() if a <= start < b), None)


def conversation_text(conversation: Conversation) -> str:
    """All turns as one text."""
    return "\n".join(turn["content"] for turn in flatten(conversation))
