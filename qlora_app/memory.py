"""Will it fit? What training needs for this recipe, against what this machine has, said before anything starts.

What is said is what must be free: all that a worker has in memory while it learns, on a CPU with the files that it maps
and goes on using (its libraries, weights that are read from the disk as they are). Not counted are the pages of a
model's files while they are read once: the system takes those back where it needs the room.

The formula is checked against the figures published for LLaMA 7B to 65B on GPUs (Dettmers et al. 2023, figure 6), on a
CPU against real workers (benchmarks/memory.py), the shapes against transformers' own models, and what a token keeps for
the backward pass was measured on a LLaMA block with adapters.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from . import GIVEN_BACK
from .base_models.cards import kept_bytes
from .base_models.recognition import ENCODERS, TEXT_TO_TEXT
from .formatting import gigabytes
from .hardware import Machine
from .methods import LinearShape
from .recipe import Recipe

# Bits a parameter of a quantized layer takes, its scales included (one per 64 weights; quantized again, they take 0.127
# bit).
BITS = {"nf4": 4.5, "fp4": 4.5, "int8": 8.1, "bf16": 16.0, "fp32": 32.0}
BITS_DOUBLE = 4.127
WIDE = {"fp16": 2, "bf16": 2, "fp32": 4}  # bytes of a number that is computed with
OPTIMIZER_BYTES = {"paged_adamw_8bit": 2, "paged_adamw_32bit": 8, "adamw_torch": 8}  # two moments a trained parameter
OVERHEAD = 0.5e9  # of a GPU: its driver's context and the workspaces of its libraries
WORKER, LIBRARIES = 0.42e9, 0.16e9  # of a CPU: Python with everything imported, and the files of the libraries mapped
# On a CPU, bytes of the heap for each byte in use at the peak of a step: glibc before 2.38 seldom gives an aligned
# tensor the place of an earlier one of its size. Measured.
GAPS = 1.5
# on a CPU, copies of the widest quantized layer's unpacked values that its products have at once. Measured.
UNPACKED = 4
# For each number of the logits, by the bytes they are computed in, at the peak of a step or of a held-out measurement:
# its logarithm and two gradients in fp32 when the backward pass begins; in fp32 one copy more while held-out examples
# are measured. Measured.
LOSS_BYTES = {4: 16, 2: 12}
# Tokens worked off at once. On a CPU attention pays for the square of a packed row; on a GPU short rows leave it idle.
TOKENS_AT_ONCE = {"cpu": 512, "cuda": 2048}
FEWEST_TOKENS = 512
MORE_AT_ONCE = 1.25  # times as many where the examples do not divide evenly
CHECKPOINTED_FROM = 1_000_000_000  # parameters, from which "automatic" turns gradient checkpointing on, on a GPU
# A feed-forward part of two matrices instead of three, by model_type.
WITHOUT_GATE = ENCODERS | {
    "gpt2",
    "gpt_neox",
    "gptj",
    "gpt_neo",
    "opt",
    "phi",
    "bloom",
    "falcon",
    "starcoder2",
    "gpt_bigcode",
    "codegen",
    "mpt",
}
TIED = {"gpt2", "gemma", "gemma2", "gemma3_text"}  # those whose config says nothing about it and means yes
LEARNED_POSITIONS = {"gpt2", "gpt_neo", "opt", "gpt_bigcode"}  # a vector a position, beside one a word
EAGER = {"deberta", "deberta-v2"} | TEXT_TO_TEXT  # their attention keeps every score also on a GPU


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


# By what a model computes in (4 bytes a number or 2); of an encoder and a decoder both blocks together. Others are as
# LLaMA.
ACTIVATION_BYTES = {
    "llama": {4: ActivationBytes(32, 16, 0, 0, 40), 2: ActivationBytes(40, 10, 0, 0, 24)},
    "gpt2": {4: ActivationBytes(41, 20, 12, 0, 12), 2: ActivationBytes(33, 12, 12, 0, 12)},
    "bert": {4: ActivationBytes(42, 8, 12, 0, 28), 2: ActivationBytes(42, 6, 12, 0, 20)},
    "t5": {4: ActivationBytes(113, 64, 36, 0, 96, 8), 2: ActivationBytes(145, 36, 36, 0, 64, 8)},
    "deberta-v2": {4: ActivationBytes(80, 8, 12, 4096, 52), 2: ActivationBytes(60, 6, 6, 2048, 30)},
}


@dataclass(frozen=True)
class Shapes:
    """The sizes of a model that decide what it needs, read from its config."""

    layers: int
    hidden: int
    feed_forward: int
    vocabulary: int
    linear: int  # parameters of the linear layers in its blocks: what is quantized
    other: int  # all other parameters: embeddings, output head, experts; they stay as they are
    block: list[
        LinearShape
    ]  # the linear layers of one of its blocks; of an encoder's and a decoder's together where there are both
    heads: int
    family: str
    stored: int = 2  # bytes of a number in its files

    @property
    def parameters(self) -> int:
        return self.linear + self.other


@dataclass(frozen=True)
class MemoryEstimate:
    """What one training needs, in bytes."""

    weights: float
    adapter: float  # with its gradients and the optimizer's state
    activations: float
    pageable: float = 0.0  # of the adapter's, what a paged optimizer can put into main memory while the GPU is short
    read: float = 0.0  # of the weights before a method rounds them itself, which is before anything else is there
    overhead: float = OVERHEAD
    mapped: float = 0.0  # of weights and overhead, what lies in files that stay mapped: not the process's own memory
    # of a CPU's heap between what it holds of the activations, and quantized values while they are unpacked
    gaps: float = 0.0
    kept_values: float = 0.0  # unpacked values of 4-bit weights that are kept between steps

    @property
    def total(self) -> float:
        learning = self.weights + self.kept_values + self.adapter + self.activations + self.gaps
        return max(learning, self.read) + self.overhead

    def largest(self) -> str:
        """Its largest part, in words."""
        parts = {
            "the weights": max(self.weights, self.read),
            "the adapter with its optimizer": self.adapter,
            "what is kept of each token for learning": self.activations + self.gaps,
        }
        name = max(parts, key=parts.__getitem__)
        return f"{name} alone take{'s' if name != 'the weights' else ''} {gigabytes(parts[name])}"


def shapes_of(config: dict[str, Any], parameters: int | None = None) -> Shapes | None:
    """The shapes a config.json stands for; None for one that does not name the usual sizes.

    `parameters` is the true number, where it is known: what the blocks do not account for stays unquantized.
    """

    def first(*names: str) -> Any:
        return next((config[name] for name in names if config.get(name)), None)

    family = config.get("model_type", "")
    hidden, layers = (
        first("hidden_size", "n_embd", "d_model"),
        first("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    )
    heads, vocabulary = first("num_attention_heads", "n_head", "n_heads", "num_heads"), first("vocab_size")
    if not all(isinstance(n, int) and n > 0 for n in (hidden, layers, heads, vocabulary)):
        return None
    forward = first("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff") or 4 * hidden
    wide = heads * (first("head_dim", "d_kv") or hidden // heads)
    narrow = wide * (first("num_key_value_heads") or heads) // heads
    attention = [
        LinearShape("query", hidden, wide),
        LinearShape("key", hidden, narrow),
        LinearShape("value", hidden, narrow),
        LinearShape("output", wide, hidden),
    ]
    has_gate = family not in WITHOUT_GATE and (
        family not in TEXT_TO_TEXT or "gated" in config.get("feed_forward_proj", "relu")
    )
    block = [
        *[LinearShape("gate", hidden, forward)] * has_gate,
        LinearShape("up", hidden, forward),
        LinearShape("down", forward, hidden),
    ]
    experts = first("num_local_experts", "num_experts", "n_routed_experts") or 0
    # transformers holds experts in one block that is not quantized. A decoder beside an encoder looks at itself and at
    # the encoder.
    quantized = (
        attention if experts else [*attention, *block] if family not in TEXT_TO_TEXT else [*attention * 3, *block * 2]
    )
    linear = layers * sum(m.inputs * m.outputs for m in quantized)
    other = _beside_blocks(config, hidden, layers, vocabulary, quantized)
    other += layers * experts * 3 * hidden * (first("moe_intermediate_size") or forward)
    return Shapes(
        layers,
        hidden,
        forward,
        vocabulary,
        linear,
        max(vocabulary * hidden, (parameters or linear + other) - linear),
        quantized,
        heads,
        family,
        4 if "32" in str(config.get("dtype") or config.get("torch_dtype")) else 2,
    )


def _beside_blocks(config: dict[str, Any], hidden: int, layers: int, vocabulary: int, block: list[LinearShape]) -> int:
    """Parameters that are in no matrix of a block: embeddings, norms, offsets, what leads to the output."""
    family = config.get("model_type", "")
    tied = config.get("tie_word_embeddings", family in TIED | ENCODERS | TEXT_TO_TEXT)
    count = vocabulary * hidden * (1 if tied else 2) + (2 * layers + 1) * hidden
    if family in LEARNED_POSITIONS | ENCODERS and config.get("position_biased_input", True):
        count += hidden * (config.get("n_positions") or config.get("max_position_embeddings") or 0)
    if family in ENCODERS:
        offsets = layers * (sum(m.outputs for m in block) + 2 * hidden)
        relative = 2 * config.get("position_buckets", 0) * hidden
        return (
            count
            + offsets
            + relative
            + hidden * (hidden + config.get("type_vocab_size", 2))
            + (vocabulary if tied else 0)
        )
    return count


def need(recipe: Recipe, shapes: Shapes, kind: str, tokens: int | None = None) -> MemoryEstimate:
    """What training with `recipe` needs on a "cuda" or "cpu" device, with so many tokens worked off at once."""
    model, method, training = recipe.base_model, recipe.method, recipe.training
    wide = WIDE[model.computes_in(kind)]
    bits = BITS_DOUBLE if model.double_quantization and model.precision in ("nf4", "fp4") else BITS[model.precision]
    weights, read = (shapes.linear * b / 8 + shapes.other * wide for b in (method.weight_bits or bits, bits))
    adapted = method.trainable(shapes.block, shapes.layers) + _whole(recipe, shapes)
    state = adapted * OPTIMIZER_BYTES[training.optimizer]
    adapter = adapted * (4 + 4) + state  # weights and gradients are in fp32
    tokens = tokens or tokens_of_a_step(recipe, TOKENS_AT_ONCE[kind])
    activations = tokens * _kept_of_a_token(recipe, shapes, kind, wide)
    if kind == "cpu":
        mapped = LIBRARIES + _left_in_files(recipe, shapes, wide)
        widest = max(m.inputs * m.outputs for m in shapes.block) if bits < 16 or method.weight_bits else 0
        given_back = (
            tokens * method.forward_passes * _loss_of_a_token(recipe, shapes, wide)
            if 4 * tokens * shapes.vocabulary >= GIVEN_BACK
            else 0
        )
        besides = (GAPS - 1) * max(0.0, activations - given_back) + UNPACKED * widest * wide
        return MemoryEstimate(
            weights,
            adapter,
            activations,
            0.0,
            read,
            WORKER + LIBRARIES,
            mapped,
            besides,
            kept_values_bytes(recipe, shapes),
        )
    return MemoryEstimate(weights, adapter, activations, state if training.optimizer.startswith("paged") else 0.0, read)


def kept_values_bytes(recipe: Recipe, shapes: Shapes) -> float:
    """Bytes of the unpacked values of 4-bit layers that a CPU keeps between steps; a method that quantizes itself keeps
    none.
    """
    model = recipe.base_model
    if recipe.method.weight_bits:
        return 0.0
    return kept_bytes(int(shapes.linear), model.precision, model.computes_in("cpu"), "cpu")


def _left_in_files(recipe: Recipe, shapes: Shapes, wide: int) -> float:
    """Bytes of the weights that are used as they lie in the model's files: of one that is not quantized, in the files'
    own type.
    """
    is_as_stored = (
        recipe.base_model.precision in ("bf16", "fp32") and shapes.stored == wide and not recipe.method.weight_bits
    )
    return shapes.parameters * wide if is_as_stored else 0.0


def tokens_of_a_step(recipe: Recipe, at_once: int) -> int:
    """Tokens that are really worked off at once where `at_once` are wanted and every example is as long as allowed: a
    step is divided into equal numbers of whole examples."""
    training = recipe.training
    room = at_once * MORE_AT_ONCE / training.max_length
    fitting = [n for n in range(1, training.batch_size + 1) if training.batch_size % n == 0 and n <= room]
    return max(fitting, default=1) * training.max_length


def _whole(recipe: Recipe, shapes: Shapes) -> int:
    """Parameters that learn whole, beside the adapter: embeddings where that is wanted, a classifier's head."""
    if getattr(recipe.method, "train_embeddings", False):
        return 2 * shapes.vocabulary * shapes.hidden  # of the words that are read and of those that are written
    return (
        shapes.hidden * shapes.hidden if shapes.family in ENCODERS and _task(recipe, shapes) == "classification" else 0
    )


def _task(recipe: Recipe, shapes: Shapes) -> str:
    """What is learned; as long as nobody knows, what such a model is mostly taken for."""
    return recipe.task_name or ("classification" if shapes.family in ENCODERS else "chat")


def _kept_of_a_token(recipe: Recipe, shapes: Shapes, kind: str, wide: int) -> float:
    """Bytes a step has of one token at its peak: what all blocks keep for the backward pass, and what is behind
    them.
    """
    method, block = recipe.method, _kept_in_a_block(recipe, shapes, kind, wide)
    loss = _loss_of_a_token(recipe, shapes, wide)
    logits = shapes.vocabulary * wide if loss else 0
    if (streams := method.kept_streams(shapes.layers)) is not None:
        at_peak = streams * shapes.hidden + max(2 * block + logits, loss)
    elif is_checkpointed(
        recipe, shapes.parameters, kind
    ):  # when a block is computed again, the loss has had its gradient
        at_peak = shapes.layers * shapes.hidden * wide + max(2 * block + logits, loss)
    else:
        at_peak = (shapes.layers + 1) * block + loss
    return method.forward_passes * at_peak


def _loss_of_a_token(recipe: Recipe, shapes: Shapes, wide: int) -> float:
    """Bytes behind the blocks at the peak. A classifier has one row of logits a text, which is nothing."""
    return 0.0 if _task(recipe, shapes) == "classification" else shapes.vocabulary * LOSS_BYTES[wide]


def _kept_in_a_block(recipe: Recipe, shapes: Shapes, kind: str, wide: int) -> float:
    """Bytes one block keeps of one token."""
    alike = (
        shapes.family
        if shapes.family in ACTIVATION_BYTES
        else "bert"
        if shapes.family in ENCODERS
        else "t5"
        if shapes.family in TEXT_TO_TEXT
        else "llama"
    )
    kept, drops = ACTIVATION_BYTES[alike][wide], getattr(recipe.method, "dropout", 0) > 0
    if kind == "cpu" and recipe.method.in_one_step:  # of what dropout took, one byte a number is kept: was it left?
        kept = kept._replace(dropped_hidden=16 if alike == "t5" else 6, dropped_forward=2 if alike == "t5" else 1)
    seen = recipe.training.max_length * kept.scores if kind == "cpu" or shapes.family in EAGER else 0
    return (
        (kept.hidden + drops * kept.dropped_hidden) * shapes.hidden
        + (kept.forward + drops * kept.dropped_forward) * shapes.feed_forward
        + shapes.heads * (seen + kept.relative)
    )


def is_checkpointed(recipe: Recipe, parameters: int, kind: str) -> bool:
    """Automatic: on a GPU from a billion parameters on. On a CPU memory is plenty and the step would take 1.5 times as
    long.
    """
    choice = recipe.training.gradient_checkpointing
    return recipe.method.supports_checkpointing and (
        choice == "on" or (choice == "auto" and kind == "cuda" and parameters > CHECKPOINTED_FROM)
    )


def tokens_at_once(recipe: Recipe, shapes: Shapes | None, machine: Machine) -> int:
    """How many tokens to work off at once: as many as are fast on this device, fewer where they would not fit.

    The step is the same whatever this is; only memory and speed change.
    """
    most = TOKENS_AT_ONCE[machine.kind]
    if shapes is None or machine.kind == "cpu":
        return most
    while (
        most > FEWEST_TOKENS
        and need(recipe, shapes, machine.kind, tokens_of_a_step(recipe, most)).total > 0.9 * machine.free
    ):
        most //= 2
    return most


def verdict(recipe: Recipe, shapes: Shapes | None, machine: Machine) -> tuple[str, str]:
    """("fits", "tight" or "too large"; "" if it cannot be said) and the sentence for it."""
    if shapes is None:
        return "", "What it needs cannot be estimated for this family of models."
    needed = _need_here(recipe, shapes, machine)
    # What must be free, and for which examples: shorter ones take less.
    about, length, has = (
        gigabytes(needed.total),
        f"{recipe.training.max_length:,}",
        f"{gigabytes(machine.total)} {machine.name}",
    )
    if needed.total <= 0.9 * machine.free:
        return "fits", (
            f"Fits: training needs about {about} free with examples of {length} tokens; this machine has {has}, "
            f"{gigabytes(machine.free)} of it free."
        )
    if needed.total <= 0.95 * machine.total:
        return "tight", (
            f"Tight: training needs about {about} free with examples of {length} tokens, and of {has} "
            f"{gigabytes(machine.free)} are free now. Close what else uses it before the start."
        )
    if needed.total - needed.pageable <= 0.95 * machine.total:
        return "tight", (
            f"Tight: training needs about {about} free with examples of {length} tokens, and this machine has {has}. "
            f"It "
            "goes because the paged optimizer puts part of itself into main memory, which takes longer."
        )
    return "too large", (
        f"Does not fit: training needs about {about} free with examples of {length} tokens, because "
        f"{needed.largest()}, and this machine has {has}. {_remedy(recipe, shapes, machine)}"
    )


def _need_here(recipe: Recipe, shapes: Shapes, machine: Machine) -> MemoryEstimate:
    """With as few tokens at once as it takes, but never fewer than the longest example: that one cannot be divided."""
    return need(recipe, shapes, machine.kind, tokens_of_a_step(recipe, tokens_at_once(recipe, shapes, machine)))


def _remedy(recipe: Recipe, shapes: Shapes, machine: Machine) -> str:
    """The fewest changes with which it would fit, added one after another."""
    done: list[str] = []
    room = 0.95 * machine.total
    for words, group, change in (
        ("a base in 4-bit NF4", "base_model", {"precision": "nf4", "double_quantization": True}),
        ("gradient checkpointing on", "training", {"gradient_checkpointing": "on"}),
        ("an 8-bit optimizer", "training", {"optimizer": "paged_adamw_8bit"}),
        (
            f"examples of at most {FEWEST_TOKENS} tokens",
            "training",
            {"max_length": min(FEWEST_TOKENS, recipe.training.max_length)},
        ),
        ("a rank of 8", "method", {"rank": min(8, rank)} if (rank := getattr(recipe.method, "rank", 0)) else {}),
    ):
        part = getattr(recipe, group)
        if part == (changed := part.model_copy(update=change)):
            continue
        recipe = recipe.model_copy(update={group: changed})
        done.append(words)
        needed = _need_here(recipe, shapes, machine)
        if needed.total - needed.pageable <= room:
            return f"It would fit with {' and '.join([', '.join(done[:-1])] * (len(done) > 1) + done[-1:])}."
    return "Choose a smaller model, or a larger machine."
