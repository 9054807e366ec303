"""The sizes of a model, read from its config.json alone: what memory is planned with."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from .families import Family, family_of

# What configs call the same size.
HIDDEN = ("hidden_size", "n_embd", "d_model")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
VOCABULARY = ("vocab_size",)
FORWARD = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff")
HEAD_SIZE = ("head_dim", "d_kv")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
POSITIONS = ("n_positions", "max_position_embeddings")


class LinearShape(NamedTuple):
    """A linear layer of one block of a model, as far as its config tells."""

    role: str  # "query", "key", "value", "output", "gate", "up", "down"
    inputs: int
    outputs: int

    @property
    def is_attention(self) -> bool:
        return self.role in ("query", "key", "value", "output")

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Shapes:
    """The sizes of a model that decide what it needs, read from its config."""

    layers: int
    hidden: int
    feed_forward: int
    vocabulary: int
    linear: int  # parameters of the linear layers in its blocks: what is quantized
    other: int  # all other parameters: embeddings, output head, experts; they stay as they are
    # The linear layers of one of its blocks; of an encoder's and a decoder's together where there are both.
    block: list[LinearShape]
    heads: int
    family: str  # its model_type
    stored: int = 2  # bytes of a number in its files

    @property
    def parameters(self) -> int:
        return self.linear + self.other


def shapes_of(config: dict[str, Any], parameters: int | None = None) -> Shapes | None:
    """The shapes a config.json stands for; None for one that does not name the usual sizes.

    `parameters` is the true number, where it is known: what the blocks do not account for stays unquantized.
    """
    family = family_of(config)
    sizes = [_first(config, names) for names in (HIDDEN, LAYERS, HEADS, VOCABULARY)]
    hidden, layers, heads, vocabulary = sizes
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    forward = _first(config, FORWARD) or 4 * hidden
    experts = _first(config, EXPERTS) or 0
    attention = _attention(config, hidden, heads)
    block = _block(family, attention, _feed_forward(hidden, forward, family.is_gated(config)), experts > 0)
    linear = layers * sum(layer.parameters for layer in block)
    other = _beside_blocks(config, hidden, layers, vocabulary, block)
    other += layers * experts * 3 * hidden * (_first(config, ("moe_intermediate_size",)) or forward)
    if parameters:
        other = parameters - linear
    return Shapes(
        layers=layers,
        hidden=hidden,
        feed_forward=forward,
        vocabulary=vocabulary,
        linear=linear,
        other=max(vocabulary * hidden, other),
        block=block,
        heads=heads,
        family=config.get("model_type", ""),
        stored=_bytes_stored(config),
    )


def _first(config: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these settings that says something."""
    return next((config[name] for name in names if isinstance(config.get(name), int) and config[name]), None)


def _attention(config: dict[str, Any], hidden: int, heads: int) -> list[LinearShape]:
    wide = heads * (_first(config, HEAD_SIZE) or hidden // heads)
    narrow = wide * (_first(config, ("num_key_value_heads",)) or heads) // heads
    return [
        LinearShape("query", hidden, wide),
        LinearShape("key", hidden, narrow),
        LinearShape("value", hidden, narrow),
        LinearShape("output", wide, hidden),
    ]


def _feed_forward(hidden: int, forward: int, is_gated: bool) -> list[LinearShape]:
    layers = [LinearShape("up", hidden, forward), LinearShape("down", forward, hidden)]
    if is_gated:
        return [LinearShape("gate", hidden, forward), *layers]
    return layers


def _block(
    family: Family, attention: list[LinearShape], feed_forward: list[LinearShape], has_experts: bool
) -> list[LinearShape]:
    """The layers of one block that are quantized: transformers holds experts together in one part that is not."""
    if has_experts:
        return attention
    if family.kind == "encoder-decoder":  # a decoder beside an encoder looks at itself and at the encoder
        return [*attention, *attention, *attention, *feed_forward, *feed_forward]
    return [*attention, *feed_forward]


def _beside_blocks(config: dict[str, Any], hidden: int, layers: int, vocabulary: int, block: list[LinearShape]) -> int:
    """Parameters that are in no matrix of a block: embeddings, norms, offsets, what leads to the output."""
    family = family_of(config)
    is_tied = config.get("tie_word_embeddings", family.ties_embeddings)
    tables = 1 if is_tied else 2
    norms = (2 * layers + 1) * hidden
    count = tables * vocabulary * hidden + norms
    if family.learns_positions and config.get("position_biased_input", True):
        count += hidden * (_first(config, POSITIONS) or 0)
    if family.kind == "encoder":
        count += _of_an_encoder(config, hidden, layers, block)
        count += vocabulary if is_tied else 0  # offsets of the words it fills in
    return count


def _of_an_encoder(config: dict[str, Any], hidden: int, layers: int, block: list[LinearShape]) -> int:
    """Parameters that only an encoder has: offsets, relative positions, types of tokens, what leads to its head."""
    offsets = layers * (sum(layer.outputs for layer in block) + 2 * hidden)
    relative = 2 * (_first(config, ("position_buckets",)) or 0) * hidden
    kinds = config.get("type_vocab_size", 2)
    types = (kinds if isinstance(kinds, int) else 2) * hidden
    return offsets + relative + types + hidden * hidden


def _bytes_stored(config: dict[str, Any]) -> int:
    """Bytes of a number in its files."""
    dtype = config.get("dtype") or config.get("torch_dtype")
    return 4 if "32" in str(dtype) else 2
