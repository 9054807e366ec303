"""What a machine computes with, and what follows from it: the type of the numbers, the optimizer, where a model is put.

Pure functions over a description of the machine, asked by the page as by the worker. Nothing here loads torch.

bf16 in hardware begins with compute capability 8.0 and AMD's CDNA. `torch.cuda.is_bf16_supported()` also says yes where
it is emulated, many times slower. fp16 has its range, 65,504, and needs loss scaling. bitsandbytes asks for 6.0, its
8-bit layers for 7.5.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..errors import Problem
from .families import family_named

Type = Literal["bf16", "fp16", "fp32"]
BYTES: dict[str, int] = {"bf16": 2, "fp16": 2, "fp32": 4}  # a number takes
BF16_FROM, FP16_FROM, FOUR_BIT_FROM, EIGHT_BIT_FROM = (8, 0), (7, 0), (6, 0), (7, 5)
P100 = (6, 0)  # the one card before tensor cores that computes fp16 faster than fp32
CLEARLY = 0.7  # bf16 is taken on a CPU where a block takes at most this share of its time in fp32
MOST_UNPACKED = 100_000_000  # weights in 4-bit layers of a model that keeps them unpacked on a CPU; 0.4 GB in 32 bits


@dataclass(frozen=True)
class Card:
    """A processor that trains: a GPU, or the CPU."""

    name: str
    capability: tuple[int, int] | None = None  # of an NVIDIA GPU
    memory: float = 0.0  # bytes
    is_amd: bool = False  # through ROCm, which torch calls "cuda" too

    @property
    def is_gpu(self) -> bool:
        return self.capability is not None or self.is_amd

    @property
    def has_bf16(self) -> bool:
        return self.is_amd or (self.capability or (0, 0)) >= BF16_FROM

    @property
    def has_fp16(self) -> bool:
        return self.is_amd or (self.capability or (0, 0)) >= FP16_FROM or self.capability == P100


CPU = Card("CPU")


class Decision(NamedTuple):
    """What was taken, and a sentence that says why; an empty one where nobody need be told."""

    taken: str
    why: str


class Trial(NamedTuple):
    """Seconds that the arithmetic of one block of a model takes on this CPU, forwards and backwards."""

    fp32: float
    bf16: float


def compute_type(
    card: Card, precision: str = "nf4", wanted: str = "auto", family: str = "", trial: Trial | None = None
) -> Decision:
    """The type that everything is computed in which is not quantized, and to which 4-bit weights are unpacked.

    `wanted` is the recipe's setting and wins; `trial` was measured where the card is a CPU.
    """
    if precision == "fp32":
        return Decision("fp32", "Computed in fp32, because the base is held in 32 bits.")
    if wanted != "auto":
        return Decision(wanted, f"Computed in {wanted}, as chosen.")
    if not card.is_gpu:
        return _on_cpu(precision, trial)
    if card.has_bf16:
        return Decision("bf16", f"Computed in bf16, which {card.name} has in hardware.")
    if not card.has_fp16:
        return Decision(
            "fp32", f"Computed in fp32: {card.name} has no bf16 in hardware, and computes fp16 more slowly."
        )
    if family_named(family).overflows_in_fp16:
        return Decision(
            "fp32", f"Computed in fp32: {card.name} has no bf16 in hardware, and in fp16 {family} models overflow."
        )
    return Decision("fp16", f"Computed in fp16 with scaled losses: {card.name} has no bf16 in hardware.")


def _on_cpu(precision: str, trial: Trial | None) -> Decision:
    if precision == "bf16":
        return Decision("bf16", "Computed in bf16, because the base is held in 16 bits.")
    if trial is None:
        return Decision("fp32", "")
    times = trial.bf16 / trial.fp32
    if times <= CLEARLY:
        return Decision(
            "bf16",
            f"Computed in bf16: this model's products take {times:.0%} of the time they would take in fp32 here.",
        )
    return Decision("fp32", f"Computed in fp32: in bf16 this model's products would take {times:.0%} of the time here.")


def problems(card: Card, precision: str) -> dict[str, Problem]:
    """What a card cannot do at all: {setting of the base model: sentence}."""
    if card.capability is None:
        return {}
    has = f"{card.capability[0]}.{card.capability[1]}"
    if precision in ("nf4", "fp4") and card.capability < FOUR_BIT_FROM:
        return {
            "precision": Problem(
                "card.no_4_bits",
                "{name} has compute capability {has}, and 4-bit layers need 6.0. Choose a base in fp32, or another "
                "card.",
                name=card.name,
                has=has,
            )
        }
    if precision == "int8" and card.capability < EIGHT_BIT_FROM:
        return {
            "precision": Problem(
                "card.no_8_bits",
                "{name} has compute capability {has}, and 8-bit layers need 7.5. Choose a base in nf4.",
                name=card.name,
                has=has,
            )
        }
    return {}


def optimizer(card: Card, wanted: str) -> Decision:
    """transformers' name of the optimizer that does here what the recipe wants."""
    if wanted == "adamw_torch":
        return Decision("adamw_torch_fused", "")  # the same AdamW, all of a parameter's arithmetic in one pass
    if not card.is_gpu:
        unpaged = {"paged_adamw_8bit": "adamw_8bit"}.get(wanted, wanted)
        return Decision(unpaged, "The optimizer is not paged here: only a GPU's memory can be moved away in pages.")
    if card.capability and card.capability < FOUR_BIT_FROM:
        return Decision(
            "adamw_torch_fused", f"AdamW in 32 bits takes the place of {wanted}, whose program {card.name} cannot run."
        )
    return Decision(wanted, "")


def device_map(cards: list[Card], weights: float) -> dict[str, int | str] | str:
    """Where a model of so many bytes is put, as `from_pretrained` takes it.

    Whole on the first card that holds it with a fifth to spare; else its layers one after another over all of them
    ("balanced"). Never a part of it on a CPU beside a GPU: that part could not learn.
    """
    gpus = [card for card in cards if card.is_gpu]
    if not gpus:
        return {"": "cpu"}
    fitting = [number for number, card in enumerate(gpus) if weights <= 0.8 * card.memory]
    if len(gpus) == 1 or fitting:
        return {"": fitting[0] if fitting else 0}
    return "balanced"


def kept_bytes(weights: int, precision: str, computes_in: str, kind: str) -> int:
    """Bytes that the unpacked values of a model's 4-bit layers (with so many weights together) take beside their codes
    while it is computed with on a "cpu" or "cuda" device; 0 where they are unpacked anew in every pass."""
    if kind != "cpu" or precision not in ("nf4", "fp4") or weights > MOST_UNPACKED:
        return 0
    return weights * BYTES[computes_in]
