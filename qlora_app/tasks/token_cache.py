"""What a tokenizer made of a dataset is kept, so that no example is cut into tokens
twice: not in this run, not in the next one.

A folder of pieces. Each is written whole by one process and never changed, so that several workers can share a folder
without a lock.
"""

import contextlib
import hashlib
import json
import mmap
import uuid
import zlib
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..messages import IGNORED
from ..storage.cache import make_room, used
from ..storage.digests import source_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_VERSION = 2
_CUT, _PARTIAL = 1, 2  # bits of the last number of the index
_HEADER = 4  # numbers before all others: version, examples, checksums of the index and of the tokens
# numbers for each example: its place, its numbers, how many of them are labels (-1: see _packed), _CUT and _PARTIAL
_INDEX = 4
# tokens; more than most datasets have, and soon made again if a worker is killed before it has written them
_PIECE = 1_000_000
_READ_BEFORE_FORGOTTEN = 64_000_000  # bytes


class Encoded(NamedTuple):
    """One example as the model sees it."""

    input_ids: list[int]
    labels: list[int]  # what carries loss, IGNORED elsewhere; a task says what they stand for
    is_cut: bool  # longer than allowed: its end is missing
    is_partial: bool = False  # an answer that was to be learned carries no loss


def cache_folder(
    root: Path, fingerprint: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, task: str = ""
) -> Path:
    """Where the tokens of a dataset are: another tokenizer, template, length or task (its name
    with its settings) has another folder.

    So has another day, for a template that writes the date. Which turns are learned is part of the fingerprint. Each
    part of a dataset has a folder in it.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    made_by = [
        backend.to_str() if backend else tokenizer.get_vocab(),
        tokenizer.chat_template,
        tokenizer.special_tokens_map,
    ]
    if "strftime_now" in str(tokenizer.chat_template):
        made_by.append(str(tokenizer.init_kwargs.get("trained_with")))
    key = json.dumps([source_of(Path(__file__).parent), fingerprint, max_length, task, *made_by], default=str)
    return root / hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


class TokenCache:
    """Encoded examples by their place in a dataset."""

    def __init__(self, count: int, folder: Path | None = None, most_mb: int = 0) -> None:
        """`count`: examples of this part. `folder`: one in that of cache_folder; without one nothing outlives this
        object. `most_mb`: megabytes that the tokens of all datasets may take together.
        """
        import numpy

        self._folder = folder
        self._piece_of: numpy.ndarray = numpy.full(count, -1, numpy.int32)
        self._row_of: numpy.ndarray = numpy.zeros(count, numpy.int32)
        self._pieces: list[_Piece] = []
        self._new: dict[int, Any] = {}
        self._new_tokens = self._read = 0
        if folder is not None:
            used(folder.parent)
            make_room(folder.parent.parent, most_mb, folder.parent)
            for file in sorted(folder.glob("*.tokens")):
                self._open(file)

    def get(self, place: int, encode: Callable[[], Encoded]) -> Encoded:
        """The example at this place; `encode` makes it where it is not known."""
        if (number := self._piece_of[place]) >= 0:
            piece = self._pieces[number]
            if piece.is_whole():
                return self._unpacked(piece, int(self._row_of[place]))
            self._piece_of[self._piece_of == number] = -1  # the disk has changed a bit of it: all of it is made again
            piece.file.unlink(missing_ok=True)
        if place in self._new:
            return _from(*self._new[place])
        made = encode()
        self.add(place, made)
        return made

    def knows(self, place: int) -> bool:
        return self._piece_of[place] >= 0 or place in self._new

    def add(self, place: int, made: Encoded) -> None:
        """Remember an example."""
        self._new[place] = _packed(place, made)
        self._new_tokens += len(made.input_ids)
        if self._folder is not None and self._new_tokens > _PIECE:
            self.save()

    def save(self) -> None:
        """Write what is new. A full disk only means that it is not kept."""
        import numpy

        if not self._new or self._folder is None:
            return
        index = numpy.array([row for row, _ in self._new.values()], numpy.int32)
        tokens = numpy.concatenate([numbers for _, numbers in self._new.values()])
        header = numpy.array([_VERSION, len(index), _checksum(index), _checksum(tokens)], numpy.int32)
        file = self._folder / f"{uuid.uuid4().hex}.tokens"
        beside = file.with_suffix(".part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # it may have been thrown away to make room
            with beside.open("wb") as out:
                for part in (header, index, tokens):
                    out.write(part.tobytes())
            beside.rename(file)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            print(f"The tokens were not kept ({error.strerror}).")
            self._folder = None
            return
        self._new, self._new_tokens = {}, 0
        self._open(file)

    def _open(self, file: Path) -> None:
        try:
            piece = _Piece(file, len(self._piece_of))
        except (
            OSError,
            ValueError,
            IndexError,
        ):  # cut short, of another version, or another worker has just found it broken
            file.unlink(missing_ok=True)
            return
        self._piece_of[piece.index[:, 0]] = len(self._pieces)
        self._row_of[piece.index[:, 0]] = range(len(piece.index))
        self._pieces.append(piece)

    def _unpacked(self, piece: "_Piece", row: int) -> Encoded:
        """The system counts what was read of a mapped file as this process's memory, so
        from time to time it is told to forget it.
        """
        index, numbers = piece.index[row], piece.tokens[piece.ends[row] - piece.index[row, 1] : piece.ends[row]]
        made = _from(index.tolist(), numbers)
        self._read += numbers.nbytes + 4096
        if self._read > _READ_BEFORE_FORGOTTEN:
            self._read = 0
            for one in self._pieces:
                one.map.madvise(mmap.MADV_DONTNEED)
        return made


class _Piece:
    """One file of the cache, mapped into memory."""

    def __init__(self, file: Path, count: int) -> None:
        """Raises ValueError where it is not what was written."""
        import numpy

        self.file = file
        with file.open("rb") as opened:
            self.map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        numbers = numpy.frombuffer(self.map, numpy.int32, len(self.map) // 4)
        version, examples, index_sum, self._sum = map(int, numbers[:_HEADER])
        border = _HEADER + _INDEX * examples
        self.index = numbers[_HEADER:border].reshape(examples, _INDEX).copy()
        self.tokens = numbers[border:]
        self.ends = self.index[:, 1].cumsum(dtype=numpy.int64)
        is_sound = version == _VERSION and _checksum(self.index) == index_sum and self.ends[-1] == len(self.tokens)
        if not (is_sound and self.index[:, 0].min() >= 0 and self.index[:, 0].max() < count):
            raise ValueError(file.name)
        self._is_whole: bool | None = None

    def is_whole(self) -> bool:
        """Are the tokens those that were written? Looked at when the first of them is needed."""
        if self._is_whole is None:
            self._is_whole = _checksum(self.tokens) == self._sum
        return self._is_whole


def _packed(place: int, example: Encoded) -> tuple[list[int], Any]:
    """(index, numbers).

    Where a label is the token's own id or IGNORED, as nearly always, one number says both: the id, or its complement,
    which is negative. Elsewhere the labels follow the ids.
    """
    import numpy

    ids, labels = (
        numpy.frombuffer(array("i", numbers), numpy.int32) for numbers in (example.input_ids, example.labels)
    )
    if len(ids) == len(labels) and ((labels == ids) | (labels == IGNORED)).all():
        numbers, labelled = numpy.where(labels == IGNORED, ~ids, ids), -1
    else:
        numbers, labelled = numpy.concatenate([ids, labels]), len(labels)
    flags = _CUT * example.is_cut + _PARTIAL * example.is_partial
    return [place, len(numbers), labelled, flags], numbers


def _from(index: list[int], numbers: Any) -> Encoded:
    import numpy

    _, count, labelled, flags = index
    state = bool(flags & _CUT), bool(flags & _PARTIAL)
    if labelled >= 0:
        return Encoded(numbers[: count - labelled].tolist(), numbers[count - labelled :].tolist(), *state)
    silent = numbers < 0
    return Encoded(
        numpy.where(silent, ~numbers, numbers).tolist(), numpy.where(silent, IGNORED, numbers).tolist(), *state
    )


def _checksum(numbers: Any) -> int:
    """CRC-32 as a number of 32 bits with a sign."""
    sum = zlib.crc32(numbers.tobytes())
    if sum >= 1 << 31:
        return sum - (1 << 32)
    return sum
