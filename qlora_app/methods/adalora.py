"""AdaLoRA: a LoRA that moves its ranks to the layers that need them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.shapes import LinearShape
from ..choices import setting
from ..errors import Problem
from .card import Card, LearningRate
from .layers import attention_layers, linear_layers
from .method import MethodChoices

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel

WARM, LAST = 0.1, 0.3  # shares of the steps before ranks are taken away, and after
ALLOCATOR = "adalora_allocator.safetensors"  # in a checkpoint: what decides the next steps beside the adapter itself
AVERAGES = ("exp_avg_ipt", "exp_avg_unc")  # of PEFT's RankAllocator; its `ipt` is made anew in each step
EVERY = 10  # steps between two looks at what matters; fewer in a short run


class AdaloraMethod(MethodChoices):
    """PEFT's AdaLoraConfig: y += alpha / rank * P(E * Q(x)) with Q [first_rank, inputs], E [first_rank,
    1] and P [outputs, first_rank] beside each chosen layer. `after_step` lets PEFT's RankAllocator
    zero entries of E by their importance.
    """

    card: ClassVar[Card] = Card(
        what=(
            "The adapter of each layer is three matrices, as in a singular value decomposition. While it trains, the "
            "values that matter least are set to zero, until the ranks have moved to the layers that need them."
        ),
        paper="Zhang et al. 2023, AdaLoRA (arXiv 2303.10512).",
        choose=(
            "When the adapter must be small and the run is long enough for ranks to be compared: some hundred steps."
        ),
        cost=(
            "While training, that of LoRA with the larger rank, and the importance of each value is looked at in every"
            " step; at inference nothing once merged."
        ),
        is_not=(
            "It is not a decomposition of the weights: the three matrices learn a change, kept nearly orthogonal by a "
            "loss of their own."
        ),
    )

    name: Literal["adalora"] = setting("adalora", "Method", "How the model is changed.", labels={"adalora": "AdaLoRA"})
    rank: int = setting(8, "Rank at the end", "The average over all layers that is left.", ge=1, le=256)
    first_rank: int = setting(
        12, "Rank at the beginning", "Of every layer; half as much again as at the end in the paper.", ge=2, le=512
    )
    alpha: int = setting(32, "Alpha", "Strength of the adapter.", ge=1, le=1024)
    dropout: float = setting(
        0.0, "Dropout", "Share of adapter inputs dropped while training; guards small data.", ge=0, lt=1
    )
    orthogonality: float = setting(
        0.5, "Orthogonality", "Weight of the loss that keeps the matrices orthogonal.", ge=0, le=10
    )
    layers: Literal["all-linear", "attention"] = setting(
        "all-linear",
        "Layers",
        "Where it is attached.",
        labels={"all-linear": "All linear layers", "attention": "Attention only"},
    )

    can_begin_with_adapter = False
    schedules_itself = True
    learning_rate: ClassVar[LearningRate] = LearningRate(5e-4, "the authors' for MNLI")

    def problems(self, precision: str, family: str, task: str) -> dict[str, Problem]:
        problems = super().problems(precision, family, task)
        if self.first_rank <= self.rank:
            problems["method.first_rank"] = Problem(
                "method.ranks_not_falling",
                "From rank {first_rank} nothing could be taken away to reach rank {rank}. Begin higher.",
                first_rank=self.first_rank,
                rank=self.rank,
            )
        return problems

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "PeftConfig":
        from peft import AdaLoraConfig

        # Its loss of orthogonality would be part of every measured
        # loss too: here it is added to those of training alone.
        targets = attention_layers(model) if self.layers == "attention" else list(linear_layers(model))
        return AdaLoraConfig(
            task_type=task_type,
            init_r=self.first_rank,
            target_r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            orth_reg_weight=0.0,
            total_step=1,
            target_modules=targets,
        )

    def attach(
        self, model: "PreTrainedModel", task_type: str | None = "CAUSAL_LM", gradient_checkpointing: bool = False
    ) -> "PeftModel":
        attached = super().attach(model, task_type, gradient_checkpointing)
        for name, p in attached.named_parameters():
            if ".ranknum." in name:  # a count; PEFT would let it learn on a base in bf16, and not save it
                p.requires_grad_(False)
        return attached

    def load(self, model: "PreTrainedModel", folder: Path) -> "PeftModel":
        loaded = super().load(model, folder)
        loaded.base_model.trainable_adapter_name = "default"  # PEFT asks for it whenever a loss is computed
        return loaded

    def loss(self, model: "PeftModel", inputs: dict[str, Any], outputs: Any) -> "torch.Tensor | None":
        """How far the outer matrices are from orthogonal ones, the mean over them."""
        import torch

        outer = []
        for name, p in model.named_parameters():
            if ".lora_A." in name:
                outer.append(p)
            elif ".lora_B." in name:
                outer.append(p.T)
        far = [
            torch.linalg.matrix_norm(p @ p.T - torch.eye(len(p), device=p.device, dtype=p.dtype))
            for p in outer
            if p.requires_grad
        ]
        return self.orthogonality * torch.stack(far).mean()

    def after_step(self, model: "PeftModel", step: int, total: int) -> None:
        config = model.peft_config["default"]
        config.total_step, config.tinit, config.tfinal = total, int(WARM * total), int(LAST * total)
        config.deltaT = max(1, min(EVERY, total // 10))
        if total > 1:  # after a single step there is nothing to compare
            model.base_model.update_and_allocate(step)

    def may_end_at(self, step: int, total: int) -> bool:
        """Only where no rank is taken away any more."""
        return step >= total - int(LAST * total)

    def save(self, model: "PeftModel", folder: Path) -> None:
        """Save all rows, those too that were set to zero: PEFT would cut them off, and no training could go on."""
        config = model.peft_config["default"]
        pattern, config.rank_pattern = config.rank_pattern, None
        super().save(model, folder)
        config.rank_pattern = pattern
        self._save_allocator(model, folder)

    @staticmethod
    def _save_allocator(model: "PeftModel", folder: Path) -> None:
        """{average/NAME: like the parameter}, what the values were worth so far;
        {left/NAME: [rank]}, which of them are left.
        """
        import torch
        from safetensors.torch import save_file

        allocator = model.base_model.rankallocator
        state: dict[str, torch.Tensor] = {}
        for average in AVERAGES:
            state |= {f"{average}/{name}": tensor.contiguous() for name, tensor in getattr(allocator, average).items()}
        for name, left in (model.peft_config["default"].rank_pattern or {}).items():
            state[f"left/{name}"] = torch.tensor(left)
        save_file(state, folder / ALLOCATOR)

    def resume(self, model: "PeftModel", folder: Path) -> None:
        """Load the adapter and its allocator; without an allocator's file, what is left is read off the values."""
        from safetensors.torch import load_file

        super().resume(model, folder)
        allocator, config, inside = model.base_model.rankallocator, model.peft_config["default"], model.base_model.model
        if not (folder / ALLOCATOR).exists():
            values = {name: p for name, p in inside.named_parameters() if "lora_E.default" in name}
            config.rank_pattern = {name: (p != 0).flatten().tolist() for name, p in values.items()}
            return
        devices = {name: p.device for name, p in inside.named_parameters()}
        allocator.reset_ipt()
        config.rank_pattern = None
        for key, tensor in load_file(folder / ALLOCATOR).items():
            kind, _, name = key.partition("/")
            if kind == "left":
                config.rank_pattern = (config.rank_pattern or {}) | {name: tensor.tolist()}
            else:
                getattr(allocator, kind)[name] = tensor.to(devices[name])
        # The allocator adds a parameter to its averages where `ipt` does not know it yet.
        allocator.ipt = {name: average.new_zeros(average.shape) for name, average in allocator.exp_avg_ipt.items()}

    def finish(self, model: "PeftModel", folder: Path) -> dict[str, Any]:
        """A finished adapter goes on with nothing."""
        (folder / ALLOCATOR).unlink(missing_ok=True)
        return {}

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        """The two outer matrices and the values between them."""
        adapted = [m for m in block if m.is_attention] if self.layers == "attention" else block
        return layers * sum(self.first_rank * (m.inputs + m.outputs + 1) for m in adapted)
