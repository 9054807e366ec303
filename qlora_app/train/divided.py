"""A base that no process holds whole: FSDP2 divides it among them, and each block is put together where it computes.

What learns stays whole in every process, as with data parallel. It is small, and so saving, clipping, any optimizer and
going on with another number of processes are as they are with one; its gradients are averaged here.

A block is put together by all processes at once. In a step all come to every block; where the first one alone computes,
to measure or to answer, the others go through the model beside it with a single token.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from ..base_models.cpu_layers import CpuLinear4bit
from ..errors import UserError
from .world import World

GO, COME_ALONG = 0, 1  # what the first process says: you may go on; compute once beside me


@dataclass(frozen=True)
class DividedWorld(World):
    """Processes of which each holds a part of the base."""

    base: Any = field(default=None, compare=False)  # transformers' model, whose blocks are divided
    calls: "_Calls" = field(default_factory=lambda: _Calls(), compare=False)

    def meet(self) -> None:
        """Whatever the first process computes before it comes here, the others compute beside it."""
        if self.rank == 0:
            self.calls.check()
            self._said(GO)
            return
        while self._said(GO) == COME_ALONG:
            self._come_along()

    @contextlib.contextmanager
    def in_step(self) -> Iterator[None]:
        self.meet()
        self.calls.is_in_step = True
        try:
            yield
        finally:
            self.calls.is_in_step = False

    def leave(self, shared: contextlib.ExitStack, *failed: Any) -> None:
        """They go on beside it until the proof is made."""

    def average(self, learned: Sequence[torch.nn.Parameter]) -> None:
        """The gradients of what learns, over all processes; one that has none of a parameter counts as zero."""
        for parameter in learned:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in learned if parameter.grad is not None]
        together = torch.cat([gradient.float().flatten() for gradient in gradients])
        dist.all_reduce(together)
        together /= self.size
        for gradient, mean in zip(gradients, together.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def _said(self, word: int) -> int:
        """The word of the first process, in all of them."""
        said = torch.tensor([word], device=self._device())
        dist.broadcast(said, 0)
        return int(said)

    def _come_along(self) -> None:
        with torch.no_grad(), torch.random.fork_rng():
            self.base(input_ids=torch.zeros((1, 1), dtype=torch.long, device=self._device()), use_cache=False)

    def call_others(self) -> None:
        """By the first process, before it computes on its own."""
        if self.rank == 0 and not self.calls.is_in_step:
            self.calls.begun += 1
            self._said(COME_ALONG)


class _Calls:
    """How often the first process called the others, and came to the end of what it computed then."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.is_in_step = False

    def check(self) -> None:
        """Raises UserError where it broke off: it is not where the others are, and would compute with wrong weights."""
        if self.begun != self.ended:
            raise UserError(
                "ranks.apart",
                "What the first process computed broke off, and the parts of the base do not fit together any more. "
                "What was saved is kept; Resume goes on from there.",
            )


def divide(model: Any, world: World) -> DividedWorld:
    """Leave each process its part of the base under an adapter, in place. From here on it computes in company only."""
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    base = model.get_base_model()
    kind = base.dtype
    mesh = init_device_mesh(device, (world.size,))
    for part in (*blocks_of(base), base):
        part.to(device)
        for layer in part.modules():
            if isinstance(layer, CpuLinear4bit):
                layer.keeps = False  # else the whole of it would stay after all
        whole = {p for p in part.parameters() if p.requires_grad or p.dtype != kind}
        fully_shard(part, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    if on_gpu:
        base.hf_device_map = {"": torch.cuda.current_device()}  # it was loaded on the CPU, which accelerate refuses
    divided = DividedWorld(world.rank, world.size, base)

    def ended(*_: Any) -> None:
        if not divided.calls.is_in_step:
            divided.calls.ended += 1

    if world.rank == 0:  # before what FSDP does there
        base.register_forward_pre_hook(lambda *_: divided.call_others(), prepend=True)
        base.register_forward_hook(ended)
    return divided


def blocks_of(base: Any) -> list[torch.nn.Module]:
    """The blocks of a model, one after another in a list; its family names what belongs together. Embeddings may be so
    named too, and share their weights with the output.
    """
    names = set(getattr(base, "_no_split_modules", None) or ())
    lists = [part for part in base.modules() if isinstance(part, torch.nn.ModuleList)]
    # FSDP makes each block one of a class of its own, below that of its family.
    return [block for some in lists for block in some if names & {kind.__name__ for kind in type(block).__mro__}]


@dataclass(frozen=True)
class Held:
    """What a process holds of the base: megabytes of its parts, of what is whole, and of the whole base."""

    tensors: int  # that are divided
    left_whole: float  # share of the blocks' numbers that are in the type of no other and stay whole, from 0 to 1
    parts_mb: float
    whole_mb: float
    base_mb: float


def held_of(base: Any) -> Held:
    """As it lies in this process, the scales of 4-bit weights included."""
    frozen = [p for p in base.parameters() if not p.requires_grad]
    divided = [p for p in frozen if isinstance(p, DTensor)]
    parts = sum(p.to_local().numel() * p.element_size() for p in divided)
    of_parts = sum(p.numel() * p.element_size() for p in divided)
    whole = sum(p.numel() * p.element_size() for p in frozen if not isinstance(p, DTensor)) + _scales(base)
    of_blocks = [p for block in blocks_of(base) for p in block.parameters() if not p.requires_grad]
    left = sum(p.numel() * p.element_size() for p in of_blocks if not isinstance(p, DTensor))
    share = left / sum(p.numel() * p.element_size() for p in of_blocks) if of_blocks else 1.0
    return Held(len(divided), share, *(round(count / 1e6, 3) for count in (parts, whole, of_parts + whole)))


def _scales(base: Any) -> int:
    """Bytes beside the codes of 4-bit weights, which are no parameters."""
    total = 0
    for layer in base.modules():
        state = getattr(layer, "quant_state", None)
        for one in (state, getattr(state, "state2", None)):
            total += sum(t.numel() * t.element_size() for t in (getattr(one, "absmax", None),) if t is not None)
    return total
