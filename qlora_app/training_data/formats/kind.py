"""What a kind of row is made of."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ...messages import Message
from .row_view import Reading
from .turns import Columns

Reader = Callable[[Reading], list[Message] | Iterator[list[Message]]]


class Kind(NamedTuple):
    """What a row can be: a name, its title for people, a test, the columns that ask and
    answer, and how it is read if it can be.

    `because` completes "TITLE, because ..." and may name {user} and {answer}; `note` is said whenever rows are read so.
    `opens`: may a system text and tools belong to it? `answers`: may reasoning, which then stands in a column like
    question and answer?
    """

    name: str
    title: str
    fits: Callable[[Columns], bool]
    columns: Callable[[Columns], tuple[str | None, str | None]] = lambda row: (None, None)
    read: Reader | None = None
    because: str = "rows have {user} and {answer}"
    note: str = ""
    opens: bool = True
    answers: bool = False
