"""QA-LoRA: an adapter that ends inside the zero points of a group-wise quantized base."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.shapes import LinearShape
from ..choices import setting
from ..errors import Problem
from .card import Card
from .fitting import check_fits
from .method import MethodChoices

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

INT_FOLDER = "merged"  # beside the adapter: the quantized model with the adapter in it
PROBED = 256  # tokens of the first batch, on which merging is measured at the end


class QaLoraMethod(MethodChoices):
    """A LoRA on the sums of groups: A [rank, inputs / group] and B [outputs, rank] beside a base that
    `parts.groups.GroupedLinear` holds in codes of `bits` bits. Its product has one number for each group and output, as
    the zero points have (eq. 5 of the paper), so that `finish` adds it to them.
    """

    card: ClassVar[Card] = Card(
        what=(
            "The base is rounded to 4, 3 or 2 bits in small groups of inputs, and a LoRA learns on the sum of each "
            "group. At the end it goes into the groups' zero points exactly, so what is left is a quantized model of "
            "the same size, its codes unchanged."
        ),
        paper="Xu et al. 2024, QA-LoRA (ICLR; arXiv 2309.14717).",
        choose=(
            "When the result shall run quantized and without an adapter beside it. Merging LoRA into NF4 "
            "rounds a part of what was learned away, this loses nothing; both are measured at the end of every run."
        ),
        cost=(
            "A training step takes as long as QLoRA's (measured here on a CPU), with about half its parameters to "
            "learn. The base is read in 16 or 32 bits and then rounded layer by layer, so the start needs memory for "
            "it whole. Merged, inference costs nothing extra; a weight takes 5.5 bits with 4-bit codes in groups of "
            "32, because zero points stay numbers of 32 bits."
        ),
        is_not=(
            "It is not a decomposition of the weights, and not rounding after training: the base is rounded first. The"
            " paper rounds with GPTQ, which needs texts to measure on; here it is rounding to nearest within the best "
            "range of each group."
        ),
    )

    name: Literal["qalora"] = setting("qalora", "Method", "How the model is changed.", labels={"qalora": "QA-LoRA"})
    rank: int = setting(16, "Rank", "Size of the adapter. More learns more and takes more memory.", ge=1, le=512)
    alpha: int = setting(
        4,
        "Alpha",
        "Strength of the adapter; a quarter of the rank in the paper, for the sum of a group is large.",
        ge=1,
        le=1024,
    )
    dropout: float = setting(
        0.05, "Dropout", "Share of adapter inputs dropped while training; guards small data.", ge=0, lt=1
    )
    bits: int = setting(
        4, "Bits", "Size of a weight's code. 3 and 2 save memory and cost the base much of what it knows.", ge=2, le=4
    )
    group: int = setting(
        32,
        "Group size",
        "Inputs that share a scale and a zero point. Smaller is more exact and learns more.",
        ge=8,
        le=512,
    )

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")
    quantizes_itself: ClassVar[bool] = True

    @property
    def weight_bits(self) -> float:
        return self.bits + (16 + 32) / self.group  # a scale in 16 and a zero point in 32 bits a group

    @property
    def opens_in_peft(self) -> bool:
        return False

    def how_else_opened(self, folder: str) -> str:
        return f"""
`{INT_FOLDER}/` holds the quantized model with the adapter in its zero points. It needs neither the base nor the
adapter:

```python
from pathlib import Path
from transformers import AutoTokenizer
from qlora_app.methods.parts.groups import open_merged

model = open_merged(Path("{folder}/{INT_FOLDER}"))
tokenizer = AutoTokenizer.from_pretrained("{folder}")
```
"""

    def problems(self, precision: str, family: str, task: str) -> dict[str, Problem]:
        problems = super().problems(precision, family, task)
        if "base_model.precision" in problems:
            problems["base_model.precision"] = Problem(
                "method.rounds_itself",
                "QA-LoRA rounds the base to {bits} bits itself, and in {precision} it would be rounded already. "
                "Choose 32-bit or 16-bit here.",
                bits=self.bits,
                precision=precision,
            )
        return problems

    def attach(
        self, model: "PreTrainedModel", task_type: str | None = "CAUSAL_LM", gradient_checkpointing: bool = False
    ) -> "PeftModel":
        """As always, on a base that is rounded first. Raises UserError where the group size does not fit the model."""
        from .parts.groups import quantize_blocks

        quantize_blocks(model, self.bits, self.group)
        return super().attach(model, task_type, gradient_checkpointing)

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "LoraConfig":
        from .parts.groups import config_for

        return config_for(model, task_type, self.rank, self.alpha, self.dropout)

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        """One input for each group."""
        return self.rank * layers * sum(m.inputs // self.group + m.outputs for m in block)

    def before_first_step(self, model: "PeftModel", batch: dict[str, Any]) -> list[str]:
        ids = batch["input_ids"][:1, :PROBED]
        model.probe = {"input_ids": ids}
        if model.config.is_encoder_decoder:
            model.probe["decoder_input_ids"] = ids
        return []

    def finish(self, model: "PeftModel", folder: Path) -> dict[str, Any]:
        """Merge the adapter into the zero points, and save the merged model into `folder`.

        Returns what merging changed of what was learned, and what it would change in NF4.
        """
        from .parts.groups import lost_in_merging, pooled_layers, save_merged

        for layer in pooled_layers(model).values():
            layer.merge()
        model.eval()
        save_merged(model, folder / INT_FOLDER, self.bits, self.group)
        if not hasattr(model, "probe"):
            return {}
        lost = lost_in_merging(model, model.probe)
        return lost | {
            "in_words": f"Merging into the zero points lost {lost['merge_error']:.1e} of what was learned; merged "
            f"into NF4 "
            f"it would be {lost['nf4_merge_error']:.2g}."
        }

    def load(self, model: "PreTrainedModel", folder: Path) -> "PeftModel":
        """Merged, as it was saved at the end; of a checkpoint with the adapter beside the base. Raises UserError."""
        from peft import PeftConfig, PeftModel

        from .parts.groups import quantize_blocks, take_merged

        quantize_blocks(model, self.bits, self.group)
        saved = PeftConfig.from_pretrained(str(folder))
        config = self.config(model, saved.task_type)
        config.modules_to_save = saved.modules_to_save  # new parts of the model, such as a head with its pooler
        adapted = PeftModel.from_pretrained(model, str(folder), config=config, is_trainable=False)
        check_fits(adapted, folder)
        if (folder / INT_FOLDER).is_dir():
            take_merged(adapted, folder / INT_FOLDER)
        return adapted

    def merge(self, model: "PreTrainedModel", folder: Path) -> "PreTrainedModel":
        """Each weight as its code, scale and zero point say it, which is no rounding."""
        from .parts.groups import with_plain_layers

        return with_plain_layers(self.load(model, folder))

    @contextlib.contextmanager
    def from_disk(self, model: "PeftModel", folder: Path) -> Iterator[None]:
        """Codes and scales on disk are compared bit by bit, and the zero points are those of the disk."""
        from .parts.groups import pooled_layers, take_merged

        layers = pooled_layers(model).values()
        in_memory = [layer.merged_zeros for layer in layers]
        take_merged(model, folder / INT_FOLDER)
        try:
            yield
        finally:
            for layer, zeros in zip(layers, in_memory, strict=True):
                layer.merged_zeros = zeros
