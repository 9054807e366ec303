"""Methods that are PEFT's alone: their settings here, everything else there.

Those are left out that do not come back the same from disk, or do not begin as the base without being meant to, or are
not what they are called: BOFT becomes OFT, without an error, where PEFT cannot compile its program. What trains on
which base was tried out, see tests/methods.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.families import tried_families
from ..base_models.shapes import LinearShape
from ..choices import setting
from ..errors import Problem
from .card import Card, LearningRate
from .layers import attention_layers, linear_layers
from .method import MethodChoices

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

UNPACKED = ("bf16", "fp32")  # what reads the weights of the base themselves cannot read packed ones
LINEAR = tried_families(linear_layers=True)
NAME = {"title": "Method", "description": "How the model is changed."}
Layers = Literal["all-linear", "attention"]
LAYERS = setting(
    "all-linear",
    "Layers",
    "Where it is attached.",
    labels={"all-linear": "All linear layers", "attention": "Attention only"},
)


class PeftMethod(MethodChoices):
    """A method that PEFT attaches to linear layers: `made_by` is its configuration there,
    `called` how settings are called in it.
    """

    made_by: ClassVar[str]
    called: ClassVar[dict[str, str]] = {"rank": "r"}

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "PeftConfig":
        import peft

        given = {self.called.get(name, name): value for name, value in self if name not in ("name", "layers")}
        return getattr(peft, self.made_by)(task_type=task_type, **self._targets(model), **given)

    def _targets(self, model: "PreTrainedModel") -> dict[str, Any]:
        return {"target_modules": attention_layers(model) if self.layers == "attention" else list(linear_layers(model))}

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        return layers * sum(self.of(m) for m in block if self.layers == "all-linear" or m.is_attention)

    def of(self, matrix: LinearShape) -> int:
        """How many parameters learn beside one matrix."""
        raise NotImplementedError


class VeraMethod(PeftMethod):
    """PEFT's VeraConfig: A [rank, inputs] and B [outputs, rank] are random, frozen and shared by all layers.

    A layer learns the vectors d [rank] and b [outputs].
    """

    card: ClassVar[Card] = Card(
        what=(
            "All layers share two random matrices that never learn; each layer learns only how much of each direction "
            "it takes, as two vectors."
        ),
        paper="Kopiczko et al. 2024, VeRA (arXiv 2310.11454).",
        choose="When many adapters are to be kept and LoRA's are too large.",
        cost=(
            "Far fewer learned parameters than LoRA; the larger the shared rank, the longer a step. The shared "
            "matrices lie in each adapter's file."
        ),
        is_not=(
            "It is not smaller in memory while it trains than its file suggests: the shared matrices are as large as "
            "the largest layer asks."
        ),
    )

    name: Literal["vera"] = setting("vera", **NAME, labels={"vera": "VeRA"})
    rank: int = setting(
        256, "Rank", "Of the shared matrices; large ranks cost hardly any learned parameters.", ge=1, le=4096
    )
    layers: Layers = LAYERS
    made_by = "VeraConfig"
    learning_rate = LearningRate(2e-3, "ten times LoRA's, as in the paper")

    def of(self, matrix: LinearShape) -> int:
        return self.rank + matrix.outputs


class OftMethod(PeftMethod):
    """PEFT's OFTConfig: beside each layer inputs / block_size skew-symmetric matrices, of which a Cayley transform
    makes rotations; each has block_size * (block_size - 1) / 2 numbers.
    """

    card: ClassVar[Card] = Card(
        what=(
            "Each layer's inputs are rotated, block by block, before the layer sees them. Lengths and angles among "
            "neurons stay as they were pretrained."
        ),
        paper=(
            "Qiu et al. 2023, OFT (arXiv 2306.07280), in the form on the inputs of Qiu et al. 2025 (arXiv 2506.19847)."
        ),
        choose="Where what the model knows must not suffer.",
        cost=(
            "The rotations are computed at every step, which takes longer than LoRA; at inference nothing once merged."
        ),
        is_not=(
            "It is not a small change of the weights: a rotation may be large and still keep what neurons are to each "
            "other."
        ),
    )

    name: Literal["oft"] = setting("oft", **NAME, labels={"oft": "OFT"})
    block_size: int = setting(
        32, "Block size", "Numbers that are rotated together; must divide the inputs of every layer.", ge=2, le=1024
    )
    layers: Layers = LAYERS
    made_by = "OFTConfig"
    called = {"block_size": "oft_block_size"}
    families = LINEAR

    def of(self, matrix: LinearShape) -> int:
        return matrix.inputs * (self.block_size - 1) // 2


class HraMethod(PeftMethod):
    """PEFT's HRAConfig: `rank` vectors [inputs] beside each layer, whose reflections
    multiply its weight one after another.
    """

    card: ClassVar[Card] = Card(
        what="Each layer's weights are mirrored by a chain of learned Householder reflections: a rotation of low rank.",
        paper="Yuan et al. 2024, HRA (arXiv 2405.17484).",
        choose="As a bridge between LoRA and OFT: as few parameters as the one, orthogonal as the other.",
        cost=(
            "Reflections follow each other and cannot be computed at once, so steps are longer than LoRA's; at "
            "inference nothing once merged."
        ),
        is_not="It is not for a quantized base: it multiplies the weights themselves.",
    )

    name: Literal["hra"] = setting("hra", **NAME, labels={"hra": "HRA"})
    rank: int = setting(
        8, "Reflections", "How many reflections follow each other; an even number begins as the base.", ge=2, le=512
    )
    layers: Layers = LAYERS
    made_by = "HRAConfig"
    families = LINEAR
    precisions = UNPACKED

    def problems(self, precision: str, family: str, task: str) -> dict[str, Problem]:
        if self.rank % 2:
            odd = {
                "method.rank": Problem(
                    "method.odd_reflections",
                    "{rank} reflections would not begin as the base. Take {even}.",
                    rank=self.rank,
                    even=self.rank + 1,
                )
            }
        else:
            odd = {}
        return super().problems(precision, family, task) | odd

    def of(self, matrix: LinearShape) -> int:
        return self.rank * matrix.inputs


class MissMethod(PeftMethod):
    """PEFT's MissConfig: one matrix [rank, outputs] beside each layer, applied to sums over groups of inputs."""

    card: ClassVar[Card] = Card(
        what=(
            "One small matrix beside each layer learns and is used again and again along the inputs, where LoRA has "
            "two."
        ),
        paper="Kang and Yin 2025, MiSS (arXiv 2409.15371).",
        choose="As LoRA's nearest rival: one matrix is multiplied instead of two.",
        cost="About half the learned parameters of LoRA of the same rank; at inference nothing once merged.",
        is_not=(
            "It is not a product of low rank that was found: the change repeats itself along the inputs by "
            "construction."
        ),
    )

    name: Literal["miss"] = setting("miss", **NAME, labels={"miss": "MiSS"})
    rank: int = setting(64, "Rank", "Size of the matrix. More learns more and takes more memory.", ge=1, le=1024)
    layers: Layers = LAYERS
    made_by = "MissConfig"
    families = LINEAR

    def of(self, matrix: LinearShape) -> int:
        return self.rank * matrix.outputs


class LohaMethod(PeftMethod):
    """PEFT's LoHaConfig: the change [outputs, inputs] is (A1 B1) * (A2 B2), number
    by number, each product of rank `rank`.
    """

    card: ClassVar[Card] = Card(
        what=(
            "The change of each layer is the product, number by number, of two low-rank matrices, so that few "
            "parameters reach a high rank."
        ),
        paper="Hyeon-Woo et al. 2022, FedPara (arXiv 2108.06098), as LoHa in LyCORIS (arXiv 2309.14859).",
        choose="Where LoRA of the same size holds too little.",
        cost=(
            "The whole change is multiplied out at each step, which takes longer than LoRA; at inference nothing once "
            "merged."
        ),
        is_not="It is not trained on a 4-bit base here: PEFT reads the shape of the packed weights as theirs.",
    )

    name: Literal["loha"] = setting("loha", **NAME, labels={"loha": "LoHa"})
    rank: int = setting(8, "Rank", "Of each of the two products; the change reaches its square.", ge=1, le=256)
    alpha: int = setting(8, "Alpha", "Strength of the adapter; usually the rank.", ge=1, le=1024)
    layers: Layers = LAYERS
    made_by = "LoHaConfig"
    families = LINEAR
    precisions = ("int8", *UNPACKED)

    def of(self, matrix: LinearShape) -> int:
        return 2 * self.rank * (matrix.inputs + matrix.outputs)


class LokrMethod(PeftMethod):
    """PEFT's LoKrConfig: the change [outputs, inputs] is kron(C, D).

    C has the smaller of each side's two nearest factors; D the larger ones, itself a product of
    rank `rank` where that has fewer numbers.
    """

    card: ClassVar[Card] = Card(
        what=(
            "The change of each layer is a Kronecker product: a small matrix, each number of which scales a copy of "
            "another one."
        ),
        paper="Edalati et al. 2022, KronA (arXiv 2212.10650), as LoKr in LyCORIS (arXiv 2309.14859).",
        choose="For very small adapters that still change every number of a weight.",
        cost="Few parameters, but the whole change is multiplied out at each step; at inference nothing once merged.",
        is_not="It is not trained on a 4-bit base here: PEFT reads the shape of the packed weights as theirs.",
    )

    name: Literal["lokr"] = setting("lokr", **NAME, labels={"lokr": "LoKr"})
    rank: int = setting(8, "Rank", "Of the larger factor, where that is large enough to be divided.", ge=1, le=256)
    alpha: int = setting(8, "Alpha", "Strength of the adapter; usually the rank.", ge=1, le=1024)
    layers: Layers = LAYERS
    made_by = "LoKrConfig"
    families = LINEAR
    precisions = ("int8", *UNPACKED)

    def of(self, matrix: LinearShape) -> int:
        (a, b), (c, d) = _nearest_factors(matrix.inputs), _nearest_factors(matrix.outputs)
        larger = self.rank * (b + d) if self.rank < max(b, d) / 2 else b * d
        return a * c + larger


class InFrontMethod(PeftMethod):
    """A method that learns places in front of the text and is attached to no layer."""

    called = {"tokens": "num_virtual_tokens"}
    supports_packing = False
    families = tried_families("decoder")

    def _targets(self, model: "PreTrainedModel") -> dict[str, Any]:
        return {}

    @property
    def can_merge(self) -> bool:
        return False


class PrefixMethod(InFrontMethod):
    """PEFT's PrefixTuningConfig: keys and values [tokens, key outputs] in front of the text, for each layer."""

    card: ClassVar[Card] = Card(
        what="Every layer's attention sees a few learned keys and values in front of the text; no weight is changed.",
        paper="Li and Liang 2021, prefix tuning (arXiv 2101.00190).",
        choose="When many tasks are served from one model, each with its prefix.",
        cost=(
            "Few parameters and a cheap step; the prefix takes places of the context, also at inference, and cannot be"
            " merged."
        ),
        is_not=(
            "It is not the base at the beginning: an empty prefix does not exist, so the first loss is higher than the"
            " base's. Examples cannot be packed into one row, since the prefix stands before the row."
        ),
    )

    name: Literal["prefix"] = setting("prefix", **NAME, labels={"prefix": "Prefix tuning"})
    tokens: int = setting(
        20, "Length of the prefix", "Learned places in front of the text, in each layer.", ge=1, le=512
    )
    made_by = "PrefixTuningConfig"
    supports_checkpointing = False  # a block that is computed anew would lose its prefix
    learning_rate = LearningRate(1e-2, "that of PEFT's examples")

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        return layers * 2 * self.tokens * next(m.outputs for m in block if m.role == "key")


class PromptMethod(InFrontMethod):
    """PEFT's PromptTuningConfig: `tokens` vectors [hidden] in front of the embedded text."""

    card: ClassVar[Card] = Card(
        what=(
            "A few learned tokens stand in front of every text, as if somebody had found the best possible words; "
            "nothing else is changed."
        ),
        paper="Lester et al. 2021, prompt tuning (arXiv 2104.08691).",
        choose=("For large models: it reaches the others only from billions of parameters on (from the paper)."),
        cost=(
            "Each token learns as many numbers as the model is wide, and nothing else learns; the tokens take places "
            "of the context, also at inference, and cannot be merged."
        ),
        is_not=(
            "It is not a prompt that can be read: the tokens lie between those of the vocabulary. Examples cannot be "
            "packed into one row."
        ),
    )

    name: Literal["prompt"] = setting("prompt", **NAME, labels={"prompt": "Prompt tuning"})
    tokens: int = setting(20, "Learned tokens", "How many stand in front of every text.", ge=1, le=512)
    made_by = "PromptTuningConfig"
    learning_rate = LearningRate(3e-2, "that of PEFT's examples")

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        return self.tokens * next(m.inputs for m in block if m.role == "query")


def _nearest_factors(size: int) -> tuple[int, int]:
    """Two numbers that make `size`, as near to each other as they come, the smaller first: how LoKr divides a side."""
    low = next(n for n in range(int(size**0.5), 0, -1) if size % n == 0)
    return low, size // low
