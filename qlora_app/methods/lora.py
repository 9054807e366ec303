"""LoRA with its current variants and, on a 4-bit base, QLoRA."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.shapes import LinearShape
from ..choices import setting
from ..errors import Problem
from .card import Card, LearningRate
from .layers import attention_layers, named_layers
from .method import MethodChoices

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel


class LoraMethod(MethodChoices):
    """PEFT's LoraConfig: y += alpha / rank * B(A(x)) with A [rank, inputs] and B [outputs, rank] beside each chosen
    linear layer; B begins at zero. With `rank_stabilized` the factor is alpha / sqrt(rank), with `weight_decomposed`
    (DoRA) each output's length is a parameter too; `lora_init` replaces A and B at the start for LoftQ and PiSSA.
    """

    card: ClassVar[Card] = Card(
        what=(
            "Two small matrices beside each chosen linear layer learn, and their product is added to what the layer "
            "gives. The base stays as it is; on a base in 4-bit NF4 this is QLoRA."
        ),
        paper=(
            "Hu et al. 2021 (arXiv 2106.09685), Dettmers et al. 2023 (arXiv 2305.14314); rsLoRA: Kalajdzievski 2023 "
            "(arXiv 2312.03732); DoRA: Liu et al. 2024 (arXiv 2402.09353); LoftQ: Li et al. 2023 (arXiv 2310.08659); "
            "PiSSA: Meng et al. 2024 (arXiv 2404.02948)."
        ),
        choose="First: it is the best understood method, and every tool opens what it makes.",
        cost=(
            "While training, the adapter with its gradients and moments, and more work than the base alone; at "
            "inference nothing once it is merged. DoRA takes 1.5 times as long a step (measured here)."
        ),
        is_not=(
            "It is not an approximation of the weights: what it learns is a change of low rank. Merged into 4-bit "
            "weights it is rounded with them; merged into unpacked ones it is exact."
        ),
    )

    name: Literal["lora"] = setting("lora", "Method", "How the model is changed.", labels={"lora": "LoRA"})
    rank: int = setting(16, "Rank", "Size of the adapter. More learns more and takes more memory.", ge=1, le=512)
    alpha: int = setting(32, "Alpha", "Strength of the adapter; usually one to two times the rank.", ge=1, le=1024)
    dropout: float = setting(
        0.05, "Dropout", "Share of adapter inputs dropped while training; guards small data.", ge=0, lt=1
    )
    layers: Literal["all-linear", "attention", "named"] = setting(
        "all-linear",
        "Layers",
        "QLoRA found that adapters on all linear layers are needed to match full fine-tuning.",
        labels={"all-linear": "All linear layers", "attention": "Attention only", "named": "Those named below"},
    )
    layer_names: list[str] = setting(
        [], "Layer names", "One a line, such as q_proj. A name the model does not have is answered with those it has."
    )
    rank_stabilized: bool = setting(
        False, "rsLoRA", "Rank-stabilized: scales by 1/sqrt(rank) instead of 1/rank; helps large ranks."
    )
    weight_decomposed: bool = setting(
        False,
        "DoRA",
        "Magnitude and direction of each weight vector learn apart. Helps small ranks.",
    )
    initialisation: Literal["default", "loftq", "pissa"] = setting(
        "default",
        "Initialisation",
        "Where the adapter begins. LoftQ begins with what 4-bit rounding took away, PiSSA with the largest "
        "directions of the weights.",
        labels={"default": "Default", "loftq": "LoftQ", "pissa": "PiSSA"},
    )
    train_embeddings: bool = setting(
        False,
        "Train embeddings",
        "Learn the embeddings and the output head whole, for new words or languages. Takes much memory.",
    )

    divides_base = True
    learning_rate: ClassVar[LearningRate] = LearningRate(2e-4, "QLoRA's, up to 13B")

    @property
    def supports_mixed_batch(self) -> bool:
        return not self.weight_decomposed and not self.train_embeddings

    @property
    def is_plain_peft(self) -> bool:
        """LoftQ and PiSSA begin, and embeddings learn, in a way of our own."""
        return type(self) is LoraMethod and self.initialisation == "default" and not self.train_embeddings

    @property
    def stands_beside(self) -> bool:
        return True

    @property
    def can_be_weighted(self) -> bool:
        """Not DoRA, whose magnitudes stay what they are, nor layers that learned whole: no strength is between them."""
        return not self.weight_decomposed and not self.train_embeddings

    @property
    def learns_embeddings(self) -> bool:
        return self.train_embeddings

    @property
    def in_one_step(self) -> bool:
        return not self.weight_decomposed

    @property
    def needs_its_precision(self) -> bool:
        return self.initialisation == "loftq"  # it makes up for what rounding took away, which a whole base still has

    def problems(self, precision: str, family: str, task: str) -> dict[str, Problem]:
        problems = super().problems(precision, family, task)
        if self.initialisation == "loftq" and precision not in ("nf4", "fp4"):
            problems["method.initialisation"] = Problem(
                "method.loftq_needs_4_bits",
                "LoftQ makes up for what rounding to 4 bits takes away, and the base is held in {precision}. Choose "
                "a base in 4 bits, or another initialisation.",
                precision=precision,
            )
        if self.weight_decomposed and precision == "int8":
            problems["method.weight_decomposed"] = Problem(
                "method.dora_int8", "DoRA cannot measure 8-bit weights on a CPU. Choose a base in 4 or 16 bits."
            )
        if self.initialisation != "default" and self.weight_decomposed:
            problems["method.weight_decomposed"] = Problem(
                "method.dora_starts_otherwise",
                "DoRA measures the weights before LoftQ or PiSSA has begun. Choose one of the two.",
            )
        if self.initialisation == "pissa" and self.dropout:
            problems["method.dropout"] = Problem(
                "method.pissa_dropout",
                "PiSSA takes away what the adapter began with, which dropout would take away only in part. Set it to "
                "0.",
            )
        if self.layers == "named" and not self.layer_names:
            problems["method.layer_names"] = Problem(
                "method.no_layers_named", "Name at least one layer, for example q_proj."
            )
        return problems

    def layers_named(self) -> list[str]:
        if self.layers != "named":
            return []
        return self.layer_names

    def attach(
        self, model: "PreTrainedModel", task_type: str | None = "CAUSAL_LM", gradient_checkpointing: bool = False
    ) -> "PeftModel":
        from .lora_init import init_loftq, init_pissa

        attached = super().attach(model, task_type, gradient_checkpointing)
        if self.initialisation == "loftq":
            init_loftq(attached, Path(getattr(model, "opened_from", model.name_or_path)))
        if self.initialisation == "pissa":
            init_pissa(attached)
        tie(attached)
        return attached

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "PeftConfig":
        from peft import LoraConfig

        return LoraConfig(
            task_type=task_type,
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            use_rslora=self.rank_stabilized,
            use_dora=self.weight_decomposed,
            target_modules=self._targets(model),
            modules_to_save=embeddings(model) if self.train_embeddings else None,
        )

    def _targets(self, model: "PreTrainedModel") -> str | list[str]:
        if self.layers == "named":
            return named_layers(model, self.layer_names)
        if self.layers != "attention":
            return "all-linear"
        return attention_layers(model)

    def save(self, model: "PeftModel", folder: Path) -> None:
        from .lora_init import save_doubled

        super().save(model, folder)
        if self.initialisation == "pissa":
            save_doubled(model, folder)

    def resume(self, model: "PeftModel", folder: Path) -> None:
        from .lora_init import resume_doubled

        if self.initialisation == "pissa":
            resume_doubled(model, folder)
        else:
            super().resume(model, folder)

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        """rank times the inputs and outputs of every adapted matrix; DoRA learns a length for each output too."""
        adapted = [m for m in block if m.is_attention] if self.layers == "attention" else block
        lengths = sum(m.outputs for m in adapted) if self.weight_decomposed else 0
        return layers * (self.rank * sum(m.inputs + m.outputs for m in adapted) + lengths)


def embeddings(model: "PreTrainedModel") -> list[str]:
    """Full names of the embeddings, of the output head, and of what else has a
    weight of theirs: T5 has four such modules.
    """
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    weights = {id(end.weight) for end in ends if end is not None}
    every = model.named_modules(remove_duplicate=False)
    return [name for name, part in every if id(getattr(part, "weight", None)) in weights]


def tie(model: "PeftModel") -> None:
    """Modules that learn whole and have one weight in the base get one weight to learn.

    PEFT's own `ensure_weight_tying` knows two names of embeddings,
    and is forgotten when a second adapter is read beside the first.
    """
    from peft.utils import ModulesToSaveWrapper

    learned: dict[int, Any] = {}
    for part in model.modules():
        if isinstance(part, ModulesToSaveWrapper) and hasattr(part.original_module, "weight"):
            copy = part.modules_to_save["default"]
            copy.weight = learned.setdefault(id(part.original_module.weight), copy.weight)
