"""LoRA and, on a 4-bit base, QLoRA."""

from typing import TYPE_CHECKING, ClassVar, Literal

from ..choices import setting
from .method import Matrix, MethodChoices

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj", "c_attn", "query_key_value", "qkv_proj"]


class LoraMethod(MethodChoices):
    """LoRA: two small matrices beside each chosen linear layer learn, the base stays as it is.

    Hu et al. 2021 (arXiv 2106.09685); on an NF4 base with double quantization it is QLoRA, Dettmers et al. 2023 (arXiv 2305.14314).
    """

    name: Literal["lora"] = setting("lora", "Method", "How the model is changed.", labels={"lora": "LoRA"})
    rank: int = setting(16, "Rank", "Size of the adapter. More learns more and takes more memory.", ge=1, le=512)
    alpha: int = setting(32, "Alpha", "Strength of the adapter; usually one to two times the rank.", ge=1, le=1024)
    dropout: float = setting(0.05, "Dropout", "Share of adapter inputs dropped while training; guards small data.", ge=0, lt=1)
    layers: Literal["all-linear", "attention"] = setting(
        "all-linear", "Layers", "QLoRA found that adapters on all linear layers are needed to match full fine-tuning.",
        labels={"all-linear": "All linear layers", "attention": "Attention only"})
    rank_stabilized: bool = setting(
        False, "Rank-stabilized scaling", "Scales by 1/sqrt(rank) instead of 1/rank (rsLoRA); helps large ranks.")

    answers_beside_base: ClassVar[bool] = True

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "PeftConfig":
        from peft import LoraConfig

        return LoraConfig(task_type=task_type, r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout,
                          use_rslora=self.rank_stabilized, target_modules=self._targets(model))

    def trainable(self, block: list[Matrix], layers: int) -> int:
        """rank times the inputs and outputs of every adapted matrix."""
        adapted = block if self.layers == "all-linear" else [m for m in block if m.role in ("query", "key", "value", "output")]
        return self.rank * layers * sum(m.inputs + m.outputs for m in adapted)

    def _targets(self, model: "PreTrainedModel") -> str | list[str]:
        if self.layers == "all-linear":
            return "all-linear"
        here = {name.rpartition(".")[2] for name, _ in model.named_modules()}
        return [name for name in ATTENTION if name in here]
