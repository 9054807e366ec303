"""AdaMix: several adapters in each place while training, their mean afterwards."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.families import names_in_use
from ..base_models.shapes import LinearShape
from ..choices import setting
from ..messages import OPTIONS
from .card import Card, LearningRate
from .fitting import check_fits
from .method import MethodChoices

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel

QUERY_VALUE = set(names_in_use("query", "value"))
FUSED = set(names_in_use("fused", "fused_by_head"))  # query, key and value in one matrix: taken whole


class AdaMixMethod(MethodChoices):
    """`experts` adapters in each place (`parts.experts`); each forward pass draws one of them.

    `loss` runs the second pass and adds the symmetric KL between the two; `finish`
    takes the mean of the experts' weights.
    """

    card: ClassVar[Card] = Card(
        what=(
            "In each place not one adapter learns but several, and each pass of the training takes one of them at "
            "random. Two passes over the same examples must agree, which keeps the adapters close, and at the end "
            "their mean becomes one ordinary adapter."
        ),
        paper="Wang et al. 2022, AdaMix (EMNLP; arXiv 2205.12410).",
        choose=(
            "When there are few examples and time enough: it learns like an ensemble and answers at the "
            "price of one adapter."
        ),
        cost=(
            "A step makes two passes and takes 2.4 times as long as LoRA's, 1.6 times with bottlenecks (measured here "
            "on a CPU), with several times as much to learn. Inference costs what one adapter costs; of LoRA's kind it"
            " is saved as plain LoRA, which every tool opens."
        ),
        is_not=(
            "It is not a mixture of experts at inference: nothing is routed when it answers. The authors' bottlenecks "
            "begin at random; here they begin as nothing, so that training starts from the pretrained model."
        ),
    )

    name: Literal["adamix"] = setting("adamix", "Method", "How the model is changed.", labels={"adamix": "AdaMix"})
    kind: Literal["lora", "houlsby"] = setting(
        "lora",
        "Kind of adapter",
        "LoRA beside linear layers, or Houlsby's bottleneck behind each feed-forward part.",
        labels={"lora": "LoRA", "houlsby": "Bottleneck (Houlsby)"},
    )
    experts: int = setting(
        4, "Adapters in each place", "How many learn side by side until their mean is taken.", ge=1, le=32
    )
    share_up: bool = setting(
        True,
        "Share the way up",
        "One matrix leads back up for all of them, as in the paper: the mean of their outputs is then exact.",
    )
    rank: int = setting(8, "Rank", "Size of each adapter. More learns more and takes more memory.", ge=1, le=512)
    alpha: int = setting(
        16, "Alpha", "Strength of the adapter; usually one to two times the rank. LoRA only.", ge=1, le=1024
    )
    dropout: float = setting(
        0.1, "Dropout", "Share of adapter inputs dropped while training; guards small data.", ge=0, lt=1
    )
    layers: Literal["all-linear", "query-value"] = setting(
        "all-linear",
        "Layers",
        "Where LoRA is put; the paper adapts queries and values. Bottlenecks have one place only.",
        labels={"all-linear": "All linear layers", "query-value": "Query and value"},
    )
    consistency: float = setting(
        1.0,
        "Consistency",
        "Weight of the loss that makes two passes agree. The paper takes 1 for labels, 100 for text.",
        ge=0,
        le=1000,
    )

    can_begin_with_adapter = False
    leaves_some_unused = True
    learning_rate: ClassVar[LearningRate] = LearningRate(2e-4, "the authors', for text")

    @property
    def supports_mixed_batch(self) -> bool:
        return self.kind == "lora"

    @property
    def forward_passes(self) -> int:
        if self.consistency:
            return 2
        return 1

    @property
    def opens_in_peft(self) -> bool:
        return self.kind == "lora"

    # ---- training

    def attach(
        self, model: "PreTrainedModel", task_type: str | None = "CAUSAL_LM", gradient_checkpointing: bool = False
    ) -> Any:
        """The model with all experts in place, each a copy of one that changes nothing yet."""
        from .parts.experts import Experts, mix_lora

        if self.kind == "lora":
            adapted = super().attach(model, task_type, gradient_checkpointing)
            mix_lora(adapted, self.experts, self.share_up)
        else:
            if gradient_checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": False})
                model.enable_input_require_grads()
            adapted = self._with_bottlenecks(model)
            for adapter in adapted.adapters():
                adapter.down = Experts(adapter.down, self.experts)
                if not self.share_up:
                    adapter.up = Experts(adapter.up, self.experts)
        adapted.predicts_the_next = task_type == "CAUSAL_LM"
        return adapted

    def _with_bottlenecks(self, model: "PreTrainedModel") -> Any:
        from .parts.adapted import AdaptedModel, behind_feed_forward

        behind_feed_forward(model, self.rank, self.dropout)
        return AdaptedModel(model)

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "LoraConfig":
        from peft import LoraConfig

        here = {name.rpartition(".")[2] for name, _ in model.named_modules()}
        targets = "all-linear" if self.layers == "all-linear" else sorted(here & QUERY_VALUE or here & FUSED)
        return LoraConfig(
            task_type=task_type, r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=targets
        )

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        """`experts` matrices down, and one matrix up where it is shared, else as many; with biases for "houlsby"."""
        ups = 1 if self.share_up else self.experts
        if self.kind == "houlsby":
            hidden, parts = block[0].inputs, sum(m.role == "down" for m in block)
            return layers * parts * (self.experts * self.rank * (hidden + 1) + ups * hidden * (self.rank + 1))
        adapted = block if self.layers == "all-linear" else [m for m in block if m.role in ("query", "value")]
        return self.rank * layers * sum(self.experts * m.inputs + ups * m.outputs for m in adapted)

    def loss(self, model: Any, inputs: dict[str, Any], outputs: Any) -> "torch.Tensor | None":
        """How far a second pass with other experts is from the first.

        The second one's own loss does not count, as published.
        """
        from .parts.experts import consistency

        if not model.training or not self.consistency:
            return None
        again = model(**{name: value for name, value in inputs.items() if name != OPTIONS}).logits
        first, labels = outputs.logits, inputs["labels"]
        if "shift_labels" in inputs:  # packed: there are logits only where the next token is learned
            first, again, labels = first.flatten(0, -2), again.flatten(0, -2), inputs["shift_labels"].flatten()
        elif model.predicts_the_next:
            first, again, labels = first[:, :-1], again[:, :-1], labels[:, 1:]
        return self.consistency * consistency(first, again, labels)

    # ---- the folder

    def save(self, model: Any, folder: Path) -> None:
        if self.kind == "lora":
            super().save(model, folder)
        else:
            model.save(folder, self.model_dump())

    def resume(self, model: Any, folder: Path) -> None:
        from .parts.adapted import tensors_of

        if self.kind == "lora":
            super().resume(model, folder)
        else:
            model.load_state(tensors_of(folder))

    def finish(self, model: Any, folder: Path) -> dict[str, Any]:
        """All experts become their mean: one adapter, saved as such.

        The figures: what learned, and what is left of it.
        """
        from .parts.experts import average

        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        groups = average(model)
        self.save(model, folder)
        kept = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name or ".adapter." in name)
        return {
            "averaged": groups,
            "experts": self.experts,
            "learned_parameters": learned,
            "kept_parameters": kept,
            "in_words": f"The mean of {self.experts} adapters is kept: {kept:,} of {learned:,} learned parameters.",
        }

    @property
    def can_merge(self) -> bool:
        return self.kind == "lora"

    def load(self, model: "PreTrainedModel", folder: Path) -> Any:
        """One adapter; of a checkpoint, the mean of its experts as they are now."""
        from .parts.adapted import tensors_of
        from .parts.experts import averaged_tensors

        tensors = averaged_tensors(tensors_of(folder))
        if self.kind == "houlsby":
            adapted = self._with_bottlenecks(model)
            adapted.load_state(tensors)
            return adapted.requires_grad_(False)
        from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

        adapted = get_peft_model(model, PeftConfig.from_pretrained(str(folder)))
        check_fits(adapted, folder, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
        set_peft_model_state_dict(adapted, tensors)
        return adapted.requires_grad_(False)

    @contextlib.contextmanager
    def from_disk(self, model: Any, folder: Path) -> Iterator[None]:
        of_kind = super().from_disk(model, folder) if self.kind == "lora" else model.set_aside()
        with of_kind:
            if self.kind == "houlsby":
                self.resume(model, folder)
            yield
