"""4-bit layers on a CPU: the same codes and the same numbers as bitsandbytes', unpacked less often.

bitsandbytes unpacks a layer in every forward pass and again in every backward pass. The layers of a small model keep
what their codes stand for instead; codes and scales stay the truth, are what is saved and merged, and are looked at in
every pass.

And norms as one operation: of a small model, what autograd makes of their six is a twentieth of the step.
"""

import functools
import inspect
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from bitsandbytes.nn.modules import fix_4bit_weight_quant_state_from_module

from .cards import MOST_UNPACKED


class CpuLinear4bit(Linear4bit):
    """A `Linear4bit` that can be asked for its unpacked weight, and keeps it where `keeps` says so."""

    keeps = False
    # [outputs, inputs], of `_codes` as they were when they had been changed `_changes` times
    _unpacked: torch.Tensor | None = None
    _codes: torch.Tensor | None = None  # held, so that no other tensor can be at their address
    _changes = -1

    def unpacked(self, kind: torch.dtype) -> torch.Tensor:
        """The weight [outputs, inputs] its codes stand for, in `kind`. Not to be written to."""
        if self._has_unpacked(kind):
            return self._unpacked
        fix_4bit_weight_quant_state_from_module(self)
        state = self.weight.quant_state
        # Unpacked as bitsandbytes unpacks it for a product in `kind`, whatever its weight was before rounding.
        was, state.dtype = state.dtype, kind
        try:
            unpacked = dequantize_4bit(self.weight.data.view(-1, 1), state).view(state.shape)
        finally:
            state.dtype = was
        if self.keeps:
            self._codes = self.weight.detach()
            self._changes = self.weight._version
            self._unpacked = unpacked
        return unpacked

    def _has_unpacked(self, kind: torch.dtype) -> bool:
        """Is what is kept in `kind`, and of the codes as they are now?"""
        if self._codes is None or self._unpacked is None or self._unpacked.dtype != kind:
            return False
        return self._codes.data_ptr() == self.weight.data_ptr() and self._changes == self.weight._version

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.keeps:
            return super().forward(x)
        kind = self.compute_dtype or x.dtype
        bias = None if self.bias is None else self.bias.to(kind)
        return torch.nn.functional.linear(x.to(kind), self.unpacked(kind), bias).to(x.dtype)


def unpack_less(model: torch.nn.Module) -> None:
    """Every 4-bit layer of a model on a CPU becomes a `CpuLinear4bit`. They keep their unpacked weights where those are
    few enough.
    """
    layers = [part for part in model.modules() if type(part) is Linear4bit]
    weights = sum(layer.in_features * layer.out_features for layer in layers)
    for layer in layers:
        layer.__class__ = CpuLinear4bit
        layer.keeps = weights <= MOST_UNPACKED


class _Normed(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) * weight with a frozen weight, as transformers computes it: in 32 bits, multiplied in
    the type of x.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        wide = x.float()
        inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, inverse, weight)
        return weight * (wide * inverse).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, inverse, weight = ctx.saved_tensors
        y = x.float() * inverse
        g = (gradient * weight).float()
        along = y.mul_((g * y).mean(-1, keepdim=True))
        return g.sub_(along).mul_(inverse).to(x.dtype), None, None


class _NormInOneStep:
    """In front of a norm of transformers: takes the passes that learn around it, and leaves all others to it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_learned_through = torch.is_grad_enabled() and x.requires_grad
        if not is_learned_through or self.weight.requires_grad or self.weight.dtype != x.dtype:
            return super().forward(x)
        return _Normed.apply(x, self.weight, self.variance_epsilon)


@functools.cache
def _in_one_step(norm: type) -> type:
    return type(f"OneStep{norm.__name__}", (_NormInOneStep, norm), {})


def norm_in_one_step(model: torch.nn.Module) -> None:
    """The norms of a model that are computed as LLaMA's, word for word in transformers' source, are one operation each
    on a CPU.
    """
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    wanted = inspect.getsource(LlamaRMSNorm.forward)
    for part in model.modules():
        if type(part).__name__.endswith("RMSNorm") and inspect.getsource(type(part).forward) == wanted:
            part.__class__ = _in_one_step(type(part))
