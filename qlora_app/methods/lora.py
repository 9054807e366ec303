"""LoRA and, on a 4-bit base, QLoRA."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..choices import Choices, setting

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj", "c_attn", "query_key_value", "qkv_proj"]


class LoraMethod(Choices):
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

    def attach(self, model: "PreTrainedModel", gradient_checkpointing: bool = False) -> "PeftModel":
        """The model with a fresh adapter that changes nothing yet (its B matrices are zero)."""
        from peft import LoraConfig, get_peft_model

        # PEFT's preparation for quantized models would turn embeddings, output head and norms into 32-bit copies: 2 GB more for
        # a model of 8 billion parameters, for numbers that are frozen anyway.
        if gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.enable_input_require_grads()
        return get_peft_model(model, LoraConfig(
            task_type="CAUSAL_LM", r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout,
            use_rslora=self.rank_stabilized, target_modules=self._targets(model)))

    def _targets(self, model: "PreTrainedModel") -> str | list[str]:
        if self.layers == "all-linear":
            return "all-linear"
        here = {name.rpartition(".")[2] for name, _ in model.named_modules()}
        return [name for name in ATTENTION if name in here]

    @staticmethod
    def load(model: "PreTrainedModel", folder: Path) -> "PeftModel":
        """The model with the adapter of `folder`, for answering (nothing in it requires gradients)."""
        from peft import PeftModel

        return PeftModel.from_pretrained(model, str(folder), is_trainable=False)
