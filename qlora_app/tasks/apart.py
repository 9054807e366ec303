"""Taking the examples of a row apart for attention, and putting them together again,
with gradients that are as cheap as that.

Every token stands in exactly one example, so both ways only change places. What autograd makes of an index adds up
instead, number by number and on one core: in a small model's step that took longer than attention itself.
"""

from typing import Any

import torch

Groups = list[tuple[torch.Tensor, torch.Tensor]]  # of `packing.places`


class TakenApart(torch.autograd.Function):
    """row [tokens, ...] -> for each group [examples, longest, ...].

    A short example is filled up with its last token, which no earlier one sees and whose own answers nobody reads: no
    gradient comes through what was filled up, so none is looked for there.
    """

    @staticmethod
    def forward(ctx: Any, row: torch.Tensor, groups: Groups, back: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.groups, ctx.back = groups, back
        return tuple(row.index_select(0, place.flatten()).unflatten(0, place.shape) for place, _ in groups)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _in_a_row(gradients, ctx.groups, ctx.back), None, None


class PutTogether(torch.autograd.Function):
    """For each group [examples, longest, ...] -> row [tokens, ...], without what was filled up."""

    @staticmethod
    def forward(ctx: Any, groups: Groups, back: torch.Tensor, *parts: torch.Tensor) -> torch.Tensor:
        ctx.groups = groups
        return _in_a_row(parts, groups, back)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        parts = []
        for place, real in ctx.groups:
            part = gradient.index_select(0, place.flatten())
            if len(real) < len(part):
                filled = torch.ones(len(part), dtype=torch.bool, device=part.device).index_fill_(0, real, False)
                part[filled] = 0
            parts.append(part.unflatten(0, place.shape))
        return None, None, *parts


def _in_a_row(parts: tuple[torch.Tensor, ...], groups: Groups, back: torch.Tensor) -> torch.Tensor:
    flat = []
    for part, (place, real) in zip(parts, groups, strict=True):
        tokens = part.flatten(0, 1)
        if len(real) < place.numel():
            tokens = tokens.index_select(0, real)
        flat.append(tokens)
    return torch.cat(flat).index_select(0, back)
