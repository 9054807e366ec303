"""Answers that follow a grammar, such as a JSON schema: before each token is chosen, those that cannot come next are
ruled out. Which ones those are is worked out by llguidance.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..base_models.apart import Apart
from ..errors import UserError

if TYPE_CHECKING:
    import torch
    from llguidance import LLTokenizer
    from transformers import PreTrainedTokenizerBase

WHITESPACE = r"[ \n]{0,8}"  # between two parts: a model may indent them, and cannot write blanks for ever
LARGEST = 100_000  # letters of a schema


class Grammar:
    """For one tokenizer; every answer that follows it has a Matcher of its own."""

    def __init__(self, grammar: str, tokenizer: "LLTokenizer") -> None:
        """grammar: of llguidance, or its dialect of Lark. Raises UserError that says what cannot be followed."""
        if len(grammar) > LARGEST:
            raise UserError("schema.too_large", "A schema has at most {most:,} letters.", most=LARGEST)
        self.grammar, self.tokenizer = grammar, tokenizer
        self.begin()

    def begin(self) -> "Matcher":
        """For one answer. Raises UserError where the schema cannot be followed."""
        from llguidance import LLMatcher

        matcher = LLMatcher(self.tokenizer, self.grammar, log_level=0)
        if matcher.is_error():
            raise _refusal(matcher.get_error())
        return Matcher(matcher, self.tokenizer.vocab_size)


class Matcher:
    """What of one answer was written, and what may come next."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher, self._vocabulary = matcher, vocabulary

    def allowed(self, logits: "torch.Tensor") -> "torch.Tensor":
        """Logits [vocabulary] in which a token that cannot come next has no chance. Raises UserError."""
        import numpy as np
        import torch

        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        may = torch.from_numpy(np.unpackbits(bits, count=self._vocabulary, bitorder="little").astype(bool))
        return logits.float().masked_fill(~may.to(logits.device), -torch.inf)

    def take(self, token: int) -> None:
        """A token was written. Raises UserError."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise _refusal(self._matcher.get_error())


def grammar_of_schema(schema: dict[str, Any]) -> str:
    """What a JSON schema allows. Raises UserError."""
    from llguidance import LLMatcher

    try:
        return LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_pattern": WHITESPACE})
    except ValueError as error:
        raise _refusal(str(error)) from error


def _refusal(why: str) -> UserError:
    return UserError("schema.cannot_follow", "The schema cannot be followed: {why}", why=why.strip())


def known(tokenizer: "PreTrainedTokenizerBase", ends: Iterable[int], vocabulary: int) -> "LLTokenizer":
    """The tokenizer as llguidance reads it. ends: tokens that end an answer; vocabulary: of the model's logits. Raises
    UserError.
    """
    return _known(tokenizer, tuple(sorted(ends)), vocabulary)


@lru_cache(maxsize=8)  # it takes a second where the vocabulary is large
def _known(tokenizer: "PreTrainedTokenizerBase", ends: tuple[int, ...], vocabulary: int) -> "LLTokenizer":
    from llguidance.hf import from_tokenizer

    if not tokenizer.is_fast or isinstance(tokenizer.backend_tokenizer, Apart):
        raise UserError(
            "schema.tokenizer",
            "The model's tokenizer is none of the tokenizers library, and can follow no schema. Ask without.",
        )
    return from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=list(ends))
