"""What the model as it begins thinks of every answer: computed once before the first step, and kept in the run.

The reference is the adapter that the run begins with, or the base where that is new, with every dropout off. A run that
is resumed reads it again; where the file is gone, it is computed anew from what the run began with.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch

from ...tasks.dataset import EncodedExamples
from ...tasks.packing import on_device
from ...tasks.task import evaluating
from .likelihood import answers_of

FOLDER = "reference"  # of a run
_TELL_EVERY = 20  # batches


def without_dropout(model: torch.nn.Module) -> None:
    """For good: what is learned is held against a reference, and must not differ from it by chance."""
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        for name, value in list(vars(part).items()):
            if "drop" in name and isinstance(value, float):  # as attention has it, which is a function
                setattr(part, name, 0.0)


def reference_key(*made_of: Any) -> str:
    """Another one for another adapter, other data, or data that are read in another way."""
    return hashlib.blake2b(json.dumps(made_of, default=str).encode(), digest_size=16).hexdigest()


def known_or_computed(file: Path, key: str, count: int, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    """[count, 2] log-probabilities, from the file where it is of this key."""
    known = _read(file, key, count)
    if known is not None:
        return known
    made = compute()
    _write(file, key, made)
    return made


def log_probabilities(
    model: torch.nn.Module,
    examples: EncodedExamples,
    collate: Callable[..., dict[str, Any]],
    prepared: Callable[[dict[str, Any]], dict[str, Any]],
    at_once: int,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> torch.Tensor:
    """Of the two rows of each example: of a pair its answers, of a judged answer that and the one of another prompt.

    collate: makes a batch of plain rows; prepared: as the model takes it.
    """
    found = torch.empty(len(examples), 2)
    for number, start in enumerate(range(0, len(examples), at_once)):
        items = examples.__getitems__(list(range(start, min(len(examples), start + at_once))))
        rows = [row for item in items for row in (*item["rows"], *item["other"])]
        batch = on_device(prepared(collate(rows)), model.device)  # type: ignore[arg-type]
        with evaluating(model):  # type: ignore[arg-type]
            answers, _ = answers_of(model, batch)
        found[start : start + len(items)] = answers.sums.reshape(-1, 2).cpu()
        if number % _TELL_EVERY == 0:
            tell(start, len(examples))
    return found


def _read(file: Path, key: str, count: int) -> torch.Tensor | None:
    try:
        with numpy.load(file, allow_pickle=False) as kept:
            values = kept["log_probabilities"]
            if str(kept["key"]) != key or values.shape != (count, 2) or not numpy.isfinite(values).all():
                return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # there is none, or half of one
        return None
    return torch.from_numpy(values)


def _write(file: Path, key: str, values: torch.Tensor) -> None:
    file.parent.mkdir(exist_ok=True)
    beside = file.with_name(f".{file.name}")
    with open(beside, "wb") as out:
        numpy.savez(out, key=numpy.array(key), log_probabilities=values.numpy())
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
