"""Which rows are kept aside to measure with. A million rows take a few dozen megabytes here, and the same are drawn as
ever: rows added to a file later do not move the others.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

MOST_HELD_OUT = 500  # more would only make every measurement slower
FEWEST_TO_SPLIT = 10
KEY = 16  # bytes of a same_key


class Keys(Sequence[bytes]):
    """The same_key of each conversation, one behind the other in memory."""

    def __init__(self, packed: bytes | bytearray) -> None:
        self.packed = bytes(packed)

    def __len__(self) -> int:
        return len(self.packed) // KEY

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "list[bytes]": ...
    def __getitem__(self, index: int | slice) -> "bytes | list[bytes]":
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return self.packed[index * KEY : (index + 1) * KEY]

    def array(self) -> Any:
        """As NumPy sorts them."""
        import numpy

        return numpy.frombuffer(self.packed, dtype=f"S{KEY}")

    @property
    def repeated(self) -> int:
        """How many repeat another one."""
        import numpy

        return len(self) - len(numpy.unique(self.array())) if self.packed else 0


def held_out_positions(keys: Sequence[bytes], share: float, seed: int) -> set[int]:
    """Which conversations, given by their same_key, are never trained on: `share` of them, at least 1, at most 500.

    Equal ones stay together. Empty without a share, with fewer than 10, and when all are equal.
    """
    return _drawn(_first_of_equal(keys), lambda place: keys[place], share, seed)


def held_out_places(keys: Sequence[bytes], asked: Sequence[int], share: float, seed: int) -> set[int]:
    """Which conversations are never trained on, as `held_out_positions` says, and
    of those that ask the same all or none.

    `asked`: the question_number of each. Where whole questions would hold out far fewer than were wanted, conversations
    are drawn one by one: where one question stands in most rows, its answers are what is measured.
    """
    import numpy

    equal = _first_of_equal(keys)
    apart = _drawn(equal, lambda place: keys[place], share, seed)
    together = _first_asking(asked, equal)
    if numpy.array_equal(together, equal):
        return apart
    whole = _drawn(together, lambda place: keys[place], share, seed)
    is_enough = len(apart) <= 2 * len(whole) <= 2 * len(apart)
    if is_enough:
        return whole
    return apart


def sample_positions(keys: Sequence[bytes], seed: int) -> list[int]:
    """At most 500 of the conversations of data that is only measured with, each of equal ones once, in their order."""
    import numpy

    firsts = numpy.unique(_first_of_equal(keys))
    order = _order(firsts, lambda place: keys[place], seed)
    return sorted(int(firsts[one]) for one in order[:MOST_HELD_OUT])


def places_without(keys: Sequence[bytes], others: Sequence[bytes]) -> Any:
    """The places of `keys` that are not among the others, as a NumPy array."""
    import numpy

    return numpy.flatnonzero(~numpy.isin(_array(keys), _array(others)))


def _array(keys: Sequence[bytes]) -> Any:
    import numpy

    return keys.array() if isinstance(keys, Keys) else numpy.array(keys)


def _first_of_equal(keys: Sequence[bytes]) -> Any:
    """For each key the place of the first that equals it."""
    import numpy

    if not isinstance(keys, Keys):
        first: dict[bytes, int] = {}
        return numpy.array([first.setdefault(key, place) for place, key in enumerate(keys)], dtype=numpy.int64)
    _, index, inverse = numpy.unique(keys.array(), return_index=True, return_inverse=True)
    return index[inverse]


def _first_asking(asked: Sequence[int], equal: Any) -> Any:
    """For each conversation the first that asks the same; the first that equals it where it asks nothing."""
    import numpy

    numbers = numpy.asarray(asked, dtype=numpy.uint64)
    _, index, inverse = numpy.unique(numbers, return_index=True, return_inverse=True)
    return numpy.where(numbers != 0, equal[index[inverse]], equal)


def _drawn(firsts: Any, key_of: Callable[[int], bytes], share: float, seed: int) -> set[int]:
    """The places whose group is held out; `firsts`: for each place the first of its group."""
    import numpy

    if not share or len(firsts) < FEWEST_TO_SPLIT:
        return set()
    groups, sizes = numpy.unique(firsts, return_counts=True)
    wanted = min(MOST_HELD_OUT, max(1, round(len(firsts) * share)))
    chosen: list[int] = []
    count = 0
    for place in _order(groups, key_of, seed):
        if count + int(sizes[place]) <= wanted:
            chosen.append(int(groups[place]))
            count += int(sizes[place])
        if count == wanted:
            break
    smallest = int(numpy.argmin(sizes))
    if not chosen and len(groups) > 1 and sizes[smallest] <= MOST_HELD_OUT:
        chosen.append(int(groups[smallest]))
    return {int(place) for place in numpy.flatnonzero(numpy.isin(firsts, chosen))}


def _order(groups: Any, key_of: Callable[[int], bytes], seed: int) -> Any:
    """The groups in the order in which they are held out, by the beginning of their draws."""
    import numpy

    beginnings: Iterable[int] = (int.from_bytes(_draw(seed, key_of(int(place)))[:8], "big") for place in groups)
    return numpy.argsort(numpy.fromiter(beginnings, dtype=numpy.uint64, count=len(groups)), kind="stable")


def _draw(seed: int, key: bytes) -> bytes:
    """Where a row stands in the order in which rows are held out.

    Rows added to the file later do not move the others.
    """
    return hashlib.blake2b(b"%d " % seed + key).digest()
