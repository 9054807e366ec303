"""What repeats itself in a dataset."""

from typing import NamedTuple

from .checks import same_key
from .sources import Examples


class Repeats(NamedTuple):
    """How many conversations are the same as another one, letter case and blanks aside."""

    duplicates: int  # learned from more than once
    known: int  # held out and learned from: measured with, they tell nothing


def repeats(examples: Examples) -> Repeats:
    train = [same_key(conversation) for conversation in examples.train]
    learned = set(train)
    return Repeats(len(train) - len(learned), sum(same_key(one) in learned for one in examples.held_out))
