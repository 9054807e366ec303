"""(IA)3: learned scales on keys, values and the inner activation of the feed-forward part."""

from typing import TYPE_CHECKING, Literal

from ..choices import setting
from .method import Matrix, MethodChoices

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


class Ia3Method(MethodChoices):
    """(IA)3: keys, values and the inner activation of the feed-forward part are multiplied by learned scales, and nothing else changes.

    Paper: Liu et al. 2022 (arXiv 2205.05638).
    """

    name: Literal["ia3"] = setting("ia3", "Method", "How the model is changed.", labels={"ia3": "(IA)3"})

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "PeftConfig":
        from peft import IA3Config

        return IA3Config(task_type=task_type, target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])

    def trainable(self, block: list[Matrix], layers: int) -> int:
        return layers * sum(m.inputs if m.role == "down" else m.outputs for m in block if m.role in ("key", "value", "down"))
