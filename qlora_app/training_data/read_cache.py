"""What was read of a large file is kept beside it, so that whoever needs it next reads
nothing: the page, the worker, another run.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..messages import Conversation
from ..settings import Settings
from ..storage.cache import make_room, remove, used
from ..storage.digests import source_of
from .checks import also_learned
from .choice import DatasetChoice
from .conversations import read_file
from .file_contents import FileContents, LeftOut, Progress
from .held_out import KEY, Keys, held_out_places
from .read.reading import SETTINGS
from .store import ArrowConversations

FOLDER = ".readings"  # below that of the data
_IN_FILES = (
    "conversations",
    "numbers",
    "lines",
    "keys",
    "asked",
    "unwanted",
)  # of FileContents; all else goes into about.json


def read_cached(
    files: Path | Sequence[Path],
    data_folder: Path,
    choice: DatasetChoice,
    limits: Settings | None = None,
    progress: Progress | None = None,
    name: str = "",
) -> FileContents:
    """As read_file reads what is chosen, or as it was read before.
    `files`: where it lies. Raises UserError, AskColumns and OSError.
    """
    place = data_folder / FOLDER / _digest(choice)
    stamp = _stamp(files)
    known = _open(place, stamp)
    if known is not None:
        return known
    may_keep = os.access(data_folder, os.W_OK)  # a data folder may be one that is only read
    spill_to = place.parent if may_keep else None
    contents = read_file(
        files,
        name or choice.title,
        choice.format,
        choice.columns,
        limits,
        spill_to,
        progress,
        how=choice.read_as,
    )
    if may_keep and isinstance(contents.conversations, ArrowConversations):
        _keep(contents, contents.conversations, place, stamp)
    return contents


def _digest(choice: DatasetChoice) -> str:
    """Another one for whatever is read in another way: another choice, or another version of this room."""
    asked = choice.model_dump_json(
        include={"source", "id", "subset", "split", "revision", "format", "columns", *SETTINGS}
    )
    source = source_of(Path(__file__).parent)
    return hashlib.blake2b(f"{source}{asked}".encode(), digest_size=12).hexdigest()


def _stamp(files: Path | Sequence[Path]) -> list[list[int]]:
    """What changes when one of the files is written again, and not when they are given another name."""
    if isinstance(files, Path):
        files = sorted(path for path in files.rglob("*") if path.is_file()) if files.is_dir() else [files]
    return [[file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def split(data: FileContents, share: float, seed: int) -> tuple[list[int], list[int]]:
    """(places of the conversations that are held out, in order; which of these,
    counted from 0, ask what is learned too).
    """
    folder = _cached_in(data.conversations)
    file = folder / f"split-{share}-{seed}.json" if folder else None
    if file and file.exists():
        held_out, both = json.loads(file.read_text(encoding="utf-8"))
        return held_out, both
    aside = held_out_places(keys_of(data), data.asked, share, seed)
    held_out = sorted(aside)
    tested = [data.asked[place] for place in held_out]
    learned = (number for place, number in enumerate(data.asked) if place not in aside)
    both = also_learned(tested, learned)
    if file:
        _write(file, (held_out, both))
    return held_out, both


def _cached_in(conversations: Sequence[Conversation]) -> Path | None:
    """The folder of a file that was read before; None for conversations that are nowhere or in a table of their own."""
    if not isinstance(conversations, ArrowConversations):
        return None
    folder = conversations.file.parent
    if folder.parent.name != FOLDER:
        return None
    return folder


def keys_of(data: FileContents) -> Keys:
    """The same_key of each conversation."""
    return Keys(data.keys)


def _open(place: Path, stamp: list[list[int]]) -> FileContents | None:
    """None for a file that was not read before, or is another one since, or whose reading cannot be used."""
    import numpy

    if not place.is_dir():
        return None
    try:
        about = json.loads((place / "about.json").read_text(encoding="utf-8"))
        if about.pop("stamp") != stamp:
            return None
        with numpy.load(place / "rows.npz", allow_pickle=False) as file:
            rows = {name: file[name] for name in file.files}
        conversations = every = ArrowConversations(place / "conversations.arrow")
        unwanted = every.select(rows.pop("unwanted")) if "unwanted" in rows else ()
        if "places" in rows:
            conversations = conversations.select(rows.pop("places"))
        about["left_out"] = [LeftOut(*fields) for fields in about["left_out"]]
        contents = FileContents(
            **about,
            conversations=conversations,
            unwanted=unwanted,
            keys=rows.pop("keys").tobytes(),
            **rows,
        )
        if not len(conversations) == len(contents.numbers) == len(contents.keys) // KEY == len(contents.asked):
            return None
        contents.conversations[-1]  # a table that was cut short cannot be opened
    except Exception:  # whatever is wrong with it, the file itself is still there
        return None
    used(place)
    return contents


def _keep(contents: FileContents, conversations: ArrowConversations, place: Path, stamp: list[list[int]]) -> None:
    """Everything into one folder, moved to its place when it is whole."""
    import numpy

    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    remove(unfinished)
    unfinished.mkdir(mode=0o700)
    rows = {
        "numbers": contents.numbers,
        "lines": contents.lines,
        "asked": contents.asked,
        "keys": numpy.frombuffer(contents.keys, dtype=numpy.uint8),
    }
    if conversations.places is not None:
        rows["places"] = conversations.places
    if isinstance(contents.unwanted, ArrowConversations):
        rows["unwanted"] = contents.unwanted.places
    numpy.savez(unfinished / "rows.npz", **{name: numpy.asarray(values) for name, values in rows.items()})
    about = {name: value for name, value in vars(contents).items() if name not in _IN_FILES}
    about["left_out"] = [list(asdict(row).values()) for row in contents.left_out]
    about["stamp"] = stamp
    _write(unfinished / "about.json", about)
    conversations.file.rename(unfinished / "conversations.arrow")
    remove(place)
    unfinished.rename(place)
    conversations.file = place / "conversations.arrow"
    make_room(place.parent, Settings.from_environment().max_cache_mb, place)


def _write(file: Path, value: Any) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(value), encoding="utf-8")
    beside.replace(file)
