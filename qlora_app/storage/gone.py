"""What a person deleted in a folder whose content is kept elsewhere too. Each is an empty file below it, named as what
is gone, until the other copy is deleted as well. Without such a folder nobody keeps a copy, and nothing is noted.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

NOTES = ".gone"


def keep_notes(folder: Path) -> None:
    """From now on."""
    (folder / NOTES).mkdir(parents=True, exist_ok=True, mode=0o700)


@contextlib.contextmanager
def noted(folder: Path, name: str) -> Iterator[None]:
    """Around the deletion of `name`: what is gone is noted, also where the program ends in the middle; where it fails
    nothing is. Raises OSError where no note can be left.
    """
    note = folder / NOTES / name
    if note.parent.is_dir():
        note.touch()
    try:
        yield
    except BaseException:
        note.unlink(missing_ok=True)
        raise


def gone(folder: Path) -> list[Path]:
    """The notes of what is gone, whatever lies there by that name now."""
    return sorted((folder / NOTES).glob("*"))
