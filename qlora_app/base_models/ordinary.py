"""Is a tokenizer made as those of published models are? What it does with a text is then bounded by the text's length.

Asked of what was loaded, whichever file it is from.
"""

import base64
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from .patterns import is_linear

MOST_PARTS = 50
MOST_TIMES = 16.0  # as long as the text may become by all replacements together
MOST_TIMES_IN_ALL = 1024.0  # by everything that can lengthen it, were each at its worst
MOST_ADDED = 64  # tokens that are put around a text
LONGEST_TOKEN, LONGEST_OF_UNIGRAM = 2000, 64  # characters; Unigram tries every token at every place
LONGEST_PIECE = 64  # bytes that stand for one character in a table of SentencePiece
LONGEST_WORD = 200  # characters that WordPiece takes time over
SHORTEST_WITH_BLANKS = 3  # characters of an added token that takes the blanks beside it
# How many times as many bytes (UTF-8) each kind of part can make of a text. A kind that is neither here nor in
# `_growth` is not known, and what has one is not ordinary.
GROWTH = {
    # normalizers
    **{"Strip": 1.0, "StripAccents": 1.0, "Nmt": 1.0, "Lowercase": 1.5},
    **{"NFC": 3.0, "NFD": 3.0, "NFKC": 11.0, "NFKD": 11.0},  # as Unicode's annex 15 has them
    "BertNormalizer": 8.0,  # NFD, small letters, blanks around each Chinese sign
    # pre-tokenizers; the first is a normalizer, a post-processor and a decoder as well
    **{"ByteLevel": 2.0, "Metaspace": 5.0},  # a sign of up to four bytes for a blank, and before each piece
    **dict.fromkeys(("BertPreTokenizer", "CharDelimiterSplit", "Digits", "FixedLength", "Punctuation"), 1.0),
    **dict.fromkeys(("Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"), 1.0),
    # post-processors
    **dict.fromkeys(("BertProcessing", "RobertaProcessing", "TemplateProcessing"), 1.0),
    # decoders; of an empty sign the first two put a blank behind each letter, the third one before each token
    **{"BPEDecoder": 2.0, "CTC": 2.0, "WordPiece": 2.0, "ByteFallback": 1.0, "Fuse": 1.0},
    "Sequence": 1.0,
}
_TAKES_A_LETTER = re.compile(  # letters and classes one after another, each there at least once
    r"(?:(?:\[[^\[\]]+\]|\\[sSdDwWrnt]|\\[pP]\{\w+\}|\\\W|[^\\\[\](){}*+?|^$])(?:\+|\{[1-9]\d*(?:,\d*)?\})?)+"
)
WRITTEN = ("Replace", "Prepend")  # lengthen by what is written in them


def is_ordinary(tokenizer: Any) -> bool:
    """tokenizer: a `tokenizers.Tokenizer`."""
    coding = [tokenizer.normalizer, tokenizer.pre_tokenizer]
    met = (coding, [tokenizer.post_processor], [tokenizer.decoder])  # each time by another text
    return (
        all(are_harmless([json.loads(one.__getstate__()) for one in stages if one is not None]) for stages in met)
        and _is_model_ordinary(tokenizer)
        and _are_added_ordinary(tokenizer)
    )


def are_harmless(stages: list[dict[str, Any]]) -> bool:
    """stages: those that a text goes through one after another, as a tokenizer.json has them."""
    parts = [part for stage in stages for part in _parts(stage)]
    if len(parts) > MOST_PARTS or not all(map(_is_harmless, parts)):
        return False
    written = math.prod(_growth(part) for part in parts if part["type"] in WRITTEN)
    return written <= MOST_TIMES and math.prod(map(_growth, parts)) <= MOST_TIMES_IN_ALL


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
        if kind == "Replace" and not (part["pattern"].get("String") or _TAKES_A_LETTER.fullmatch(regex or "")):
            return False  # an empty place that is filled makes the library panic at the next part
        return regex is None or is_linear(regex)
    if kind == "Precompiled":
        return _longest_piece(part) <= LONGEST_PIECE
    if kind == "Strip":
        return not part.get("stop")  # a decoder that cuts at the end panics at a token that is shorter
    if kind == "Prepend":
        return bool(part["prepend"])  # where it puts nothing, ByteLevel panics behind it
    if kind == "FixedLength":
        return part["length"] > 0
    if kind == "TemplateProcessing":
        ids = [id for token in part["special_tokens"].values() for id in token["ids"]]
        return max(len(part["single"]), len(part["pair"]), len(ids)) <= MOST_ADDED
    return kind in GROWTH or kind in WRITTEN


def _growth(part: dict[str, Any]) -> float:
    kind = part["type"]
    if kind == "Replace":
        size, found = len(part["content"].encode()), len(part["pattern"].get("String", "").encode())
        return max(1.0, size / max(1, found))
    if kind == "Prepend":
        return 1.0 + len(part["prepend"].encode())
    if kind == "Precompiled":
        return max(1.0, _longest_piece(part))
    if kind == "ByteLevel" and part.get("add_prefix_space"):
        return 2 * GROWTH[kind]
    return GROWTH[kind]


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
