"""Is a tokenizer made as those of published models are? What it does with a text is then bounded by the text's length.

Asked of what was loaded, whichever file it is from.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from .patterns import is_linear

MOST_PARTS = 50
MOST_TIMES = 16.0  # as long as the text may become by all replacements together
MOST_ADDED = 64  # tokens that are put around a text
LONGEST_TOKEN, LONGEST_OF_UNIGRAM = 2000, 64  # characters; Unigram tries every token at every place
LONGEST_PIECE = 64  # bytes that stand for one character in a table of SentencePiece
LONGEST_WORD = 200  # characters that WordPiece takes time over
SHORTEST_WITH_BLANKS = 3  # characters of an added token that takes the blanks beside it
_NORMALIZERS = ("BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Strip")
_CUTS = (
    *("BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace", "Punctuation"),
    *("UnicodeScripts", "Whitespace", "WhitespaceSplit"),
)
_AROUND = ("BertProcessing", "ByteLevel", "RobertaProcessing")
_DECODERS = ("BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace", "Strip", "WordPiece")
HARMLESS = {*_NORMALIZERS, "StripAccents", *_CUTS, *_AROUND, *_DECODERS, "Sequence"}


def is_ordinary(tokenizer: Any) -> bool:
    """tokenizer: a `tokenizers.Tokenizer`."""
    stages = [json.loads(one.__getstate__()) for one in _stages(tokenizer)]
    return are_harmless(stages) and _is_model_ordinary(tokenizer) and _are_added_ordinary(tokenizer)


def are_harmless(stages: list[dict[str, Any]]) -> bool:
    """stages: such as the normalizer and the decoder, as a tokenizer.json has them."""
    parts = [part for stage in stages for part in _parts(stage)]
    if len(parts) > MOST_PARTS or not all(map(_is_harmless, parts)):
        return False
    grown = 1.0
    for part in parts:
        grown *= max(1.0, _growth(part))
    return grown <= MOST_TIMES


def _stages(tokenizer: Any) -> Iterator[Any]:
    stages = (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.post_processor, tokenizer.decoder)
    return (stage for stage in stages if stage is not None)


def _parts(stage: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A part and those inside it."""
    waiting = [stage]
    while waiting:
        part = waiting.pop()
        yield part
        for inside in ("normalizers", "pretokenizers", "processors", "decoders"):
            waiting += part.get(inside) or []


def _is_harmless(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    if kind in ("Split", "Replace"):
        regex = part["pattern"].get("Regex")
        return regex is None or is_linear(regex)
    if kind == "Precompiled":
        return _longest_piece(part) <= LONGEST_PIECE
    if kind == "Prepend":
        return len(part["prepend"]) <= MOST_TIMES
    if kind == "TemplateProcessing":
        ids = [id for token in part["special_tokens"].values() for id in token["ids"]]
        return max(len(part["single"]), len(part["pair"]), len(ids)) <= MOST_ADDED
    return kind in HARMLESS


def _growth(part: dict[str, Any]) -> float:
    if part.get("type") != "Replace":
        return 1.0
    return len(part["content"]) / max(1, len(part["pattern"].get("String", "")))


def _longest_piece(part: dict[str, Any]) -> int:
    """Of a table: the size of its index in four bytes, the index, and behind it what stands for a character, each with
    a zero at its end.
    """
    table = base64.b64decode(part["precompiled_charsmap"] or "")
    pieces = table[4 + int.from_bytes(table[:4], "little") :]
    return max(map(len, pieces.split(b"\0")))


def _is_model_ordinary(tokenizer: Any) -> bool:
    model = tokenizer.model
    if getattr(model, "dropout", None) or getattr(model, "max_input_chars_per_word", 0) > LONGEST_WORD:
        return False
    longest = LONGEST_OF_UNIGRAM if type(model).__name__ == "Unigram" else LONGEST_TOKEN
    return max(map(len, tokenizer.get_vocab()), default=0) <= longest


def _are_added_ordinary(tokenizer: Any) -> bool:
    """Beside each one that takes blanks, the text before it is looked through."""
    added = tokenizer.get_added_tokens_decoder().values()
    return all(len(one.content) >= SHORTEST_WITH_BLANKS for one in added if one.lstrip or one.rstrip)
