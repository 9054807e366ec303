"""What was read of a large file is kept beside it, so that whoever needs it next reads nothing: the page, the worker, another run."""

import hashlib
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..cache import make_room, remove, used
from ..settings import Settings
from .checks import held_out_positions, overlap_warnings
from .columns import ColumnMap
from .conversations import FileContents, LeftOut, Progress, read_file
from .shelf import OnDisk

FOLDER = ".readings"  # below that of the data
_KEY = 16  # bytes of a same_key
_IN_FILES = ("conversations", "numbers", "lines", "keys", "asked")  # of FileContents; all else goes into about.json


def take_in(path: Path, data_folder: Path, id: str, name: str, format: str = "auto", columns: ColumnMap = ColumnMap(),  # noqa: B008
            limits: Settings | None = None, progress: Progress | None = None) -> FileContents:
    """As read_file reads it, or as it was read before. `id`: the name that `path` has, or will have, in the data folder.

    Raises UserError, AskColumns and OSError.
    """
    asked = json.dumps([id, format, columns.given, __version__])
    place = data_folder / FOLDER / hashlib.blake2b(asked.encode(), digest_size=12).hexdigest()
    stamp = [path.stat().st_size, path.stat().st_mtime_ns]
    if (known := _open(place, stamp)) is not None:
        return known
    contents = read_file(path, name, format, columns, limits, place.parent, progress)
    if limits is None and _is_another(path, id):
        contents.warnings.append(f"{name} has changed in the data folder since it was imported. A run that began before has learned from "
                                 "other rows.")
    if isinstance(contents.conversations, OnDisk):
        _keep(contents, place, stamp)
    return contents


def split(data: FileContents, data_folder: Path, share: float, seed: int) -> tuple[list[int], list[str]]:
    """(places of the conversations that are held out, in order; what is odd about that)."""
    place = data.conversations.file.parent if isinstance(data.conversations, OnDisk) else data_folder
    file = place / f"split-{share}-{seed}.json"
    if place.parent.name == FOLDER and file.exists():
        return tuple(json.loads(file.read_text(encoding="utf-8")))
    aside = held_out_positions(data.keys, share, seed)
    made = sorted(aside), overlap_warnings(data.asked, aside)
    if place.parent.name == FOLDER:
        _write(file, made)
    return made


def _open(place: Path, stamp: list[int]) -> FileContents | None:
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
        conversations = OnDisk(place / "conversations.arrow", None)
        if "places" in rows:
            conversations = conversations.select(rows.pop("places"))
        keys = rows.pop("keys").tobytes()
        contents = FileContents(**about | {"left_out": [LeftOut(*one) for one in about["left_out"]]}, conversations=conversations,
                                keys=[keys[i:i + _KEY] for i in range(0, len(keys), _KEY)], **rows)
        if not len(contents.conversations) == len(contents.numbers) == len(contents.keys) == len(contents.asked):
            return None
        contents.conversations[-1]  # a table that was cut short cannot be opened
    except Exception:  # whatever is wrong with it, the file itself is still there
        return None
    used(place)
    return contents


def _keep(contents: FileContents, place: Path, stamp: list[int]) -> None:
    """Everything into one folder, moved to its place when it is whole."""
    import numpy

    conversations = contents.conversations
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    remove(unfinished)
    unfinished.mkdir(mode=0o700)
    rows = {"numbers": contents.numbers, "lines": contents.lines, "asked": contents.asked,
            "keys": numpy.frombuffer(b"".join(contents.keys), dtype=numpy.uint8)}
    if conversations.places is not None:
        rows["places"] = conversations.places
    numpy.savez(unfinished / "rows.npz", **{name: numpy.asarray(values) for name, values in rows.items()})
    about = {name: value for name, value in vars(contents).items() if name not in _IN_FILES}
    about |= {"left_out": [list(asdict(one).values()) for one in contents.left_out], "stamp": stamp}
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


def _is_another(path: Path, id: str) -> bool:
    """Is it no longer the file whose sha256 its name begins with? False for a name that begins with none."""
    if not re.match(r"[0-9a-f]{12}-", id):
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return not digest.hexdigest().startswith(id[:12])
