"""Are adapter and base still those that were measured? A file that is written anew answers otherwise than its proof
says, and nothing else would tell.
"""

import functools
from pathlib import Path

from ..base_models import fingerprint, folder_of
from ..base_models.recognition import weight_files
from ..errors import UserError
from ..methods.fitting import WEIGHTS
from ..storage.digests import sha256_of
from .proof import Proof
from .run import Run

OTHER_WEIGHTS = "The adapter's file was written anew after it was measured, so none of its figures is true of it."
OTHER_BASE = (
    "The base has other weights now than those it was trained on, and an adapter does nothing good on another base."
)


def changed_words(run: Run, proof: Proof) -> str:
    """Why what lies there is not what was measured; empty where it is, or where an older version did not note it."""
    if proof.weights and weights_of(run.adapter) not in ("", proof.weights):
        return OTHER_WEIGHTS
    if proof.base.fingerprint and _base_now(run) not in ("", proof.base.fingerprint):
        return OTHER_BASE
    return ""


def weights_of(adapter: Path) -> str:
    """SHA-256 of an adapter's file; empty where there is none."""
    try:
        found = (adapter / WEIGHTS).stat()
        return _digest(adapter / WEIGHTS, found.st_mtime_ns, found.st_size)
    except OSError:
        return ""


def _base_now(run: Run) -> str:
    """Empty where it is not here."""
    try:
        folder = folder_of(run.base_model())
        seen = tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in weight_files(folder))
        return _fingerprint(folder, seen)
    except (OSError, UserError):
        return ""


@functools.lru_cache(maxsize=256)
def _digest(file: Path, written: int, size: int) -> str:
    """`written` and `size` only tell when the file is another."""
    return sha256_of(file)


@functools.lru_cache(maxsize=64)
def _fingerprint(folder: Path, seen: tuple[tuple[Path, int, int], ...]) -> str:
    """As above."""
    return fingerprint(folder)
