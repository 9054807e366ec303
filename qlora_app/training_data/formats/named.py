"""Pairs whose columns have usual names that leave no doubt: problem and solution, src and tgt, Frage and Antwort."""

from ...messages import Message
from .names import sure_pair
from .row_view import Reading
from .turns import Columns, RowError, turn

_MOST_COLUMNS = 60  # of more, nobody is sure of two


def named_columns(row: Columns) -> tuple[str | None, str | None]:
    """(the column that asks, the one that answers); neither where it is not certain."""
    if len(row) > _MOST_COLUMNS:
        return None, None
    return sure_pair(tuple(row)) or (None, None)


def named_pair(row: Reading) -> list[Message]:
    """A question and its answer, by the names of their columns."""
    asks, answers = named_columns(row)
    if asks is None or answers is None:
        raise RowError("no two of its columns are sure to be a question and its answer")
    return [turn("user", row[asks], asks), turn("assistant", row[answers], answers)]
