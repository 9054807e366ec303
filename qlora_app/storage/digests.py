"""SHA-256 of files, and of the code that makes what is kept."""

import functools
import hashlib
from pathlib import Path

from .reading import open_regular

_BLOCK = 1 << 20  # bytes in memory at once


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes, read in pieces. Raises OSError."""
    digest = hashlib.sha256()  # hashlib.file_digest came with Python 3.11
    with open_regular(path) as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@functools.cache
def source_of(folder: Path) -> str:
    """The SHA-256 over all Python files in a folder and below: part of the key of whatever that code makes and keeps.

    A version that people must remember to raise is forgotten, and then an old reading of a file passes for one of the
    new code.
    """
    files = sorted(folder.rglob("*.py"))
    return hashlib.sha256(
        "".join(f"{file.relative_to(folder)}\0{sha256_of(file)}\n" for file in files).encode()
    ).hexdigest()
