"""The lines of metrics.jsonl, samples.jsonl and asked.jsonl, as types: written by train/, read by page and curve."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypedDict

from ..storage.reading import lines_of, open_regular

# What a curve keeps of every step beside its loss.
FigureName = Literal["learning_rate", "grad_norm", "memory_mb", "tokens_per_second"]
# Of preferences, by TRL's names: what answers gained over the reference, of each step and on held-out pairs.
RewardName = Literal["rewards_chosen", "rewards_rejected", "rewards_margins", "rewards_accuracies"]
HELD_OUT = "held_out_"


class MetricRow(TypedDict, total=False):
    """One line of metrics.jsonl: of a training step (all but the held-out figures), or of a measurement (those only).

    A task may measure more on held-out rows than their loss; each stands there as `held_out_` and its name.
    """

    step: int  # optimizer steps done, from 1
    loss: float  # of the step: nats a learned token
    learning_rate: float | None
    grad_norm: float | None  # before clipping; None where it was no number
    epoch: float
    tokens: int  # learned from since this part of the run began, padding left out
    tokens_per_second: int
    memory_mb: int  # the GPU's peak, or the process's memory where there is none
    seconds: float  # of training, earlier parts of the run included
    held_out_loss: float | None
    rewards_chosen: float  # of a run that learns preferences, with the three others
    rewards_rejected: float
    rewards_margins: float
    rewards_accuracies: float  # share of pairs whose chosen answer gained more, from 0 to 1


class SampleRow(TypedDict, total=False):
    """One line of samples.jsonl: a sample question as the model answered it at a step. Step 0 is the base."""

    step: int
    question: str
    answer: str
    is_cut: bool  # the answer had not ended; missing in runs of the first version
    expected: str  # empty where nothing is known to be right


class AskedRow(TypedDict, total=False):
    """One line of asked.jsonl: a question that somebody asked while it trained, answered between two steps."""

    id: str  # of the wish
    step: int  # optimizer steps done by the adapter that answered
    question: str
    answer: str
    is_cut: bool  # the answer had not ended
    base: str  # what the base answers
    base_is_cut: bool
    sentence: str  # why there is no answer, with its code and values beside it


def keep_until(step: int, path: Path, kept: Callable[[Any], None] = lambda row: None) -> None:
    """Drop the lines of a file that are of later steps, or torn; `kept` hears of each that stays.

    The file is read line by line, however long it is, and written anew only where something is dropped. Raises OSError
    where it cannot be read: then it stays as it is.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return
    with file:
        _keep_until(step, path, file, kept)


def _keep_until(step: int, path: Path, file: BinaryIO, kept: Callable[[Any], None]) -> None:
    kept_to = read_to = 0  # bytes: of the lines that stay before the first that goes, and of all lines
    stays_later = False  # does a line stay after one that goes? Then they are picked one by one
    for row, end in lines_of(file):
        is_cut = kept_to < read_to
        read_to = end
        if _is_until(row, step):
            kept(row)
            stays_later = stays_later or is_cut
            kept_to = kept_to if is_cut else end
    if stays_later:
        _rewrite(path, lambda into: _pick(step, path, into))
    elif kept_to < file.tell():
        _rewrite(path, lambda into: _copy(kept_to, file, into))


def _is_until(row: Any, step: int) -> bool:
    logged = row.get("step", 0) if row else None
    return isinstance(logged, int) and logged <= step


def _pick(step: int, path: Path, into: BinaryIO) -> None:
    begin = 0
    with open_regular(path) as rows, open_regular(path) as lines:
        for row, end in lines_of(rows):
            line = lines.read(end - begin)
            begin = end
            if _is_until(row, step):
                into.write(line)


def _copy(size: int, file: BinaryIO, into: BinaryIO) -> None:
    file.seek(0)
    while size and (chunk := file.read(min(size, 1 << 20))):
        into.write(chunk)
        size -= len(chunk)


def _rewrite(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """A new file in the place of the old one, whose number on the disk tells readers that it is another."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
