"""MEFT: the backward pass rebuilds what a block was given instead of remembering it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.families import tried_families
from ..base_models.shapes import LinearShape
from ..choices import setting
from ..errors import UserError
from ..storage.reading import read_text
from .card import Card, LearningRate
from .method import MethodChoices

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# of what a block is given, the share that may come back wrong before the first step: it grows while adapters learn
HOLDS = 1e-5
USELESS = 1e-2  # from here on gradients are wrong too
ORDER = ("fp32", "fp64", "exact")  # cheapest first
BITS = {"fp32": 32, "fp64": 64}
AUTOMATIC = (64, 16, 8)
FLAT = 12  # blocks, as many as 64 bits rebuild with the smallest of these: 8**12 is the precision they have to spare


class MeftMethod(MethodChoices):
    """Reversible blocks (`parts.reversible`): two streams of hidden states [batch, length, hidden], of which `backward`
    rebuilds each block's input. Bottlenecks learn, down [rank, hidden] and up [hidden, rank]: beside each feed-forward
    part, and behind each block but the last.
    """

    card: ClassVar[Card] = Card(
        what=(
            "The blocks are coupled so that what each was given can be worked out from what it gave, and a training "
            "step remembers nothing else of them. The pretrained blocks stay as they are, and small bottleneck "
            "adapters beside them learn."
        ),
        paper="Liao et al. 2023, MEFT (NeurIPS; arXiv 2306.00477), its first variant.",
        choose=(
            "When long examples or a deep model fill the memory while training, and a shorter step is not the aim."
        ),
        cost=(
            "A step takes 1.4 to 1.5 times as long as LoRA's, and 1.6 times as long with gradient checkpointing "
            "(measured here on a CPU). What is kept for the backward pass does not grow with depth where 32 or 64 bits"
            " hold, which is measured on the model before the first step; where they do not, it grows by half a byte "
            "for each number of a layer's hidden state, and checkpointing by two or four. Inference costs two small "
            "adapters a layer."
        ),
        is_not=(
            "It is not exactly the pretrained model at the start: a part of an older state is added to each block, and"
            " what that does is measured and said. The authors end with the mean of both streams; here the last "
            "block's state goes on, which is nearer to the pretrained model."
        ),
    )

    name: Literal["meft"] = setting("meft", "Method", "How the model is changed.", labels={"meft": "MEFT"})
    rank: int = setting(8, "Rank", "Inner size of each adapter. More learns more and takes more memory.", ge=1, le=512)
    dropout: float = setting(0.1, "Dropout", "Share of an adapter's inner numbers dropped while training.", ge=0, lt=1)
    divisor: int = setting(
        0,
        "Divisor of the older stream",
        "1/lambda, 10 in the paper. Larger begins nearer to the base and is harder to undo. 0 measures.",
        ge=0,
        le=256,
    )
    precision: Literal["auto", "fp32", "fp64", "exact"] = setting(
        "auto",
        "Precision of the streams",
        "Automatic: the cheapest that rebuilds every block's input on this model, measured first.",
        labels={"auto": "Automatic", "fp32": "32-bit", "fp64": "64-bit", "exact": "Exact (remainders stored)"},
    )

    families: ClassVar[tuple[str, ...]] = tried_families(plain_blocks=True)

    learning_rate: ClassVar[LearningRate] = LearningRate(5e-4, "the authors', who go up to 8e-4")

    @property
    def opens_in_peft(self) -> bool:
        return False

    @property
    def can_merge(self) -> bool:
        return False

    def kept_streams(self, layers: int) -> float:
        """Two streams in 64 bits, and for as many blocks as whole numbers are
        needed the remainders of the divisions.
        """
        deep = self.precision == "exact" or (self.precision == "auto" and layers > FLAT)
        remainder = next(bits for bits in (1, 2, 4, 8) if 2**bits >= (self.divisor or AUTOMATIC[1]))
        number = 4 if self.precision == "fp32" else 8  # bytes
        return 2 * number + deep * layers * remainder / 8

    # ---- training

    def attach(
        self, model: "PreTrainedModel", task_type: str | None = "CAUSAL_LM", gradient_checkpointing: bool = False
    ) -> Any:
        """The blocks coupled, adapters in place.

        Checkpointing is not switched on: there is nothing left to save with it.
        """
        from .parts.adapted import AdaptedModel, beside_feed_forward
        from .parts.blocks import stacks
        from .parts.reversible import ARITHMETICS, Stack, turn_around

        found = stacks(model)
        if len(found) > 1:
            raise UserError(
                "method.meft_stacks",
                "MEFT turns one stack of blocks around; a {model} has {count}. Choose LoRA.",
                model=type(model).__name__,
                count=len(found),
            )
        beside_feed_forward(model, self.rank, self.dropout)
        precision, divisor = self._candidates()[0]
        stack = Stack(ARITHMETICS[precision](divisor))
        turn_around(found[0], stack, model.config.hidden_size, self.rank, self.dropout)
        adapted = AdaptedModel(model)
        adapted.stack, adapted.figures = stack, {"precision": precision, "divisor": divisor}
        return adapted

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        """Two bottlenecks a block, one in the last."""
        hidden = block[0].inputs
        return (2 * layers - 1) * (2 * hidden * self.rank + self.rank + hidden)

    def before_first_step(self, model: Any, batch: dict[str, Any]) -> list[str]:
        """Which precision rebuilds the inputs of all blocks on this model, and
        what the coupling does to it at the start.
        """
        import torch

        forward_passes: list[Any] = []
        was_training = model.training
        model.eval()
        with torch.no_grad():
            with model.disable_adapter():
                base = model(**batch).loss.item()
            model.stack.listener = lambda hidden, calls: forward_passes.append((hidden, calls))
            model(**batch)
            model.stack.listener = None
            errors = self._choose(model, *forward_passes[0])
            start = model(**batch).loss.item()
        model.train(was_training)
        model.figures |= {"reconstruction_error": errors, "base_loss": base, "start_loss": start}
        return [
            *self._said(model, errors),
            f"Coupled like this the model begins with a loss of {start:.3f} on the first examples; "
            f"the base has {base:.3f}.",
        ]

    def _candidates(self) -> list[tuple[str, int]]:
        """(precision, divisor), cheapest first; of those that cost the same, what begins nearest to the base.

        Halving, as often as 64 bits have room for it, is undone exactly, so the automatic divisors are powers of two.
        """
        divisors = (self.divisor,) if self.divisor else AUTOMATIC
        which = {"fp32": divisors[-1:], "fp64": divisors, "exact": divisors[-2:][:1]}
        names = ORDER if self.precision == "auto" else (self.precision,)
        return [(name, divisor) for name in names for divisor in which[name]]

    def _choose(self, model: Any, hidden: Any, calls: Any) -> dict[str, float]:
        """Set the model to the first candidate that holds; {precision and divisor:
        measured error} of all that were tried.
        """
        from .parts.reversible import ARITHMETICS, reconstruction_error

        errors: dict[str, float] = {}
        for name, divisor in self._candidates():
            model.stack.arithmetic = ARITHMETICS[name](divisor)
            model.figures |= {"precision": name, "divisor": divisor}
            error = errors[f"{name} / {divisor}"] = reconstruction_error(model.stack, hidden, calls)
            if error <= HOLDS:
                break
        return errors

    def _said(self, model: Any, errors: dict[str, float]) -> list[str]:
        """What was tried and what is taken, with its price."""
        *failed, (_, error) = errors.items()
        blocks, taken, divisor = len(model.stack.turns), model.figures["precision"], model.figures["divisor"]
        last_tried = {name.partition(" / ")[0]: (name.partition(" / ")[2], e) for name, e in failed}
        last_tried.pop(taken, None)
        notices = [
            f"In {BITS[name]} bits, what the {blocks} blocks were given would come back {_percent(e)} % wrong "
            f"(divisor {tried})."
            for name, (tried, e) in last_tried.items()
        ]
        kept, checkpointed = model.stack.arithmetic.bytes_kept(blocks), blocks * model.dtype.itemsize
        grows = kept - model.stack.arithmetic.bytes_kept(0)
        if error > USELESS:
            return [
                *notices,
                f"What the {blocks} blocks were given comes back {_percent(error)} % wrong with the precision and "
                f"divisor "
                f"chosen ({taken}, {divisor}): the gradients are useless. Set the precision to automatic.",
            ]
        if taken == "exact":
            return [
                *notices,
                f"In whole numbers with stored remainders it comes back bit by bit (divisor {divisor}). A step keeps "
                f"{kept:g} "
                f"bytes for each number of the hidden state, {grows:g} of them because of the {blocks} blocks; with "
                f"gradient "
                f"checkpointing it would keep {checkpointed}.",
            ]
        return [
            *notices,
            f"In {BITS[taken]} bits it comes back {_percent(error)} % wrong (divisor {divisor}), which holds. A step "
            f"keeps "
            f"{kept:g} bytes for each number of the hidden state, however deep the model; with gradient checkpointing "
            f"it would "
            f"keep {checkpointed}.",
        ]

    # ---- the folder

    def save(self, model: Any, folder: Path) -> None:
        model.save(
            folder, self.model_dump() | {"computed_with": [model.figures["precision"], model.figures["divisor"]]}
        )

    def resume(self, model: Any, folder: Path) -> None:
        """With the precision and divisor it was trained with, whatever a measurement would choose now."""
        import json

        from .parts.adapted import CONFIG, tensors_of
        from .parts.reversible import ARITHMETICS

        precision, divisor = json.loads(read_text(folder / CONFIG))["computed_with"]
        model.stack.arithmetic = ARITHMETICS[precision](divisor)
        model.figures |= {"precision": precision, "divisor": divisor}
        model.load_state(tensors_of(folder))

    def finish(self, model: Any, folder: Path) -> dict[str, Any]:
        return model.figures

    def load(self, model: "PreTrainedModel", folder: Path) -> Any:
        adapted = self.attach(model)
        self.resume(adapted, folder)
        return adapted.requires_grad_(False)

    @contextlib.contextmanager
    def from_disk(self, model: Any, folder: Path) -> Iterator[None]:
        with model.set_aside():
            self.resume(model, folder)
            yield


def _percent(error: float) -> str:
    """0.0031 -> "0.31"; nothing can be more than entirely wrong."""
    if error < 1:
        return f"{100 * error:.2g}"
    return "100"
