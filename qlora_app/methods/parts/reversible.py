"""Transformer blocks whose inputs are worked out from their outputs (MEFT, Liao et al. 2023, arXiv 2306.00477).

Two streams run through the blocks. With F the pretrained block (an
adapter beside its feed-forward part) and G an adapter:

    y1 = x1 / divisor + F(x2)        y2 = x2 + G(y1)        and the next block gets (x1, x2) = (y2, y1)

Both begin as the embeddings, and what the model goes on with is the second stream: so the last block has no G, which
nobody would see. Backwards, x2 = y2 - G(y1) and x1 = (y1 - F(x2)) * divisor, so that nothing but the last two streams
need be kept, however deep the model is.

Multiplying by the divisor also multiplies what was rounded away, once for each block. `Exact` keeps that: the streams
are whole numbers, and of each division the remainder is stored, some bits a number.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from ...errors import UserError
from .adapted import Bottleneck
from .bits import pack, unpack

Streams = tuple[torch.Tensor, torch.Tensor]
Call = tuple[tuple[Any, ...], dict[str, Any]]  # what a block is called with beside the hidden states


class Floating:
    """Streams of floating numbers: nothing is kept of a division, and undoing it is as good as their precision."""

    def __init__(self, divisor: int, kind: torch.dtype) -> None:
        self.divisor, self.kind = divisor, kind

    def enter(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.to(self.kind)

    def leave(self, stream: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
        return stream.to(kind)

    def push(self, x1: torch.Tensor, f: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return x1 / self.divisor + self.enter(f), None

    def pull(self, y1: torch.Tensor, f: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
        return (y1 - self.enter(f)) * self.divisor

    def bytes_kept(self, layers: int) -> float:
        """For each number of the hidden state, in the whole model."""
        return 2 * self.kind.itemsize


class Exact:
    """Streams of whole numbers, 2**-32 their unit.

    Each division's remainder is kept, and undoing it loses not a bit.
    """

    UNIT = 2.0**-32

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        self.bits = next(bits for bits in (1, 2, 4, 8) if 2**bits >= divisor)

    def enter(self, hidden: torch.Tensor) -> torch.Tensor:
        return (hidden.double() / self.UNIT).round().long()

    def leave(self, stream: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
        return (stream.double() * self.UNIT).to(kind)

    def push(self, x1: torch.Tensor, f: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        divided = x1.div(self.divisor, rounding_mode="floor")
        kept = pack(x1 - divided * self.divisor, self.bits) if self.divisor > 1 else None
        return divided + self.enter(f), kept

    def pull(self, y1: torch.Tensor, f: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
        divided = y1 - self.enter(f)
        if kept is None:
            return divided
        return divided * self.divisor + unpack(kept, self.bits)

    def bytes_kept(self, layers: int) -> float:
        return 2 * 8 + layers * (self.bits / 8 if self.divisor > 1 else 0)


ARITHMETICS = {
    "fp32": lambda divisor: Floating(divisor, torch.float32),
    "fp64": lambda divisor: Floating(divisor, torch.float64),
    "exact": Exact,
}


class Turn(nn.Module):
    """A block of the model in its place.

    It hands its input on and notes what it was called with; the last one runs them all.
    """

    def __init__(self, block: nn.Module, second: Bottleneck | None, stack: "Stack") -> None:
        super().__init__()
        self.block, self.second, self.stack, self.enabled = block, second, stack, True

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "block":
                raise
            return getattr(self.block, name)  # some models ask their blocks, for their kind of attention for example

    def forward(self, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if not self.enabled:
            return self.block(hidden, *args, **kwargs)
        return self.stack.note(self, hidden, (args, kwargs))

    def first(self, hidden: torch.Tensor, call: Call) -> torch.Tensor:
        """F: the block itself."""
        made = self.block(hidden, *call[0], **call[1])
        if not isinstance(made, torch.Tensor):
            raise UserError(
                "method.not_reversible",
                "A {block} returns more than its hidden states and cannot be turned around. Choose LoRA.",
                block=type(self.block).__name__,
            )
        return made

    def learned(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters of F and of G that learn."""
        of_block = [p for p in self.block.parameters() if p.requires_grad]
        if self.second is None:
            return of_block, []
        return of_block, [p for p in self.second.parameters() if p.requires_grad]


class Stack:
    """All blocks of a model as one step whose backward pass rebuilds what it needs."""

    def __init__(self, arithmetic: Floating | Exact) -> None:
        self.turns: list[Turn] = []
        self.calls: list[Call] = []
        self.arithmetic = arithmetic
        self.is_plain = False  # as any other network, everything kept: what the gradients are compared with
        self.listener: Any = None  # is told of (hidden, calls) of every pass

    def note(self, turn: Turn, hidden: torch.Tensor, call: Call) -> torch.Tensor:
        if turn is self.turns[0]:
            self.calls = []
        self.calls.append(call)
        if turn is not self.turns[-1]:
            return hidden
        calls, self.calls = self.calls, []
        if self.listener:
            self.listener(hidden, calls)
        run = _Run(self, calls, hidden.dtype, self._seeds(), _autocast(hidden.device.type))
        learned = [p for turn in self.turns for part in turn.learned() for p in part]
        if torch.is_grad_enabled() and not self.is_plain:
            return _Rebuilding.apply(hidden, run, *learned)
        return self.arithmetic.leave(run.forward(hidden)[0][1], hidden.dtype)

    def _seeds(self) -> list[int | None]:
        """One for F and one for G of each block: with them dropout is the same again when a block is run again."""
        drawn = torch.randint(2**62, (2 * len(self.turns),)).tolist() if self.turns[0].training else []
        return drawn or [None] * (2 * len(self.turns))


class _Run(NamedTuple):
    """One pass through a stack."""

    stack: Stack
    calls: list[Call]
    kind: torch.dtype  # of the hidden states outside of the stack, and of what goes into each block
    seeds: list[int | None]
    autocast: Any  # as it is in the forward pass; the backward pass runs outside of it

    def first(self, i: int, x: torch.Tensor) -> torch.Tensor:
        with _seeded(self.seeds[2 * i], x.device):
            return self.stack.turns[i].first(x, self.calls[i])

    def second(self, i: int, x: torch.Tensor) -> torch.Tensor:
        if self.stack.turns[i].second is None:
            return torch.zeros_like(x)
        with _seeded(self.seeds[2 * i + 1], x.device):
            return self.stack.turns[i].second(x)

    def forward(
        self, hidden: torch.Tensor, seen: list[Streams] | None = None
    ) -> tuple[Streams, list[torch.Tensor | None]]:
        """(the last streams, what is kept of each division); `seen` is filled with what goes into each block."""
        how, kept = self.stack.arithmetic, []
        x1 = x2 = how.enter(hidden)
        for i in range(len(self.stack.turns)):
            if seen is not None:
                seen.append((x1, x2))
            y1, rest = how.push(x1, self.first(i, how.leave(x2, self.kind)))
            y2 = x2 + how.enter(self.second(i, how.leave(y1, self.kind)))
            kept.append(rest)
            x1, x2 = y2, y1
        return (x1, x2), kept

    def back(
        self, i: int, streams: Streams, rest: torch.Tensor | None, gradients: Streams | None = None
    ) -> tuple[Streams, Any]:
        """What went into block i, from what came out; with the gradients of what came out, also those of what went in
        (x1, x2, parameters of F, parameters of G), each part of the block being run once.
        """
        how, (y2, y1) = self.stack.arithmetic, streams
        of_f, of_g = self.stack.turns[i].learned()
        with torch.set_grad_enabled(gradients is not None), self.autocast():
            a = how.leave(y1, self.kind).detach().requires_grad_(gradients is not None)
            g = self.second(i, a)
            x2 = y2 - how.enter(g.detach())
            b = how.leave(x2, self.kind).detach().requires_grad_(gradients is not None)
            f = self.first(i, b)
        x1 = how.pull(y1, f.detach(), rest)
        if gradients is None:
            return (x1, x2), None
        to_y2, to_y1 = gradients
        to_g: list[torch.Tensor] = []
        if of_g:
            through_g, *to_g = torch.autograd.grad(g, [a, *of_g], to_y2.to(g.dtype))
            to_y1 = to_y1 + through_g
        through_f, *to_f = torch.autograd.grad(f, [b, *of_f], to_y1.to(f.dtype))
        return (x1, x2), ((to_y1 / how.divisor, to_y2 + through_f), to_f, to_g)


class _Rebuilding(torch.autograd.Function):
    """Forward through all blocks keeping the last two streams; backward rebuilds block after block, last first."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, run: _Run, *learned: nn.Parameter) -> torch.Tensor:
        streams, kept = run.forward(hidden)
        ctx.run, ctx.layers_kept = run, [rest is not None for rest in kept]
        ctx.save_for_backward(*streams, *(rest for rest in kept if rest is not None))
        return run.stack.arithmetic.leave(streams[1], run.kind)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x1, x2, *stored = ctx.saved_tensors
        streams, gradients = (x1, x2), (torch.zeros_like(gradient), gradient)
        per_block: list[list[torch.Tensor]] = []
        for i in reversed(range(len(ctx.layers_kept))):
            rest = stored.pop() if ctx.layers_kept[i] else None
            streams, (gradients, to_f, to_g) = ctx.run.back(i, streams, rest, gradients)
            per_block.append([*to_f, *to_g])
        to_hidden = sum(gradients) if ctx.needs_input_grad[0] else None
        return (to_hidden, None, *(g for block in reversed(per_block) for g in block))


def turn_around(blocks: nn.ModuleList, stack: Stack, hidden: int, rank: int, dropout: float) -> None:
    """Put a `Turn` in the place of each block."""
    for i, block in enumerate(blocks):
        second = Bottleneck(hidden, rank, dropout).to(next(block.parameters()).device) if i < len(blocks) - 1 else None
        blocks[i] = Turn(block, second, stack)
        stack.turns.append(blocks[i])


def reconstruction_error(stack: Stack, hidden: torch.Tensor, calls: list[Call]) -> float:
    """Largest difference between what went into a block and what is rebuilt of it,
    as a share of its size, over all blocks.
    """
    run = _Run(stack, calls, hidden.dtype, stack._seeds(), _autocast(hidden.device.type))
    seen: list[Streams] = []
    with torch.no_grad():
        streams, kept = run.forward(hidden, seen)
        worst = 0.0
        for i in reversed(range(len(kept))):
            streams, _ = run.back(i, streams, kept[i])
            for rebuilt, was in zip(streams, seen[i], strict=True):
                difference = float((rebuilt - was).double().norm() / was.double().norm().clamp_min(1e-30))
                if difference != difference:  # not a number
                    difference = float("inf")
                worst = max(worst, difference)
    return worst


@contextlib.contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Random numbers that can be had again, and those of the run untouched."""
    if seed is None:
        yield
        return
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.manual_seed(seed)
        yield


def _autocast(device: str) -> Any:
    is_on, kind = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, kind, enabled=is_on)
