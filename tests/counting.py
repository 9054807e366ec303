"""What a piece of work costs in calls of functions, which no other work on the machine changes, where clocks do."""

import contextlib
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def calls_at_most(most: int) -> Iterator[list[int]]:
    """Fails as soon as what happens here in this thread calls more functions, those of C included, than that.

    Gives a list whose only number is how many there were so far.
    """
    count = [0]

    def see(frame: FrameType, event: str, _: Any) -> None:
        if event in ("call", "c_call"):
            count[0] += 1
            if count[0] > most:
                raise AssertionError(f"more than {most:,} calls")

    sys.setprofile(see)
    try:
        yield count
    finally:
        sys.setprofile(None)
    assert count[0] <= most, f"more than {most:,} calls"  # where somebody caught the error above
