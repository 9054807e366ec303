"""LoRA on a CPU while it learns: a layer and its adapter as one operation, instead of PEFT's ten.

PEFT's way makes five tensors as large as the layer's output in each pass, to scale,
copy and add; small models spend a quarter of their step on that. What is computed
is the same: y = x W^T + b + (s x A^T) B^T, up to the rounding of the last bit.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.bnb import Linear4bit as LoraLinear4bit
from torch import nn


class _Together(torch.autograd.Function):
    """A frozen linear layer and the LoRA beside it.

    The weight is asked for in each pass, so that only who wants to keeps it.

    `kept` [tokens, inputs] says which of the adapter's inputs dropout
    leaves; the others count for more through `scaling`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        layer: nn.Module,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
        kept: torch.Tensor | None,
    ) -> torch.Tensor:
        flat = x.flatten(0, -2)
        bias = None if layer.bias is None else layer.bias.to(x.dtype)
        y = nn.functional.linear(flat, _weight(layer, x.dtype), bias)
        inside = (_left(flat, kept) @ a.to(x.dtype).T).mul_(scaling)
        y.addmm_(inside, b.to(x.dtype).T)
        ctx.save_for_backward(flat, inside, a, b, kept)
        ctx.layer, ctx.scaling = layer, scaling
        return y.unflatten(0, x.shape[:-1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, inside, a, b, kept = ctx.saved_tensors
        kind, g = flat.dtype, gradient.flatten(0, -2)
        to_inside = (g @ b.to(kind)).mul_(ctx.scaling)
        to_b = (g.T @ inside).to(b.dtype)
        to_a = (to_inside.T @ _left(flat, kept)).to(a.dtype)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = g @ _weight(ctx.layer, kind)
            if kept is None:
                to_x = to_x.addmm_(to_inside, a.to(kind))
            else:
                to_x = to_x.add_((to_inside @ a.to(kind)).mul_(kept))
            to_x = to_x.unflatten(0, gradient.shape[:-1])
        return to_x, None, to_a, to_b, None, None


def _left(flat: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
    if kept is None:
        return flat
    return flat * kept


def _weight(layer: nn.Module, kind: torch.dtype) -> torch.Tensor:
    """[outputs, inputs], unpacked by a layer that can be asked for that (`base_models.cpu_layers`)."""
    if hasattr(layer, "unpacked"):
        return layer.unpacked(kind)
    return layer.weight


class _InOneStep:
    """In front of one of PEFT's LoRA layers: takes the passes that learn, and leaves all others to it."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        name = None if args or kwargs else self._learning(x)
        if name is None:
            return super().forward(x, *args, **kwargs)
        dropout, scaling, kept = self.lora_dropout[name], self.scaling[name], None
        if self.training and isinstance(dropout, nn.Dropout) and dropout.p:
            kept = dropout(torch.ones_like(x, dtype=torch.float32)).flatten(0, -2) > 0
            scaling /= 1 - dropout.p
        return _Together.apply(x, self.base_layer, self.lora_A[name].weight, self.lora_B[name].weight, scaling, kept)

    def _learning(self, x: torch.Tensor) -> str | None:
        """The one adapter that is nothing but two matrices and learns in this pass; None in every other case."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1 or not torch.is_grad_enabled():
            return None
        name, base = self.active_adapters[0], self.base_layer
        if (
            name not in self.lora_A
            or name in self.lora_variant
            or self.lora_bias[name]
            or x.device.type != "cpu"
            or not x.numel()
        ):
            return None
        if type(self.lora_A[name]) is not nn.Linear or type(self.lora_B[name]) is not nn.Linear:
            return None
        if not hasattr(base, "unpacked") and type(base) is not nn.Linear:
            return None
        computes_in = base.compute_dtype if hasattr(base, "unpacked") else base.weight.dtype
        frozen = not (base.weight.requires_grad or (base.bias is not None and base.bias.requires_grad))
        if computes_in == x.dtype and frozen:
            return name
        return None


class OneStepLora(_InOneStep, LoraLinear):
    """Beside a layer in 16 or 32 bits."""


class OneStepLora4bit(_InOneStep, LoraLinear4bit):
    """Beside a layer in 4 bits."""


TWINS = {LoraLinear: OneStepLora, LoraLinear4bit: OneStepLora4bit}


def in_one_step(model: nn.Module) -> nn.Module:
    """The LoRA layers of a model, where they are PEFT's own, learn in one operation each."""
    for part in model.modules():
        if isinstance(part, LoraLayer) and type(part) in TWINS:
            part.__class__ = TWINS[type(part)]
    return model
