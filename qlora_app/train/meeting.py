"""Where the processes of a training meet, as torchrun would tell it; without torch, for those who only start them."""

import os
import sys
from dataclasses import dataclass

HERE = "127.0.0.1"
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
VARIABLES = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"),  # else they listen where this machine's name leads
    "GROUP_RANK",
)


@dataclass(frozen=True)
class Network:
    """Where the processes meet: an address of the first machine, the interface by which this one reaches it, and which
    of the machines this is, counted from 0.
    """

    address: str = HERE
    interface: str = LOOPBACK
    node: int = 0

    @classmethod
    def of_this_process(cls) -> "Network":
        """As `variables` told it."""
        return cls(os.environ["MASTER_ADDR"], os.environ["GLOO_SOCKET_IFNAME"], int(os.environ["GROUP_RANK"]))


WITHIN = Network()  # one machine


def variables(rank: int, size: int, port: int, network: Network = WITHIN) -> dict[str, str]:
    """What torchrun would tell a process; every one sees its own device only, which is the first to it."""
    name = network.interface
    values = (rank, 0, size, size, network.address, port, name, name, network.node)
    return {name: str(value) for name, value in zip(VARIABLES, values, strict=True)}
