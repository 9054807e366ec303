"""A first loss that is no number was not learned: what it comes from is looked for, and said."""

from collections.abc import Iterator

import torch
from torch import nn

from ..errors import Problem, UserError
from ..methods.lora_init import weight_of


def check_first_loss(model: nn.Module, loss: torch.Tensor, learned: torch.Tensor | int | None) -> None:
    """Raises UserError where the loss of the first forward pass of a run, or of its resumed part, is NaN or infinite.

    `learned`: how many labels the step has, if that is known.
    """
    if bool(torch.isfinite(loss)):
        return
    if learned is not None and int(learned) == 0:
        raise UserError(
            "training.no_token_to_learn",
            'The examples of the first step have no token to learn from. Raise "Longest example", or look at '
            "what is learned of each row in the view of the data.",
        )
    found = next(broken_tensors(model), None)
    if found is None:
        raise UserError(
            "training.first_loss_overflows",
            "The very first loss is {loss}, though every weight is a number: the model's own arithmetic "
            "overflows in {dtype}. A lower learning rate changes nothing: nothing has been learned yet. Choose "
            "another precision or compute type of the base.",
            loss=loss.item(),
            dtype=str(model.dtype).removeprefix("torch."),
        )
    name, count, size = found
    if is_learned(model, name):
        raise UserError(
            "training.adapter_not_finite",
            "{count:,} of the {size:,} numbers of {name}, which the adapter has learned, are NaN or infinite. "
            "Resume from an earlier checkpoint, or start again with a lower learning rate.",
            count=count,
            size=size,
            name=name,
        )
    raise UserError(
        "training.base_not_finite",
        "The weights of the base model are damaged: {count:,} of the {size:,} numbers of {name} are NaN or "
        "infinite. A lower learning rate changes nothing: nothing has been learned yet. Get the model's "
        "files again, or choose another model.",
        {"base_model.id": Problem("training.tensor_not_finite", "{name} holds NaN or infinite numbers.", name=name)},
        count=count,
        size=size,
        name=name,
    )


def broken_tensors(model: nn.Module) -> Iterator[tuple[str, int, int]]:
    """(name, how many of its numbers are NaN or infinite, how many it has) of each such tensor; packed weights are
    unpacked.

    Minus infinity in a buffer is a mask.
    """
    parameters = dict(model.named_parameters())
    for name, tensor in [*parameters.items(), *model.named_buffers()]:
        part, _, last = name.rpartition(".")
        is_packed = last == "weight" and (hasattr(tensor, "quant_state") or not tensor.is_floating_point())
        values = weight_of(model.get_submodule(part)) if is_packed else tensor
        if not values.is_floating_point():
            continue
        wrong = ~torch.isfinite(values)
        if name not in parameters:
            wrong &= values != float("-inf")
        if wrong.any():
            yield _called(model, name), int(wrong.sum()), values.numel()


def is_learned(model: nn.Module, name: str) -> bool:
    """Does the tensor of this name learn?"""
    return any(p.requires_grad and _called(model, given) == name for given, p in model.named_parameters())


def _called(model: nn.Module, name: str) -> str:
    """The name of a tensor as the base's own files have it, without what PEFT or an adapter puts around it."""
    around = "base_model.model." if hasattr(model, "peft_config") else "base_model."
    return name.removeprefix(around).replace(".base_layer.", ".")
