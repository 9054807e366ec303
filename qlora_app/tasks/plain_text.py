"""A text as token ids, in which nothing that somebody wrote is taken for a special token."""

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ..messages import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HIDDEN = "\ue000"  # a character of nobody's alphabet


class Plain(NamedTuple):
    """A text as the model reads it, what its tokenizer puts around it included; both lists have one entry a token."""

    ids: list[int]
    words: list[int | None]  # which word of the text it belongs to; None for what was put around it


@lru_cache(maxsize=4)
def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    return [str(token) for token in tokenizer.added_tokens_decoder.values() if len(str(token)) > 1]


def broken_up(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """The text, its special tokens broken up by a character whose own token is to be dropped again."""
    for token in special_tokens(tokenizer):
        text = text.replace(token, f"{token[0]}{HIDDEN}{token[1:]}")
    return text


def plain(tokenizer: "PreTrainedTokenizerBase", text: str) -> Plain:
    """The tokens of a text."""
    return plain_all(tokenizer, [text])[0]


def plain_all(tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> list[Plain]:
    """The same for many, which is quicker than one after another."""
    hidden = [broken_up(tokenizer, text) for text in texts]
    made, found = tokenizer(hidden, return_offsets_mapping=True, return_attention_mask=False), []
    for number, (text, ids, offsets) in enumerate(zip(hidden, made["input_ids"], made["offset_mapping"], strict=True)):
        kept = [place for place, (a, b) in enumerate(offsets) if a == b or text[a:b].strip(HIDDEN)]
        words = made.word_ids(number)
        found.append(Plain([ids[place] for place in kept], [words[place] for place in kept]))
    return found


def said(conversation: Conversation) -> str:
    """All turns as one text."""
    return "\n".join(turn["content"] for turn in conversation)
