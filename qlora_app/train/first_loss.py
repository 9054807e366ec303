"""A first loss that is no number was not learned: what it comes from is looked for, and said."""

from collections.abc import Iterator

import torch
from torch import nn

from ..errors import UserError
from ..methods.beginnings import weight_of

AGAIN = "A lower learning rate changes nothing: nothing has been learned yet."


def check_first_loss(model: nn.Module, loss: torch.Tensor, learned: torch.Tensor | int | None) -> None:
    """Raises UserError where the loss of the first forward pass of a run, or of its resumed part, is NaN or infinite.

    `learned`: how many labels the step has, if that is known.
    """
    if bool(torch.isfinite(loss)):
        return
    if learned is not None and int(learned) == 0:
        raise UserError("The examples of the first step have no token to learn from. Raise \"Longest example\", or look at what is learned "
                        "of each row in the view of the data.")
    found = next(broken_tensors(model), None)
    if found is None:
        raise UserError(f"The very first loss is {loss.item()}, though every weight is a number: the model's own arithmetic overflows in "
                        f"{str(model.dtype).removeprefix('torch.')}. {AGAIN} Choose another precision or compute type of the base.")
    name, count, size = found
    if is_learned(model, name):
        raise UserError(f"{count:,} of the {size:,} numbers of {name}, which the adapter has learned, are NaN or infinite. Resume from an "
                        "earlier checkpoint, or start again with a lower learning rate.")
    raise UserError(f"The weights of the base model are damaged: {count:,} of the {size:,} numbers of {name} are NaN or infinite. {AGAIN} "
                    "Get the model's files again, or choose another model.", {"base_model.id": f"{name} holds NaN or infinite numbers."})


def broken_tensors(model: nn.Module) -> Iterator[tuple[str, int, int]]:
    """(name, how many of its numbers are NaN or infinite, how many it has) of each such tensor; packed weights are unpacked."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        part, _, last = name.rpartition(".")
        layer = model.get_submodule(part)
        is_packed = last == "weight" and not (tensor.is_floating_point() and not hasattr(tensor, "quant_state"))
        values = weight_of(layer) if is_packed else tensor
        wrong = int((~torch.isfinite(values)).sum()) if values.is_floating_point() else 0
        if wrong:
            yield name.removeprefix("base_model.model.").replace(".base_layer.", "."), wrong, values.numel()


def is_learned(model: nn.Module, name: str) -> bool:
    """Does the tensor of this name learn?"""
    return any(p.requires_grad and given.removeprefix("base_model.model.") == name for given, p in model.named_parameters())
