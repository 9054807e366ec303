"""What a model remembers of texts it has read: keys and values by adapter and tokens, so that the next turn of a
conversation computes only what is new.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Layers = list[tuple["torch.Tensor", "torch.Tensor"]]  # keys and values, each [1, heads, tokens, size]
LEAST = 8  # tokens that are worth it
MOST_BYTES = 512 * 2**20


class Prefixes:
    """The texts that were read last, as many as fit; the one that was not used for longest goes first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._changing = threading.Lock()  # it may be forgotten while the computing thread looks into it
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Layers] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def longest(self, adapter: str, ids: Sequence[int]) -> tuple[int, Layers]:
        """(how many of the first tokens are known, what was remembered of them); at least the last one is not, since
        something has to be computed."""
        wanted = tuple(ids[:-1])
        known, best = 0, None
        with self._changing:
            for key in self._kept:
                if key[0] == adapter and (length := common(key[1], wanted)) > known:
                    known, best = length, key
            if best is None or known < LEAST:
                return 0, []
            self._kept.move_to_end(best)
            layers = self._kept[best]
        return known, [(keys[:, :, :known], values[:, :, :known]) for keys, values in layers]

    def keep(self, adapter: str, ids: Sequence[int], layers: Layers) -> None:
        """Remember a text. What is only the beginning of it is kept with it."""
        tokens = tuple(ids)
        size = _bytes(layers)
        if len(tokens) < LEAST or size > self.most_bytes:
            return
        with self._changing:
            beginnings = [key for key in self._kept if key[0] == adapter and tokens[: len(key[1])] == key[1]]
            for key in beginnings:
                self._drop(key)
            while self._kept and self.bytes + size > self.most_bytes:
                self._drop(next(iter(self._kept)))
            self._kept[adapter, tokens] = layers
            self.bytes += size

    def forget(self, adapter: str | None = None) -> None:
        """Everything, or what was read with one adapter."""
        with self._changing:
            for key in list(self._kept):
                if adapter is None or key[0] == adapter:
                    self._drop(key)

    def _drop(self, key: tuple[str, tuple[int, ...]]) -> None:
        self.bytes -= _bytes(self._kept.pop(key))


def common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many of their first tokens are the same."""
    least, most = 0, min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    while most - least > 1:  # halves are compared whole, which is much quicker than token by token
        middle = (least + most) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle
    return least


def _bytes(layers: Layers) -> int:
    return sum(keys.nbytes + values.nbytes for keys, values in layers)
