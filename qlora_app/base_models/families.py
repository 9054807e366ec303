"""Everything the app knows of a family of models, one row a family: what it can learn, how its blocks are built, what
they keep for learning, what its layers are called, which methods are tried on it.

To add a family, add a row, and name in it what is not as in LLaMA. A model of no row is taken for one of LLaMA's kind,
as far as its config says nothing else.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

# The end of an architecture's name -> what such a model can learn, what it is mostly taken for first.
MADE_FOR = {
    "ForCausalLM": ("chat", "classification"),
    "LMHeadModel": ("chat", "classification"),
    "ForMaskedLM": ("classification", "fill_mask"),
    "ForPreTraining": ("classification", "fill_mask"),
    "ForSequenceClassification": ("classification",),
}
Kind = Literal["decoder", "encoder", "encoder-decoder"]
# What a family learns whose config names no such architecture: the bare model, or T5.
BARE_MADE_FOR: dict[Kind, tuple[str, ...]] = {
    "decoder": (),
    "encoder": ("classification",),
    "encoder-decoder": ("text_to_text",),
}


class ActivationBytes(NamedTuple):
    """Bytes one block keeps of a token for the backward pass, for each number of what is named; measured with LoRA on
    all layers.
    """

    hidden: int
    forward: int  # inside of the feed-forward part
    scores: int = 0  # of attention, for each head and each token it looks at
    relative: int = 0  # for each head, for the table of relative positions
    dropped_hidden: int = 0  # more, where the adapter drops some of its inputs
    dropped_forward: int = 4
    # Instead, where LoRA is one operation on a CPU: of what dropout took, one byte a number is kept (was it left?).
    masked_hidden: int = 6
    masked_forward: int = 1


# {bytes of a number that is computed with: what is kept}
Activations = dict[int, ActivationBytes]
AS_LLAMA: Activations = {
    4: ActivationBytes(hidden=32, forward=16, dropped_hidden=40),
    2: ActivationBytes(hidden=40, forward=10, dropped_hidden=24),
}
AS_GPT2: Activations = {
    4: ActivationBytes(hidden=41, forward=20, scores=12, dropped_hidden=12),
    2: ActivationBytes(hidden=33, forward=12, scores=12, dropped_hidden=12),
}
AS_BERT: Activations = {
    4: ActivationBytes(hidden=42, forward=8, scores=12, dropped_hidden=28),
    2: ActivationBytes(hidden=42, forward=6, scores=12, dropped_hidden=20),
}
# A block of the encoder and one of the decoder together.
AS_T5: Activations = {
    4: ActivationBytes(
        hidden=113,
        forward=64,
        scores=36,
        dropped_hidden=96,
        dropped_forward=8,
        masked_hidden=16,
        masked_forward=2,
    ),
    2: ActivationBytes(
        hidden=145,
        forward=36,
        scores=36,
        dropped_hidden=64,
        dropped_forward=8,
        masked_hidden=16,
        masked_forward=2,
    ),
}
AS_DEBERTA: Activations = {
    4: ActivationBytes(hidden=80, forward=8, scores=12, relative=4096, dropped_hidden=52),
    2: ActivationBytes(hidden=60, forward=6, scores=6, relative=2048, dropped_hidden=30),
}


@dataclass(frozen=True, kw_only=True)
class LayerNames:
    """The last names of a block's layers, as transformers has them."""

    query: str = "q_proj"
    key: str = "k_proj"
    value: str = "v_proj"
    fused: str = ""  # one layer that gives queries, keys and values, one after the other
    fused_by_head: str = ""  # one that gives them for one head after the other
    down: str = "down_proj"  # the last layer of the feed-forward part
    feed_forward: str = "mlp"  # the part of a block, or its last layer, whose output has the hidden size


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is known of the models of one model_type. The defaults are LLaMA's."""

    title: str = ""  # what people call it, where a test trains every method that is for it; else empty
    in_every_task: bool = False  # does a test train it with the real worker, in every task it can learn?
    kind: Kind = "decoder"
    has_gate: bool = True  # a feed-forward part of three matrices, or of two
    gate_setting: str = ""  # the setting of its config that says "gated" where it has a gate
    ties_embeddings: bool = False  # do input and output share them, where its config says nothing?
    # Where a token stands: computed; learned, a vector a place; learned, and counted from the padding's id on; relative
    # to others, so that nothing limits how much is read.
    positions: Literal["computed", "learned", "behind-padding", "relative"] = "computed"
    keeps_scores: bool = False  # does its attention keep every score on a GPU too?
    overflows_in_fp16: bool = False  # do its activations pass fp16's largest number?
    has_linear_layers: bool = True  # or layers whose weights stand the other way round, as GPT-2's
    has_plain_blocks: bool = True  # one stack of blocks that hand on nothing but hidden states
    heads: tuple[str, ...] = ("lm_head", "score")  # its output heads, which are never quantized
    names: LayerNames = LayerNames()
    activations: Activations = field(default_factory=lambda: AS_LLAMA)

    def is_gated(self, config: dict[str, Any]) -> bool:
        """Has the feed-forward part of a model with this config.json three matrices?"""
        if self.gate_setting:
            return "gated" in config.get(self.gate_setting, "")
        return self.has_gate

    @property
    def learns_positions(self) -> bool:
        """Has it a table with a vector for each place?"""
        return self.positions in ("learned", "behind-padding")


@dataclass(frozen=True, kw_only=True)
class Encoder(Family):
    """A family of BERT's kind. Its config may name the bare model, or nothing at all."""

    kind: Kind = "encoder"
    has_gate: bool = False
    ties_embeddings: bool = True
    positions: Literal["computed", "learned", "behind-padding", "relative"] = "learned"
    heads: tuple[str, ...] = ("lm_head", "cls", "classifier")
    names: LayerNames = LayerNames(
        query="query", key="key", value="value", down="output.dense", feed_forward="output.dense"
    )
    activations: Activations = field(default_factory=lambda: AS_BERT)


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder(Family):
    """A family of T5's kind."""

    kind: Kind = "encoder-decoder"
    gate_setting: str = "feed_forward_proj"
    ties_embeddings: bool = True
    positions: Literal["computed", "learned", "behind-padding", "relative"] = "relative"
    keeps_scores: bool = True
    overflows_in_fp16: bool = True  # transformers issue 5651
    has_plain_blocks: bool = False
    heads: tuple[str, ...] = ("lm_head", "classifier")
    names: LayerNames = LayerNames(query="q", key="k", value="v", down="wo", feed_forward="DenseReluDense")
    activations: Activations = field(default_factory=lambda: AS_T5)


FAMILIES: dict[str, Family] = {  # by model_type
    "llama": Family(title="LLaMA", in_every_task=True),
    "mistral": Family(title="Mistral"),
    "qwen2": Family(title="Qwen2"),
    "qwen3": Family(title="Qwen3", in_every_task=True),
    "gemma": Family(title="Gemma", ties_embeddings=True),
    "gemma2": Family(title="Gemma 2", ties_embeddings=True, overflows_in_fp16=True),
    "gemma3_text": Family(title="Gemma 3", ties_embeddings=True, overflows_in_fp16=True),  # transformers issue 36822
    "phi3": Family(title="Phi-3", names=LayerNames(fused="qkv_proj")),
    "gpt2": Family(
        title="GPT-2",
        in_every_task=True,
        has_gate=False,
        ties_embeddings=True,
        positions="learned",
        has_linear_layers=False,
        names=LayerNames(fused="c_attn", down="mlp.c_proj"),
        activations=AS_GPT2,
    ),
    "t5": EncoderDecoder(title="T5", in_every_task=True),
    "bert": Encoder(title="BERT", in_every_task=True),
    "roberta": Encoder(title="RoBERTa", in_every_task=True, positions="behind-padding"),
    "deberta-v2": Encoder(
        title="DeBERTa",
        in_every_task=True,
        keeps_scores=True,
        has_plain_blocks=False,
        names=LayerNames(
            query="query_proj", key="key_proj", value="value_proj", down="output.dense", feed_forward="output.dense"
        ),
        activations=AS_DEBERTA,
    ),
    # Those that no test trains.
    "mt5": EncoderDecoder(),
    "umt5": EncoderDecoder(),
    "xlm-roberta": Encoder(positions="behind-padding"),
    "camembert": Encoder(positions="behind-padding"),
    "deberta": Encoder(keeps_scores=True, has_plain_blocks=False),
    "distilbert": Encoder(),
    "electra": Encoder(),
    "albert": Encoder(),
    "modernbert": Encoder(),
    "gpt_neox": Family(
        has_gate=False,
        heads=("embed_out", "score"),
        names=LayerNames(fused_by_head="query_key_value", down="dense_4h_to_h"),
    ),
    "gptj": Family(has_gate=False),
    "gpt_neo": Family(has_gate=False, positions="learned"),
    "opt": Family(has_gate=False, positions="learned", names=LayerNames(down="fc2", feed_forward="fc2")),
    "phi": Family(has_gate=False, overflows_in_fp16=True, names=LayerNames(down="fc2")),
    "bloom": Family(has_gate=False, names=LayerNames(fused_by_head="query_key_value", down="dense_4h_to_h")),
    "falcon": Family(has_gate=False, names=LayerNames(fused_by_head="query_key_value", down="dense_4h_to_h")),
    "starcoder2": Family(has_gate=False),
    "gpt_bigcode": Family(has_gate=False, positions="learned"),
    "codegen": Family(has_gate=False),
    "mpt": Family(has_gate=False),
    "llama4_text": Family(names=LayerNames(feed_forward="feed_forward")),
    # Of these one thing is known, and it says nothing of their kind.
    "longt5": Family(overflows_in_fp16=True),
    "t5gemma": Family(overflows_in_fp16=True),
    "gemma3": Family(overflows_in_fp16=True),
    "gemma3n": Family(overflows_in_fp16=True),
    "gemma3n_text": Family(overflows_in_fp16=True),
    "gemma4": Family(overflows_in_fp16=True),
    "gemma4_text": Family(overflows_in_fp16=True),
}
UNKNOWN = Family()
TRIED = {model_type: family for model_type, family in FAMILIES.items() if family.title}


def family_of(config: dict[str, Any]) -> Family:
    """The family of a model with this config.json."""
    return family_named(config.get("model_type", ""))


def family_named(model_type: Any) -> Family:
    """What is known of a model_type; one of LLaMA's kind where there is no row for it."""
    return FAMILIES.get(model_type, UNKNOWN) if isinstance(model_type, str) else UNKNOWN


def tried_families(
    *kinds: Kind, linear_layers: bool | None = None, plain_blocks: bool | None = None
) -> tuple[str, ...]:
    """The model_types that methods are tried on, in the table's order: those of these kinds, or of any.

    linear_layers, plain_blocks: only those with (True) or without (False) them; None takes both.
    """
    return tuple(
        model_type
        for model_type, family in TRIED.items()
        if (not kinds or family.kind in kinds)
        and linear_layers in (None, family.has_linear_layers)
        and plain_blocks in (None, family.has_plain_blocks)
    )


def names_in_use(*roles: str) -> list[str]:
    """What such layers ("key", "value") are called in one family or another, each name once."""
    names = (getattr(family.names, role) for family in FAMILIES.values() for role in roles)
    return list(dict.fromkeys(name for name in names if name))


def heads_in_use() -> list[str]:
    """What output heads are called in one family or another, each name once."""
    heads = (head for family in FAMILIES.values() for head in family.heads)
    return list(dict.fromkeys(heads))
