"""What a file holds once it is read: its conversations, and what became of every row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..messages import Conversation

# Called with how many rows were read, and which share of the file that is (0.0 where it is not known).
Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used: its number in the data from 1, the line it starts on if
    known, why, and in which of several files.
    """

    row: int
    line: int | None
    reason: str
    file: str = ""

    def __str__(self) -> str:
        places = []
        if self.line:
            places.append(f"line {self.line}")
        if self.file:
            places.append(self.file)
        place = " of ".join(places)
        if place:
            return f"row {self.row} ({place}): {self.reason}"
        return f"row {self.row}: {self.reason}"


@dataclass(frozen=True)
class FileContents:
    """All of a file: the rows in `numbers` (one a conversation, as in `lines`; some rows give
    several) and those left out are all rows.

    `format` is its name, `because` says how it was recognised; `user` and `answer` are
    the columns that ask and answer; a line is 0 where it is not known. `digest` is a
    sha256 of all conversations, `characters` how many they have, 10 more for each turn.
    """

    format: str
    because: str
    user: str | None
    answer: str | None
    rows: int
    conversations: Sequence[Conversation]
    numbers: Sequence[int]
    lines: Sequence[int]
    left_out: list[LeftOut]
    warnings: list[str]
    digest: str
    characters: int
    duplicates: int
    keys: bytes  # the same_key of each; nothing where nobody looked
    asked: Sequence[int]  # the question_number of each
    pairs: int = 0  # rows with a rejected answer beside the one that is learned
    labelled: int = 0  # rows of which somebody said whether their answer is good, those called bad among them
    unwanted: Sequence[Conversation] = ()  # of rows left out because their answer is called bad: KTO learns from them
