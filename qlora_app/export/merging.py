"""One model of a base and its adapter, as transformers opens it.

The adapter is added to the base as it was rounded when the adapter learned beside it. To add it to the original 16-bit
weights is the usual advice and makes another model: on the starter 302 of 308 answers were the same instead of 308.
Where there is too little memory the weights lie on the disk meanwhile, and come out the same, bit for bit.
"""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base_models import load_model
from ..base_models.families import family_named
from ..errors import Problem, UserError
from ..hardware import here
from ..methods import MethodChoices
from ..methods.lora_init import weight_of
from ..runs import Run

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ROOM, BYTES = 1.2, 4  # times the weights in 32 bits
LARGEST_FP16 = 65_504.0
SHARD = "2GB"  # largest file, and what of it stands in memory while it is written
Keep = Callable[["torch.Tensor"], "torch.Tensor"]  # the same numbers, where they are to lie


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


def merged_model(run: Run, folder: Path, is_original: bool = False) -> "PreTrainedModel":
    """In 32 bits. folder: where its weights lie meanwhile if they are more than the memory holds. is_original: into the
    base's weights before they were rounded. Raises UserError where base or adapter cannot be opened.
    """
    method, task, choice = run.recipe().method, run.task(), run.base_model()
    if is_original:
        choice = choice.model_copy(update={"precision": "bf16" if here().kind == "cuda" else "fp32"})
    base = load_model(choice, task.auto_class, task.labels, quantize=not method.quantizes_itself)
    return merge(method, base, run.adapter, keep_for(base, folder))


def adapted_model(run: Run, folder: Path) -> Any:
    """The base in 32 bits with the adapter beside it, not merged; the rest as `merged_model`."""
    method, task = run.recipe().method, run.task()
    base = load_model(run.base_model(), task.auto_class, task.labels)
    return method.load(_unpacked(base, keep_for(base, folder)), run.adapter)


def unpacked_base(run: Run, folder: Path) -> "PreTrainedModel":
    """The base alone, as the adapter learned beside it; the rest as `merged_model`."""
    task = run.task()
    base = load_model(run.base_model(), task.auto_class, task.labels)
    unpacked: PreTrainedModel = _unpacked(base, keep_for(base, folder))
    return unpacked.eval().requires_grad_(False)


def keep_for(model: Any, folder: Path) -> Keep:
    """In memory where there is room for all of the model in 32 bits, else in `folder`."""
    needed = BYTES * model.num_parameters()
    if here().free > ROOM * needed:
        return _in_memory
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    return lambda tensor: on_disk(tensor, folder)


def _in_memory(tensor: "torch.Tensor") -> "torch.Tensor":
    return tensor


def on_disk(tensor: "torch.Tensor", folder: Path) -> "torch.Tensor":
    """The same numbers in a file, of which the system holds in memory what it has room for. The file has no name any
    more: its place on the disk is free again when the tensor is gone.
    """
    import torch

    if not tensor.numel():
        return tensor
    flat = tensor.detach().cpu().contiguous().view(-1)
    file = folder / "weights.tmp"
    try:
        with open(file, "wb") as opened:
            opened.write(memoryview(flat.view(torch.uint8).numpy()))
        return torch.from_file(str(file), shared=True, size=flat.numel(), dtype=flat.dtype).view(tensor.shape)
    finally:
        file.unlink(missing_ok=True)


def merge(method: MethodChoices, base: Any, adapter: Path, keep: Keep = _in_memory) -> "PreTrainedModel":
    """A base as it was opened for training, and the adapter of a folder, as `merged_model`."""
    model: Any = method.merge(_unpacked(base, keep), adapter)
    if not family_named(model.config.model_type).has_linear_layers:
        _turn_layers(model, keep)
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config
    model.config.use_cache = True
    _check_finite(model)
    return model.eval().requires_grad_(False)


def _unpacked(base: Any, keep: Keep) -> Any:
    """What each code stands for, in 32 bits: sums in 16 would be rounded before they are saved."""
    from torch import nn

    for weight in base.parameters():
        if not _is_packed(weight):
            weight.data = keep(weight.data.float())
    for name, layer in list(base.named_modules()):
        if _is_packed(layer._parameters.get("weight")):
            plain = nn.Linear(layer.in_features, layer.out_features, bias=False)
            plain.weight = nn.Parameter(keep(weight_of(layer)), requires_grad=False)
            plain.bias = layer.bias
            base.set_submodule(name, plain)
    if getattr(base, "is_quantized", False):
        base.hf_quantizer.remove_quantization_config(base)
        base.is_loaded_in_4bit = base.is_loaded_in_8bit = False  # it leaves these behind, and PEFT asks for them
    return base


def _is_packed(weight: Any) -> bool:
    return type(weight).__name__ in ("Params4bit", "Int8Params")


def save_merged(model: "PreTrainedModel", dtype: "torch.dtype", folder: Path, keep: Keep) -> None:
    """As safetensors of this type, in files of no more than `SHARD`. The model has this type afterwards."""
    for weight in model.parameters():
        weight.data = keep(weight.data.to(dtype))
    model.to(dtype).save_pretrained(str(folder), max_shard_size=SHARD)


def _turn_layers(model: Any, keep: Keep) -> None:
    """GPT-2's files hold the weights of a block the other way round; 4-bit layers unpack to linear ones."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, nn.Linear) or layer is head:
            continue
        turned = Conv1D(layer.out_features, layer.in_features)
        turned.weight.data = keep(layer.weight.data.T.contiguous())
        turned.bias.data = layer.bias.data
        turned.grouped = getattr(layer, "grouped", None)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, turned)


def fits_fp16(model: "PreTrainedModel") -> bool:
    """Does fp16 hold every weight?"""
    return all(float(weight.abs().max()) <= LARGEST_FP16 for weight in model.parameters() if weight.numel())


def too_large_for_fp16() -> UserError:
    return UserError(
        "export.too_large_for_fp16",
        "This model has numbers beyond 65,504, in its weights or while it computes, which 16-bit floating numbers "
        "cannot hold. Choose 16-bit (bfloat16).",
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
