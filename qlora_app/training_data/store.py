"""Where the conversations of a file are while they are used: few in memory, many in
an Arrow table on disk, read one by one.
"""

import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from ..messages import STRUCTURE, Conversation, Message

# bytes; about 10,000 questions with their answers, which are read again quicker than `datasets` is imported
IN_MEMORY = 10_000_000
_A_TURN = 400  # bytes Python needs for a turn beside its text
_AT_ONCE = 4_000_000  # bytes written at once
_ROWS = 1000  # read at once where all are read
_READ_BEFORE_FORGOTTEN = 20_000  # conversations
_PARTS_BEFORE_FORGOTTEN = 100  # of a table


def with_turns(conversation: Conversation, turns: str) -> Conversation:
    """The conversation with its turns marked for training: "all" answers as they
    are, the "last" one only, or "everything".
    """
    if turns == "all":
        return conversation
    if turns == "everything":
        return [{**turn, "train": True} for turn in conversation]
    earlier = [_not_trained(turn) for turn in conversation[:-1]]
    return earlier + conversation[-1:]


def _not_trained(turn: Message) -> Message:
    if turn["role"] == "assistant":
        return {**turn, "train": False}
    return turn


class ConversationStore:
    """Takes conversations one by one and never holds more than a few megabytes of them."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where the table of many conversations is left;
        without one it is gone with the last who reads it.
        """
        self.count = 0
        self._folder = folder
        self._writer: Any = None
        self._file = Path()  # of the writer
        self._waiting: list[Conversation] = []
        self._bytes = 0

    def add(self, conversation: Conversation, characters: int) -> None:
        self._waiting.append(conversation)
        self.count += 1
        self._bytes += characters + _A_TURN * len(conversation)
        room = _AT_ONCE if self._writer else IN_MEMORY
        if self._bytes > room:
            self._write()

    def finish(self) -> Sequence[Conversation]:
        """All that was added: a list, or what reads the table."""
        if self._writer is None:
            return self._waiting
        self._write()
        self._writer.finalize()
        conversations = ArrowConversations(self._file)
        if self._folder is None:
            self._file.unlink()  # it stays readable for as long as it is mapped
        return conversations

    def discard(self) -> None:
        """Nothing of an unfinished table is left behind."""
        if self._writer:
            self._writer.close()
            self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        self._writer = self._writer or self._begin()
        for i in range(0, len(self._waiting), _ROWS):
            self._writer.write_batch({"messages": self._waiting[i : i + _ROWS]})
        self._waiting, self._bytes = [], 0

    def _begin(self) -> Any:
        from datasets import Features, List, Value
        from datasets.arrow_writer import ArrowWriter

        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(prefix=".reading-", suffix=".arrow", dir=self._folder)
        os.close(handle)
        self._file = Path(name)
        turn = {
            "role": Value("string"),
            "content": Value("string"),
            "train": Value("bool"),
            "options": List(Value("string")),
        }
        turn |= {name: Value("string") for name in (*STRUCTURE, "rejected")} | {"label": Value("bool")}
        return ArrowWriter(features=Features({"messages": List(turn)}), path=name)


class ArrowConversations(Sequence[Conversation]):
    """Conversations in an Arrow table, in the order of `places`; each is read when it is asked for."""

    def __init__(self, file: Path, places: Any = None, turns: str = "all") -> None:
        """`places`: a NumPy array of rows of the table; None for all.
        Raises OSError for a file that cannot be opened.
        """
        self.file, self.places, self._turns = file, places, turns
        with open(file, "rb") as opened:
            self._map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        self._table: Any = None
        self._read = 0

    def select(self, places: Sequence[int], turns: str = "all") -> "ArrowConversations":
        """Those at these places, as they stand here."""
        import numpy

        asked = numpy.asarray(places, dtype=numpy.int64)
        made = copy(self)  # it shares the mapped file, which may have lost its name since
        made.places = asked if self.places is None else self.places[asked]
        made._turns = turns
        return made

    def __len__(self) -> int:
        if self.places is None:
            return len(self._rows())
        return len(self.places)

    def __getitem__(self, index: int | slice) -> Any:
        places = range(len(self)) if self.places is None else self.places
        if isinstance(index, slice):
            return list(self._conversations(places[index]))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = self._rows(1).data.fast_slice(int(places[index]), 1)
        return self._conversation(row["messages"][0].as_py())

    def __iter__(self) -> Iterator[Conversation]:
        for i in range(0, len(self), _ROWS):
            yield from self[i : i + _ROWS]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def _rows(self, count: int = 0) -> Any:
        """The table.

        The system counts what was read of it as this process's memory, so from time to time it is told to forget it.
        """
        if self._table is None:
            from datasets import Dataset
            from datasets.table import InMemoryTable

            # without a fingerprint it would read all of the table for one
            self._table = Dataset(InMemoryTable(self._opened()), fingerprint=self.file.name)
        self._read += count
        if self._read > _READ_BEFORE_FORGOTTEN:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read = 0
        return self._table

    def _opened(self) -> Any:
        """The mapped table: where each of its parts is, which takes some pages of each."""
        import pyarrow

        parts = []
        for count, part in enumerate(pyarrow.ipc.open_stream(pyarrow.py_buffer(self._map))):
            parts.append(part)
            if count % _PARTS_BEFORE_FORGOTTEN == 0:
                self._map.madvise(mmap.MADV_DONTNEED)
        return pyarrow.Table.from_batches(parts)

    def _conversations(self, places: Sequence[int]) -> Iterator[Conversation]:
        """Those in these rows of the table, read together."""
        rows = self._rows(len(places))[[int(place) for place in places]]
        return map(self._conversation, rows["messages"])

    def _conversation(self, turns: list[dict[str, Any]]) -> Conversation:
        made: Any = [{name: value for name, value in turn.items() if value is not None} for turn in turns]
        return with_turns(made, self._turns)


class Concat(Sequence[Conversation]):
    """Two sequences of conversations as one; nothing is copied."""

    def __init__(self, first: Sequence[Conversation], second: Sequence[Conversation]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = index % len(self)
        if place < len(self.first):
            return self.first[place]
        return self.second[place - len(self.first)]

    def __iter__(self) -> Iterator[Conversation]:
        yield from self.first
        yield from self.second
