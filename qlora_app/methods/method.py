"""What every fine-tuning method is to the rest of the app.

A method is one file: a class with its settings and what differs from here.

The defaults are those of a method of PEFT, which only has to say its `config`. A method of its own overrides what it
needs; nothing outside of this folder asks which method it is.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..base_models.shapes import LinearShape
from ..choices import Choices, options
from ..errors import Problem, UserError
from .card import Card, LearningRate
from .fitting import check_fits, check_saved

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel
    from typing_extensions import Self  # Python 3.10 has none

PRECISIONS = ("nf4", "fp4", "int8", "bf16", "fp32")


class MethodChoices(Choices):
    """The settings of one method, and what it does with a model.

    A subclass has a `card` for the page and begins its settings with `name: Literal[...]`.
    """

    card: ClassVar[Card]
    # of the base, with which it trains and comes back the same from disk
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS
    families: ClassVar[tuple[str, ...]] = ()  # model_type of the bases it is for; empty: all
    tasks: ClassVar[tuple[str, ...]] = ()  # what it can be trained for; empty: everything
    # can several examples share a row? Not where what is learned stands in front of the row
    supports_packing: ClassVar[bool] = True
    supports_checkpointing: ClassVar[bool] = (
        True  # does it bear gradient checkpointing, which computes each block a second time?
    )
    # can a run begin with the adapter that another one made? Not where its end is another thing than its beginning
    can_begin_with_adapter: ClassVar[bool] = True
    schedules_itself: ClassVar[bool] = False  # does it plan something over all its steps? Then no steps can be added
    learning_rate: ClassVar[LearningRate] = LearningRate(2e-4, "QLoRA's for LoRA")  # with which training begins
    # may a step leave out parts of what learns, chosen by chance? Processes that share a step then look for them
    leaves_some_unused: ClassVar[bool] = False
    # is its base only computed with, block after block, and never read beside that? Then FSDP can divide it
    divides_base: ClassVar[bool] = False
    quantizes_itself: ClassVar[bool] = False  # the base is loaded unquantized, and the method makes what it needs of it

    if TYPE_CHECKING:  # a field of every subclass, whose type is a Literal of one value

        @property
        def name(self) -> str:
            """What a recipe calls it."""

    @property
    def supports_mixed_batch(self) -> bool:
        """Can one batch hold rows with and without the adapter (`adapter_names` of PEFT)?"""
        return False

    @property
    def stands_beside(self) -> bool:
        """Can several adapters of it stand on one base in memory, each under a name?"""
        return False

    @property
    def can_be_weighted(self) -> bool:
        """Is a weighted sum of several adapters of it, or of one, an adapter again (`add_weighted_adapter` of PEFT)?

        Only where it `stands_beside`.
        """
        return False

    @property
    def in_one_step(self) -> bool:
        """Does it learn through `parts.cpu_lora` on a CPU? Memory is planned with it."""
        return False

    @property
    def drops_inputs(self) -> bool:
        """Does what learns drop some of its inputs? A method that does has a setting `dropout`."""
        return bool(dict(self).get("dropout"))

    @property
    def learns_embeddings(self) -> bool:
        """Do the embeddings learn whole, beside the adapter?"""
        return False

    def with_rank_at_most(self, most: int) -> "Self":
        """The same with a smaller rank; itself where it has no setting `rank`, or no larger one."""
        rank = dict(self).get("rank", 0)
        return self.model_copy(update={"rank": most}) if rank > most else self

    @property
    def is_plain_peft(self) -> bool:
        """Is it learned by PEFT's own classes and transformers' own loss, without anything of ours?"""
        ours = ("attach", "before_first_step", "loss", "after_step", "finish")
        return all(getattr(type(self), name) is getattr(MethodChoices, name) for name in ours)

    @property
    def opens_in_peft(self) -> bool:
        """Does PEFT alone open its finished folder? The model card says how else."""
        return True

    @property
    def needs_its_precision(self) -> bool:
        """Does what is learned fit only a base in the precision it was learned on?

        On any other, such an adapter is wrong.
        """
        return False

    def how_else_opened(self, folder: str) -> str:
        """Another way to open what lies in the finished folder, in Markdown, for the model card."""
        return ""

    # ---- before the start

    def problems(self, precision: str, family: str, task: str) -> dict[str, Problem]:
        """What cannot work, before anything is loaded: {dotted setting of the recipe: why, and what would}.

        `family` is the model_type of the base, empty where it is not known yet.
        """
        title, problems = self.title(), {}
        if precision not in self.precisions:
            problems["base_model.precision"] = Problem(
                "method.precision",
                "{title} does not train on a base in {precision}. Choose one of: {precisions}.",
                title=title,
                precision=precision,
                precisions=", ".join(self.precisions),
            )
        if family and self.families and family not in self.families:
            problems["method.name"] = Problem(
                "method.family",
                "{title} is not made for {family} models, only for these: {families}. Choose another method.",
                title=title,
                family=family,
                families=", ".join(self.families),
            )
        if task and self.tasks and task not in self.tasks:
            problems["method.name"] = Problem(
                "method.task",
                "{title} cannot be trained for {task}, only for these: {tasks}. Choose another method.",
                title=title,
                task=task,
                tasks=", ".join(self.tasks),
            )
        return problems

    @property
    def weight_bits(self) -> float | None:
        """Bits a weight of the base takes while it trains, scales included, where the method quantizes it itself."""
        return None

    @property
    def forward_passes(self) -> int:
        """Forward passes a step remembers at once."""
        return 1

    def kept_streams(self, layers: int) -> float | None:
        """Bytes a step keeps for each number of the hidden state, all blocks together.

        None where each keeps what autograd wants.
        """
        return None

    @property
    def option_losses(self) -> tuple[str, ...]:
        """Names of the settings that are on and need the wrong answers too in `loss`.

        With any, batches hold them as "options".
        """
        return ()

    def layers_named(self) -> list[str]:
        """Last names of layers that a person typed; the model must have them."""
        return []

    def trainable(self, block: list[LinearShape], layers: int) -> int:
        """How many parameters learn, in a model of so many such blocks: what memory is planned with."""
        raise NotImplementedError

    @classmethod
    def title(cls) -> str:
        """The method's name as people write it."""
        titles = options(cls.model_fields["name"]) or []
        return titles[0][0]

    # ---- training

    def attach(
        self, model: "PreTrainedModel", task_type: str | None = "CAUSAL_LM", gradient_checkpointing: bool = False
    ) -> "PeftModel":
        """The model with what is to be learned beside it, which changes nothing yet.

        `task_type` is PEFT's, None for fill-mask.

        What is returned has PeftModel's surface: `disable_adapter()`,
        `save_pretrained(folder)`, `base_model`, `generate`.
        """
        import torch
        from peft import get_peft_model

        from .parts.cpu_lora import in_one_step

        # PEFT's preparation for quantized models would turn embeddings, output head and norms into 32-bit copies: 2 GB
        # more for a model of 8 billion parameters, for numbers that are frozen anyway.
        if gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.enable_input_require_grads()
        config = self.config(model, task_type)
        if new := getattr(
            model, "new_parts", []
        ):  # what the base's files do not hold is learned whole, and kept with the adapter
            if config.is_prompt_learning:
                raise UserError(
                    "method.no_new_head",
                    "{method} learns what stands in front of a text, and this task needs a new head too. Choose "
                    "another method.",
                    {"method.name": Problem("method.no_new_head_here", "It cannot learn a new head.")},
                    method=self.title(),
                )
            config.modules_to_save = sorted({*(getattr(config, "modules_to_save", None) or []), *new})
        attached = get_peft_model(model, config)
        if not torch.cuda.is_available():  # also where it lies in main memory, to be divided among GPUs
            return in_one_step(attached)
        return attached

    def config(self, model: "PreTrainedModel", task_type: str | None) -> "PeftConfig":
        """PEFT's configuration of this method for this model."""
        raise NotImplementedError

    def before_first_step(self, model: "PeftModel", batch: dict[str, Any]) -> list[str]:
        """Measure on the real model what may go wrong; returns sentences for the page.

        May change how the model computes.
        """
        return []

    def loss(self, model: "PeftModel", inputs: dict[str, Any], outputs: Any) -> "torch.Tensor | None":
        """A mean that is added to the loss of a micro-batch; None for nothing. `inputs` are what the collator made."""
        return None

    def after_step(self, model: "PeftModel", step: int, total: int) -> None:
        """Called between the backward pass of step `step` (from 1) and the next one, before gradients are cleared."""

    def may_end_at(self, step: int, total: int) -> bool:
        """Is what was learned by this step whole, so that the run may keep it as its end?

        Not while a method still has work to do.
        """
        return True

    # ---- the folder of an adapter: of a checkpoint, or of the end

    def save(self, model: "PeftModel", folder: Path) -> None:
        """Everything that is needed to go on from here (`resume`), and to answer (`load`)."""
        model.save_pretrained(str(folder), save_embedding_layers=False)

    def resume(self, model: "PeftModel", folder: Path) -> None:
        """What `save` wrote, back into a model that was just attached."""
        check_fits(model, folder)
        model.load_adapter(str(folder), "default", is_trainable=True)

    def finish(self, model: "PeftModel", folder: Path) -> dict[str, Any]:
        """Once, after the last step and `save` into `folder`: what the method does at its end, and its figures for the
        proof; a sentence about them as "in_words".

        What the model answers afterwards is what is measured, and what `load` of the folder must answer.
        """
        return {}

    def load(self, model: "PreTrainedModel", folder: Path) -> "PeftModel":
        """The base with the adapter of `folder`, for answering (nothing in it requires gradients)."""
        from peft import PeftModel

        check_saved(folder)
        loaded = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
        check_fits(loaded, folder)
        return loaded.requires_grad_(False)  # it forgets learned tokens

    @property
    def can_merge(self) -> bool:
        """Can what was learned become part of the base's weights?"""
        return True

    def merge(self, model: "PreTrainedModel", folder: Path) -> "PreTrainedModel":
        """One plain model of the base, unpacked from what it was rounded to, and the adapter of `folder`. Only where it
        `can_merge`.
        """
        from peft.tuners.tuners_utils import BaseTunerLayer

        adapted = self.load(model, folder)
        for layer in adapted.modules():
            if isinstance(layer, BaseTunerLayer):
                _merge_in_place(layer)
        merged: PreTrainedModel = adapted.merge_and_unload()
        return merged

    def load_beside(self, model: "PeftModel", folder: Path, name: str) -> None:
        """The adapter of `folder` onto a model that `load` has returned, beside what stands there, under a name of its
        own. Only where it `stands_beside`.
        """
        check_saved(folder)
        model.load_adapter(str(folder), adapter_name=name, is_trainable=False)
        check_fits(model, folder, name=name)
        model.requires_grad_(False)

    @contextlib.contextmanager
    def from_disk(self, model: "PeftModel", folder: Path) -> Iterator[None]:
        """For a moment the trained model answers with the adapter of
        `folder`: the proof that it reads back the same.
        """
        model.load_adapter(str(folder), adapter_name="from_disk", is_trainable=False)
        model.set_adapter("from_disk", inference_mode=True)
        try:
            yield
        finally:
            model.delete_adapter("from_disk")
            model.set_adapter("default")


def _merge_in_place(layer: Any) -> None:
    """The sum lies where the weight lay: of a model larger than the memory that is a disk."""
    weight = layer.get_base_layer().weight
    before = weight.data
    layer.merge(safe_merge=True)
    weight.data = before.copy_(weight.data)


def parameter_checksums(model: "torch.nn.Module") -> dict[str, tuple[float, float]]:
    """A checksum of everything in a model that learns: {name: (sum, sum of
    magnitudes)}; taken before the first step.
    """
    return {
        name: (p.detach().double().sum().item(), p.detach().double().abs().sum().item())
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def changed_layers(model: "torch.nn.Module", before: dict[str, tuple[float, float]]) -> dict[str, int]:
    """How many adapted layers there are, and in how many nothing that learns has moved since `parameter_checksums`."""
    now = parameter_checksums(model)
    layers: dict[str, bool] = {}
    for name in before:
        layer = _layer_of(name, model)
        layers[layer] = layers.get(layer, False) or now.get(name) != before[name]
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    zero_layers = sum(not moved for moved in layers.values())
    return {"layers": len(layers), "zero_layers": zero_layers, "parameters": parameters}


def _layer_of(name: str, model: "torch.nn.Module") -> str:
    """The adapted layer a parameter belongs to; its own module where it is in none."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    parts = name.split(".")
    for i in range(len(parts)):
        part = model.get_submodule(".".join(parts[:i]))
        if isinstance(part, BaseTunerLayer) or hasattr(part, "enabled"):  # an adapter of PEFT's, or one of our own
            return ".".join(parts[:i])
    return ".".join(parts[:-1])
