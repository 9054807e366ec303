"""Will it fit? What training needs for this recipe, against what this machine has, said before anything starts.

What is said is what must be free: all that a worker has in memory while it learns, on a CPU with the files that it maps
and goes on using (its libraries, weights that are read from the disk as they are). Not counted are the pages of a
model's files while they are read once: the system takes those back where it needs the room.

The formula is checked against the figures published for LLaMA 7B to 65B on GPUs (Dettmers et al. 2023, figure 6), on a
CPU against real workers (benchmarks/memory.py), the shapes against transformers' own models, and what a token keeps for
the backward pass was measured on a LLaMA block with adapters.
"""

from dataclasses import asdict, dataclass, replace

from . import GIVEN_BACK
from .base_models.cards import kept_bytes
from .base_models.families import ActivationBytes, family_named
from .base_models.shapes import Shapes
from .formatting import gigabytes
from .hardware import Machine
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
FITS = 0.9  # of what is free
AT_MOST = 0.95  # of all the machine has
IN_MAIN_MEMORY = 0.9  # of it, at most, while every process has the whole base there


TOGETHER = 2  # blocks that are put together at once: the one that computes, and the next


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

    def times(self, processes: int) -> "MemoryEstimate":
        """Of so many processes side by side."""
        return MemoryEstimate(**{name: processes * value for name, value in asdict(self).items()})

    @property
    def unpageable(self) -> float:
        """What must fit whatever a paged optimizer puts elsewhere."""
        return self.total - self.pageable

    def largest(self) -> str:
        """Its largest part, in words."""
        parts = {
            "the weights": max(self.weights, self.read),
            "the adapter with its optimizer": self.adapter,
            "what is kept of each token for learning": self.activations + self.gaps,
        }
        name = max(parts, key=parts.__getitem__)
        verb = "take" if name == "the weights" else "takes"
        return f"{name} alone {verb} {gigabytes(parts[name])}"


def need(recipe: Recipe, shapes: Shapes, kind: str, tokens: int | None = None) -> MemoryEstimate:
    """What training with `recipe` needs on a "cuda" or "cpu" device, with so many tokens worked off at once."""
    method, optimizer = recipe.method, recipe.training.optimizer
    wide = WIDE[recipe.base_model.computes_in(kind)]
    bits = _bits_of_a_weight(recipe)
    learned = method.trainable(shapes.block, shapes.layers) + _learned_whole(recipe, shapes)
    moments = learned * OPTIMIZER_BYTES[optimizer]
    tokens = tokens or tokens_of_a_step(recipe, TOKENS_AT_ONCE[kind])
    weights = _bytes_of_weights(shapes, method.weight_bits or bits, wide)
    read = _bytes_of_weights(shapes, bits, wide)
    adapter = learned * (4 + 4) + moments  # weights and gradients are in fp32
    activations = tokens * _kept_of_a_token(recipe, shapes, kind, wide)
    if kind == "cpu":
        return MemoryEstimate(
            weights=weights,
            adapter=adapter,
            activations=activations,
            read=read,
            overhead=WORKER + LIBRARIES,
            mapped=LIBRARIES + _left_in_files(recipe, shapes, wide),
            gaps=_gaps(recipe, shapes, tokens, activations, wide),
            kept_values=kept_values_bytes(recipe, shapes),
        )
    pageable = moments if optimizer.startswith("paged") else 0.0
    return MemoryEstimate(weights=weights, adapter=adapter, activations=activations, pageable=pageable, read=read)


def _bits_of_a_weight(recipe: Recipe) -> float:
    """Bits a weight of the base takes in a layer that is quantized as the recipe says."""
    model = recipe.base_model
    if model.double_quantization and model.precision in ("nf4", "fp4"):
        return BITS_DOUBLE
    return BITS[model.precision]


def _bytes_of_weights(shapes: Shapes, bits: float, wide: int) -> float:
    return shapes.linear * bits / 8 + shapes.other * wide


def _bytes_when_divided(recipe: Recipe, shapes: Shapes, kind: str, count: int) -> float:
    """What each of `count` processes holds of a base that FSDP divides, while it computes: its part, the blocks that
    are put together, embeddings and output head, which are so from the first block to the last, and the scales of
    4-bit codes, which are never divided.
    """
    bits, around = _bits_of_a_weight(recipe), shapes.other * WIDE[recipe.base_model.computes_in(kind)]
    scales = bits - 4 if recipe.base_model.precision in ("nf4", "fp4") else 0.0
    codes = shapes.linear * (bits - scales) / 8
    part = (codes + around) / count
    return part + around + codes * TOGETHER / shapes.layers + shapes.linear * scales / 8


def _gaps(recipe: Recipe, shapes: Shapes, tokens: int, activations: float, wide: int) -> float:
    """Bytes of a CPU's heap between what it holds, and of quantized values while a product has them unpacked."""
    given_back = 0.0
    if 4 * tokens * shapes.vocabulary >= GIVEN_BACK:
        given_back = tokens * recipe.method.forward_passes * _loss_of_a_token(recipe, shapes, wide)
    between = (GAPS - 1) * max(0.0, activations - given_back)
    return between + UNPACKED * _widest_packed_layer(recipe, shapes) * wide


def _widest_packed_layer(recipe: Recipe, shapes: Shapes) -> int:
    """Weights of the largest layer that is quantized; 0 where none is."""
    if _bits_of_a_weight(recipe) >= 16 and not recipe.method.weight_bits:
        return 0
    return max(layer.parameters for layer in shapes.block)


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
    is_quantized = recipe.base_model.precision not in ("bf16", "fp32") or recipe.method.weight_bits
    if is_quantized or shapes.stored != wide:
        return 0.0
    return shapes.parameters * wide


def tokens_of_a_step(recipe: Recipe, at_once: int) -> int:
    """Tokens that are really worked off at once where `at_once` are wanted and every example is as long as allowed: a
    step is divided into equal numbers of whole examples."""
    training = recipe.training
    room = training.micro_batch or at_once * MORE_AT_ONCE / training.max_length
    rows = 2 if recipe.preferences.is_on else 1  # of a pair both answers are read, each with its prompt
    room = room if training.micro_batch else room / rows
    fitting = [n for n in range(1, training.batch_size + 1) if training.batch_size % n == 0 and n <= room]
    return max(fitting, default=1) * rows * training.max_length


def _learned_whole(recipe: Recipe, shapes: Shapes) -> int:
    """Parameters that learn whole, beside the adapter: embeddings where that is wanted, a classifier's head."""
    if recipe.method.learns_embeddings:
        return 2 * shapes.vocabulary * shapes.hidden  # of the words that are read and of those that are written
    if _is_encoder(shapes) and _task(recipe, shapes) == "classification":
        return shapes.hidden * shapes.hidden
    return 0


def _is_encoder(shapes: Shapes) -> bool:
    return family_named(shapes.family).kind == "encoder"


def _task(recipe: Recipe, shapes: Shapes) -> str:
    """What is learned; as long as nobody knows, what such a model is mostly taken for."""
    likely = "classification" if _is_encoder(shapes) else "chat"
    return recipe.task_name or likely


def _kept_of_a_token(recipe: Recipe, shapes: Shapes, kind: str, wide: int) -> float:
    """Bytes a step has of one token at its peak: what all blocks keep for the backward pass, and what is behind
    them.
    """
    method = recipe.method
    block = _kept_in_a_block(recipe, shapes, kind, wide)
    loss = _loss_of_a_token(recipe, shapes, wide)
    logits = shapes.vocabulary * wide if loss else 0
    # Where a block is computed again in the backward pass, the loss has had its gradient by then.
    again = max(2 * block + logits, loss)
    streams = method.kept_streams(shapes.layers)
    if streams is not None:
        at_peak = streams * shapes.hidden + again
    elif is_checkpointed(recipe, shapes.parameters, kind):
        at_peak = shapes.layers * shapes.hidden * wide + again
    else:
        at_peak = (shapes.layers + 1) * block + loss
    return method.forward_passes * at_peak


def _loss_of_a_token(recipe: Recipe, shapes: Shapes, wide: int) -> float:
    """Bytes behind the blocks at the peak. A classifier has one row of logits a text, which is nothing."""
    if _task(recipe, shapes) == "classification":
        return 0.0
    return shapes.vocabulary * LOSS_BYTES[wide]


def _kept_in_a_block(recipe: Recipe, shapes: Shapes, kind: str, wide: int) -> float:
    """Bytes one block keeps of one token."""
    family = family_named(shapes.family)
    kept = family.activations[wide]
    hidden, forward = kept.hidden, kept.forward
    if recipe.method.drops_inputs:
        more_hidden, more_forward = _kept_for_dropout(recipe, kept, kind)
        hidden += more_hidden
        forward += more_forward
    keeps_scores = kind == "cpu" or family.keeps_scores
    scores = recipe.training.max_length * kept.scores if keeps_scores else 0
    return hidden * shapes.hidden + forward * shapes.feed_forward + shapes.heads * (scores + kept.relative)


def _kept_for_dropout(recipe: Recipe, kept: ActivationBytes, kind: str) -> tuple[int, int]:
    """Bytes more for each number of the hidden state, and for each inside of the feed-forward part."""
    if kind == "cpu" and recipe.method.in_one_step:
        return kept.masked_hidden, kept.masked_forward
    return kept.dropped_hidden, kept.dropped_forward


def is_checkpointed(recipe: Recipe, parameters: int, kind: str) -> bool:
    """Automatic: on a GPU from a billion parameters on. On a CPU memory is plenty and the step would take 1.5 times as
    long.
    """
    choice = recipe.training.gradient_checkpointing
    if not recipe.method.supports_checkpointing:
        return False
    return choice == "on" or (choice == "auto" and kind == "cuda" and parameters > CHECKPOINTED_FROM)


def tokens_at_once(recipe: Recipe, shapes: Shapes | None, machine: Machine) -> int:
    """How many tokens to work off at once: as many as are fast on this device, fewer where they would not fit.

    The step is the same whatever this is; only memory and speed change.
    """
    most = TOKENS_AT_ONCE[machine.kind]
    if shapes is None or machine.kind == "cpu":
        return most
    while most > FEWEST_TOKENS:
        needed = need(recipe, shapes, machine.kind, tokens_of_a_step(recipe, most))
        if needed.total <= FITS * machine.free:
            break
        most //= 2
    return most


def level_of(recipe: Recipe, shapes: Shapes, machine: Machine) -> str:
    """ "fits", "tight" or "too large": the one law, whoever asks."""
    needed = needed_here(recipe, shapes, machine)
    is_loaded = loaded_bytes(recipe, shapes, machine) <= IN_MAIN_MEMORY * machine.main_memory
    if not is_loaded or needed.unpageable > AT_MOST * machine.total:
        return "too large"
    return "fits" if needed.total <= FITS * machine.free else "tight"


def needed_here(recipe: Recipe, shapes: Shapes, machine: Machine) -> MemoryEstimate:
    """With as few tokens at once as it takes, but never fewer than the longest example: that one cannot be divided. Of
    several processes each has the whole model, or its part where the base is divided: on a GPU of its own, or all in a
    CPU's memory, which also holds the whole base of each while it is loaded.
    """
    needed = need(recipe, shapes, machine.kind, tokens_of_a_step(recipe, tokens_at_once(recipe, shapes, machine)))
    count = recipe.launch.world(machine.devices)
    if recipe.launch.divides(count):
        part = min(needed.weights, _bytes_when_divided(recipe, shapes, machine.kind, count))
        whole = max(needed.weights, needed.read) if machine.kind == "cpu" else part
        needed = replace(needed, weights=part, read=min(needed.read, whole))
    if machine.kind != "cpu" or recipe.launch.where != "here":
        return needed
    return needed.times(recipe.launch.count(0))


def loaded_bytes(recipe: Recipe, shapes: Shapes, machine: Machine) -> float:
    """Of main memory beside GPUs, while a base is loaded that is divided then: every process has the whole."""
    count = recipe.launch.count(machine.devices)
    if machine.kind == "cpu" or recipe.launch.where != "here" or not recipe.launch.divides(count):
        return 0.0
    whole = need(recipe, shapes, machine.kind)
    return count * max(whole.weights, whole.read)
