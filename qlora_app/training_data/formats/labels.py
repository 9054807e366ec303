"""Is a column beside a text its label?

Only the whole file can tell: labels are short and repeat, and stand in every row.
"""

from collections import Counter, defaultdict
from typing import Any

from .turns import ROLES, Columns

_MOST_LABELS, _LONGEST_LABEL = 500, 60  # different ones, and characters of one
_OFTEN = 3  # rows a label has at least, on average
_LONGEST_TEXT = 2000  # characters on average: longer texts are documents, which are seldom sorted by one word
_FEWEST = 6  # rows in which values can be said to repeat
# Repeats without being what a text is to be told apart by: where it comes from, what it is written in, how it is kept.
_BOOKKEEPING = {
    "source",
    "lang",
    "language",
    "split",
    "subset",
    "license",
    "licence",
    "id",
    "url",
    "domain",
    "dataset",
    "config",
    "date",
    "year",
    "author",
    "version",
    "format",
    "encoding",
    "origin",
    "file",
    "filename",
    "path",
    "length",
    "num_tokens",
    "token_count",
    "page",
    "chapter",
    "book",
    "created",
    "timestamp",
    "index",
    "idx",
}


class BesideTexts:
    """What the columns beside plain texts hold."""

    def __init__(self) -> None:
        self.rows = self.characters = 0
        self._values: dict[str, Counter[str]] = defaultdict(Counter)
        self._cannot: set[str] = set()  # columns that are no label

    def add(self, row: Columns, text: str) -> None:
        """`text`: the column that holds it."""
        self.rows += 1
        self.characters += len(row[text])
        for name, value in row.items():
            if name != text and name not in self._cannot:
                self._count(name, value)

    def _count(self, name: str, value: Any) -> None:
        is_short = isinstance(value, (str, int)) and len(str(value)) <= _LONGEST_LABEL
        values = self._values[name]
        if is_short:
            values[str(value)] += 1
        if not is_short or len(values) > _MOST_LABELS or name in _BOOKKEEPING or name.endswith("_id"):
            self._cannot.add(name)
            del self._values[name]

    @property
    def are_documents(self) -> bool:
        """Are the texts too long on average to be told apart by one word?"""
        return self.characters > _LONGEST_TEXT * self.rows

    def labels(self) -> list[str]:
        """The columns that could be the label."""
        if self.rows < _FEWEST or self.are_documents:
            return []
        return [
            name
            for name, values in self._values.items()
            if sum(values.values()) == self.rows
            and len(values) > 1
            and self.rows >= _OFTEN * len(values)
            and not all([value.strip().lower() in ROLES for value in values])  # who speaks is no label
        ]
