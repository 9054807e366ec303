"""One model of a base and its adapter, as transformers opens it.

The adapter is added to the base as it was rounded when the adapter learned beside it. To add it to the original 16-bit
weights is the usual advice and makes another model: on the starter 302 of 308 answers were the same instead of 308.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base_models import load_model
from ..base_models.families import family_named
from ..errors import Problem, UserError
from ..hardware import here
from ..methods import MethodChoices
from ..runs import Run

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROOM, BYTES = 1.2, 4  # times the weights in 32 bits
LARGEST_FP16 = 65_504.0


def merge_problem(run: Run) -> Problem | None:
    """Why its adapter cannot be merged; None where it can."""
    method = run.recipe().method
    if method.can_merge:
        return None
    return Problem(
        "export.not_mergeable",
        "What {method} learned cannot become part of the base's weights, so there is no file for other programs but "
        "the adapter itself. Export the adapter.",
        method=method.title(),
    )


def merged_model(run: Run) -> "PreTrainedModel":
    """In 32 bits where there is room for that. Raises UserError where base or adapter cannot be opened."""
    method, task = run.recipe().method, run.task()
    base = load_model(run.base_model(), task.auto_class, task.labels, quantize=not method.quantizes_itself)
    return merge(method, base, run.adapter)


def merge(method: MethodChoices, base: Any, adapter: Path) -> "PreTrainedModel":
    """A base as it was opened for training, and the adapter of a folder, as `merged_model`."""
    model: Any = method.merge(_unpacked(base), adapter)
    if not family_named(model.config.model_type).has_linear_layers:
        _turn_layers(model)
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config
    model.config.use_cache = True
    _check_finite(model)
    return model.eval().requires_grad_(False)


def _unpacked(base: Any) -> Any:
    """What each code stands for, in 32 bits: sums in 16 would be rounded before they are saved."""
    if getattr(base, "is_quantized", False):
        base = base.dequantize()
        base.is_loaded_in_4bit = base.is_loaded_in_8bit = False  # it leaves these behind, and PEFT asks for them
    numbers = sum(weight.numel() for weight in base.parameters())
    return base.float() if here().free > ROOM * BYTES * numbers else base


def _turn_layers(model: Any) -> None:
    """GPT-2's files hold the weights of a block the other way round; 4-bit layers unpack to linear ones."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, nn.Linear) or layer is head:
            continue
        turned = Conv1D(layer.out_features, layer.in_features)
        turned.weight.data = layer.weight.data.T.contiguous()
        turned.bias.data = layer.bias.data
        turned.grouped = getattr(layer, "grouped", None)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, turned)


def check_fp16(model: "PreTrainedModel") -> None:
    """Raises UserError where a weight is beyond what fp16 holds."""
    if any(float(weight.abs().max()) > LARGEST_FP16 for weight in model.parameters() if weight.numel()):
        raise UserError(
            "export.too_large_for_fp16",
            "This model has weights beyond 65,504, which 16-bit floating numbers cannot hold. Choose 16-bit "
            "(bfloat16).",
        )


def _check_finite(model: "PreTrainedModel") -> None:
    """Raises UserError where a weight is no number."""
    for name, weight in model.named_parameters():
        if not bool(weight.isfinite().all()):
            raise UserError(
                "export.not_finite",
                "Merged, {layer} holds numbers that are none (nan or inf): the adapter is damaged. Train again, with a "
                "smaller learning rate.",
                layer=name,
            )
