"""A tokenizer as GGUF has it: its tokens, how texts are cut into them, what ends an answer, and the chat template."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..tasks.template import ChatTemplate

if TYPE_CHECKING:
    import gguf
    from transformers import PreTrainedTokenizerBase

GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")  # transformers' own mark: other Jinja engines stop at it
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Vocabulary:
    """What is written of a tokenizer."""

    model: str  # "gpt2": pieces of bytes that are merged; "llama": the same by scores, as SentencePiece does
    tokens: list[str]
    types: list[int]
    merges: list[str]
    scores: list[float]
    ids: dict[str, int]  # {bos, eos, eot, pad, unk}, as far as there are any
    template: str
    pre: str = "default"  # how a text is cut into words first
    spaces: dict[str, bool] = field(default_factory=dict)  # of SentencePiece: {add_space_prefix}

    def cut_by(self, pre: str) -> "Vocabulary":
        return replace(self, pre=pre)

    def write(self, writer: "gguf.GGUFWriter") -> None:
        """A prompt has its first token already, where the template writes one: llama.cpp adds none."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.scores:
            writer.add_token_scores(self.scores)
        if self.merges:
            writer.add_token_merges(self.merges)
        for name, id in self.ids.items():
            getattr(writer, f"add_{name}_token_id")(id)
        writer.add_add_bos_token(False)
        writer.add_add_eos_token(False)
        for name, value in self.spaces.items():
            getattr(writer, f"add_{name}")(value)
        writer.add_chat_template(self.template)


def vocabulary_of(tokenizer: "PreTrainedTokenizerBase", rows: int, ends: Sequence[int]) -> Vocabulary:
    """rows: of the model's embeddings, which may be more than there are tokens. ends: ids that end an answer, by the
    template, the tokenizer and the model.

    Raises UserError where llama.cpp has no such tokenizer, or could not end an answer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    known = json.loads(backend.to_str()) if backend is not None else {}
    model = known.get("model") or {}
    if model.get("type") != "BPE":
        raise tokenizer_problem(str(model.get("type") or type(tokenizer).__name__))
    template = ChatTemplate.of(tokenizer)
    if template.stop_strings:
        raise UserError(
            "export.gguf_stop",
            "The chat template ends an answer with the letters {stop!r}, which are no token of their own; a GGUF file "
            "can name tokens only, and whoever reads it would talk on. Export the merged model.",
            stop=template.stop_strings[0],
        )
    added = {token["id"]: token for token in known.get("added_tokens", [])}
    tokens, types = _tokens(model["vocab"], added, rows)
    by_scores = bool(model.get("byte_fallback"))
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    return Vocabulary(
        model="llama" if by_scores else "gpt2",
        tokens=tokens,
        types=types,
        merges=[] if by_scores else merges,
        scores=_scores(tokens, model["merges"]) if by_scores else [],
        ids=_ids(tokenizer, template, ends),
        template=GENERATION.sub("", str(tokenizer.chat_template)),
        spaces={"add_space_prefix": _adds_space(known)} if by_scores else {},
    )


def _tokens(vocabulary: dict[str, int], added: dict[int, dict[str, Any]], rows: int) -> tuple[list[str], list[int]]:
    """([each id's token], [its type]); ids that no token has are named so that nothing is read as one."""
    from gguf import TokenType

    names: dict[int, str] = {id: text for text, id in vocabulary.items()}
    names |= {id: token["content"] for id, token in added.items()}
    tokens, types = [], []
    for id in range(max(rows, max(names) + 1)):
        kind = TokenType.NORMAL
        if id not in names:
            kind = TokenType.UNUSED
        elif id in added:
            kind = TokenType.CONTROL if added[id]["special"] else TokenType.USER_DEFINED
        elif BYTE.fullmatch(names[id]):
            kind = TokenType.BYTE
        tokens.append(names.get(id, f"[PAD{id}]"))
        types.append(int(kind))
    return tokens, types


def _scores(tokens: list[str], merges: list[Any]) -> list[float]:
    """llama.cpp joins first what has the highest score; here, what is joined first in the list of merges."""
    rank: dict[str, int] = {}
    for place, pair in enumerate(merges):
        left, right = pair.split(" ", 1) if isinstance(pair, str) else pair
        rank.setdefault(left + right, place)
    return [-float(rank.get(token, len(merges))) for token in tokens]


def _adds_space(known: dict[str, Any]) -> bool:
    """Does a text begin with a blank for it?"""
    parts = json.dumps([known.get("normalizer"), known.get("pre_tokenizer")])
    return '"Prepend"' in parts or '"prepend_scheme": "first"' in parts or '"prepend_scheme": "always"' in parts


def _ids(tokenizer: "PreTrainedTokenizerBase", template: ChatTemplate, ends: Sequence[int]) -> dict[str, int]:
    """The end is what the template ends an answer with; a second one that ends it is the end of a turn."""
    traits = template.traits
    first = traits.ids_of([token for token in traits.control_in(traits.final_end) if token in traits.ending_tokens])
    ordered = list(dict.fromkeys([*first, *ends]))
    found = {
        "bos": tokenizer.bos_token_id,
        "eos": ordered[0] if ordered else tokenizer.eos_token_id,
        "eot": ordered[1] if len(ordered) > 1 else None,
        "pad": tokenizer.pad_token_id,
        "unk": tokenizer.unk_token_id,
    }
    if found["eos"] is None:
        raise UserError(
            "export.gguf_no_end",
            "Neither the chat template nor the tokenizer says which token ends an answer, so whoever reads the file "
            "would talk on. Export the merged model.",
        )
    return {name: int(id) for name, id in found.items() if id is not None}


def tokenizer_problem(why: str) -> UserError:
    """The error of a tokenizer that llama.cpp does not have."""
    return UserError(
        "export.gguf_tokenizer",
        "llama.cpp would cut texts into other tokens than this model's tokenizer ({why}). Export the merged model.",
        why=why,
    )
