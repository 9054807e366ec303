"""The processes that share a training. Each has the whole adapter and reads its part of every step; the first one alone
writes the run, decides, and answers.
"""

import contextlib
import datetime
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from .meeting import HERE, VARIABLES, WITHIN, Network, variables

# The others wait while the first one measures or answers. One that has died is noticed by `ranks.py`, not by waiting.
PATIENCE = datetime.timedelta(days=7)


@dataclass(frozen=True)
class World:
    """One process among `size`, counted from 0; alone where nothing is said."""

    rank: int = 0
    size: int = 1

    @property
    def is_shared(self) -> bool:
        return self.size > 1

    def meet(self) -> None:
        """Come to where all are, before they tell one another anything: a wait only where the base is divided."""

    def in_step(self) -> contextlib.AbstractContextManager[None]:
        """Meanwhile all compute the same step."""
        return contextlib.nullcontext()

    def leave(self, shared: contextlib.ExitStack, *failed: Any) -> None:
        """After the last step the first process is alone, unless the others hold a part of the base. failed: type,
        error and traceback of what ended it otherwise, of which another process may be the cause.
        """
        shared.__exit__(*(failed or (None, None, None)))

    def average(self, learned: Sequence[torch.nn.Parameter]) -> None:
        """The gradients of what learns; nothing to do where DDP does it."""

    def total(self, *numbers: float) -> list[float]:
        """Each of them, added up over all processes, which all ask at the same time."""
        return self._reduced(numbers, dist.ReduceOp.SUM) if self.is_shared else list(numbers)

    def least(self, number: int) -> int:
        """The smallest of all processes."""
        return int(self._reduced([number], dist.ReduceOp.MIN)[0]) if self.is_shared else number

    def from_first(self, flags: Sequence[bool]) -> list[bool]:
        """What the first process says, in all of them."""
        if not self.is_shared:
            return list(flags)
        self.meet()
        numbers = torch.tensor([float(flag) for flag in flags], device=self._device())
        dist.broadcast(numbers, 0)
        return [bool(number) for number in numbers.tolist()]

    def gathered(self, value: Any) -> list[Any]:
        """The value of every process, in their order."""
        if not self.is_shared:
            return [value]
        self.meet()
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def _reduced(self, numbers: Sequence[float], how: Any) -> list[float]:
        self.meet()
        given = torch.tensor(numbers, dtype=torch.float64, device=self._device())
        dist.all_reduce(given, how)
        return given.tolist()

    def _device(self) -> str:
        return "cuda" if dist.get_backend() == "nccl" else "cpu"


ALONE = World()


def open_store(address: str = HERE) -> dist.TCPStore:
    """Where the processes meet: at a port that is free, and of this address alone.

    The store has no password, and what comes from it is unpickled. Left to itself it listens on every interface,
    whatever host it is told, so it is handed a socket that does not.
    """
    listening = socket.create_server((address, 0))
    port = listening.getsockname()[1]
    return dist.TCPStore(
        address, port, is_master=True, wait_for_workers=False, timeout=PATIENCE, master_listen_fd=listening.detach()
    )


@contextlib.contextmanager
def joined(world: World, port: int, store: dist.TCPStore | None = None, network: Network = WITHIN) -> Iterator[World]:
    """Meanwhile this process is one of the world. `store`: of the first process, which opened it."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ |= variables(world.rank, world.size, port, network)
    store = store or dist.TCPStore(network.address, port, is_master=False, timeout=PATIENCE)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, store=store, rank=world.rank, world_size=world.size, timeout=PATIENCE)
        yield world
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
