"""(IA)3 and, with its two losses over answer options, T-Few."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.families import tried_families
from ..base_models.shapes import LinearShape
from ..choices import setting
from ..errors import Problem
from ..formatting import TASK_NAMES
from ..messages import OPTIONS
from .card import Card, LearningRate
from .layers import scaled_layers
from .method import MethodChoices

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel

WRITTEN = ("chat", "text_to_text")  # tasks whose answers are texts, so that one of them can be read in place of another


class Ia3Method(MethodChoices):
    """PEFT's IA3Config on the layers that `layers.scaled_layers` finds: a vector [outputs] for keys and values,
    [inputs] for the last layer of the feed-forward part. `loss` adds T-Few's two losses over answer options.
    """

    card: ClassVar[Card] = Card(
        what=(
            "Keys, values and the inner activation of the feed-forward part are multiplied by learned scales; nothing "
            "else changes. With the two losses over answer options it is T-Few, which learns a task from a few dozen "
            "examples."
        ),
        paper="Liu et al. 2022 (arXiv 2205.05638).",
        choose=("When there are few examples, or when thousands of adapters are to be kept: one takes kilobytes."),
        cost=(
            "Hardly any learned parameters, 0.01 % of the model (from the paper); at inference nothing once merged. "
            "The losses read every example once more for each of its options."
        ),
        is_not=(
            "It is not what PEFT attaches by default on some families: there queries are scaled instead of keys, and "
            "on BERT a layer of the attention too. Here the scales stand where the paper puts them, on every family."
        ),
    )

    name: Literal["ia3"] = setting("ia3", "Method", "How the model is changed.", labels={"ia3": "(IA)3"})
    unlikelihood: float = setting(
        0.0,
        "Unlikelihood",
        "Weight of the loss that makes wrong answers unlikely; 1 in T-Few. They come from a column of options, or are "
        "the few different answers of the data.",
        ge=0,
        le=100,
    )
    length_normalized: float = setting(
        0.0,
        "Length-normalized choice",
        "Weight of the loss that makes the right answer the likeliest, token for token; 1 in T-Few.",
        ge=0,
        le=100,
    )

    families = tried_families()
    learning_rate: ClassVar[LearningRate] = LearningRate(3e-3, "T-Few's, for every task")

    @property
    def option_losses(self) -> tuple[str, ...]:
        return tuple(name for name in ("unlikelihood", "length_normalized") if getattr(self, name))

    def problems(self, precision: str, family: str, task: str) -> dict[str, Problem]:
        problems = super().problems(precision, family, task)
        if task and task not in WRITTEN:
            why = Problem(
                "method.no_options_to_read",
                "In the task {task} there are no answer options to be read. Set it to 0.",
                task=TASK_NAMES[task],
            )
            problems |= {f"method.{name}": why for name in self.option_losses}
        return problems

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "PeftConfig":
        from peft import IA3Config

        keys, fused, down = scaled_layers(model)
        return IA3Config(task_type=task_type, target_modules=[*keys, *fused, *down], feedforward_modules=down)

    def attach(
        self, model: "PreTrainedModel", task_type: str | None = "CAUSAL_LM", gradient_checkpointing: bool = False
    ) -> "PeftModel":
        fused = scaled_layers(model)[1]
        attached = super().attach(model, task_type, gradient_checkpointing)
        for name in fused:
            _hold_queries(model, name)
        return attached

    def loss(self, model: "PeftModel", inputs: dict[str, Any], outputs: Any) -> "torch.Tensor | None":
        """T-Few's two losses; `inputs["options"]` holds every answer option of every example, in rows."""
        from .answer_options import length_normalized, option_scores, unlikelihood

        if not self.option_losses or OPTIONS not in inputs:
            return None
        scores = option_scores(model, inputs[OPTIONS])
        total = scores.tokens.sum() * 0
        if self.unlikelihood:
            total = total + self.unlikelihood * unlikelihood(scores)
        if self.length_normalized:
            total = total + self.length_normalized * length_normalized(scores)
        return total

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        """One scale for each key, each value and each number between the two halves of the feed-forward part."""
        rescaled_outputs = sum(m.outputs for m in block if m.role in ("key", "value"))
        rescaled_inputs = sum(m.inputs for m in block if m.role == "down")
        return layers * (rescaled_outputs + rescaled_inputs)


def _hold_queries(model: "PreTrainedModel", name: str) -> None:
    """A fused layer gives queries too, which (IA)3 does not scale: their scales get no gradient and stay at one."""
    import torch

    scale = model.get_submodule(name).ia3_l["default"]
    config = model.config
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    learns = torch.ones_like(scale)
    learns[:width] = 0
    scale.register_hook(lambda gradient: gradient * learns.to(gradient.device))
