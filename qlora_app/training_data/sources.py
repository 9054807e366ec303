"""Where examples come from: the starter's datasets, and files a person uploaded, kept byte for byte under their hash."""

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import starter
from ..errors import UserError
from ..messages import Conversation
from ..settings import Settings
from .choice import DatasetChoice
from .columns import AskColumns, ColumnMap
from .conversations import LeftOut, Progress, read_file
from .readings import split, take_in
from .shelf import OnDisk, with_turns

_DAY = 86_400  # seconds after which half a copy belongs to nobody: its process was killed
_ID = re.compile(r"[0-9a-f]{12}-.+")
_LONGEST_NAME = 120  # bytes; file systems take 255, and a title must fit into a list


@dataclass(frozen=True)
class Examples:
    """What a run learns from and is measured with. Every row is used or left out; most used rows are one conversation each."""

    train: Sequence[Conversation]
    held_out: Sequence[Conversation]
    format: str
    fingerprint: str
    rows: int
    left_out: list[LeftOut]
    warnings: list[str]
    characters: int  # to learn from, 10 more for each turn; of a large file about
    because: str = ""
    duplicates: int = 0  # rows that repeat another one, letter case and blanks aside


def import_file(path: Path, data_folder: Path, name: str, limits: Settings = Settings(),  # noqa: B008  neither can change
                columns: ColumnMap = ColumnMap(), progress: Progress | None = None) -> str:  # noqa: B008
    """Check every row of an uploaded file, then keep it byte for byte in the data folder; returns the name it has there.

    The same file under the same name has the same id. Raises UserError, and then leaves nothing behind. A file that can be
    read once a person says which column is what is kept; load_examples asks.
    """
    shown = _shown(name)
    try:
        size = path.stat().st_size
        if size > limits.max_upload_mb * 1_000_000:
            raise UserError(f"{shown} is too large: {size / 1e6:,.1f} MB, and the limit is {limits.max_upload_mb:,} MB. "
                            "Upload a part of it, or set QLORA_APP_MAX_UPLOAD_MB higher.")
        data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy, digest = _copy(path, data_folder)
    except OSError as error:
        raise UserError(f"{shown} could not be saved ({error.strerror}). Make room for it, then upload it again.") from error
    try:
        id = f"{digest[:12]}-{_safe(name)}"
        with contextlib.suppress(AskColumns):
            take_in(copy, data_folder, id, shown, columns=columns, limits=limits, progress=progress)
        copy.replace(data_folder / id)
    finally:
        copy.unlink(missing_ok=True)
    return id


def uploaded_files(data_folder: Path) -> list[str]:
    """The ids of all imported files, the newest first."""
    if not data_folder.is_dir():
        return []
    files = [file for file in data_folder.iterdir() if _ID.fullmatch(file.name) and file.is_file()]
    return [file.name for file in sorted(files, key=lambda file: (-file.stat().st_mtime_ns, file.name))]


def load_examples(choice: DatasetChoice, data_folder: Path) -> Examples:
    """The conversations of a choice, those to train on and those held out. Raises UserError if there is nothing to train on."""
    problems = choice.problems()
    if problems:
        raise UserError(next(iter(problems.values())), {f"dataset.{field}": text for field, text in problems.items()})
    return _starter_examples(choice) if choice.source == "starter" else _own_examples(choice, data_folder)


def _own_examples(choice: DatasetChoice, data_folder: Path) -> Examples:
    try:
        data = take_in(data_folder / choice.id, data_folder, choice.id, choice.title, choice.format, choice.columns)
    except OSError as error:
        sentence = (f"{choice.title} is not among the uploaded files. Upload it, or choose other data; on the command line name a file "
                    "by its path, for example dataset.id=./my-rows.jsonl.")
        raise UserError(sentence, {"dataset.id": sentence}) from error
    aside, overlap = split(data, data_folder, choice.held_out_share, choice.split_seed)
    kept = set(aside)
    learned = [place for place in range(len(data.conversations)) if place not in kept]
    train, held_out = (_chosen(data.conversations, places, choice.turns) for places in (learned, aside))
    return Examples(train, held_out, data.format, _fingerprint(data.digest, f"{aside}", choice.turns), data.rows, data.left_out,
                    [*data.warnings, *overlap], data.characters * len(learned) // len(data.conversations), data.because, data.duplicates)


def _chosen(conversations: Sequence[Conversation], places: list[int], turns: str) -> Sequence[Conversation]:
    if isinstance(conversations, OnDisk):
        return conversations.select(places, turns)
    return [with_turns(conversations[place], turns) for place in places]


def _starter_examples(choice: DatasetChoice) -> Examples:
    dataset = starter.DATASETS[choice.id]
    train, held_out = (read_file(path, f"Starter dataset {path.name}", looks=False) for path in (dataset.file, dataset.held_out))
    return Examples(*([with_turns(one, choice.turns) for one in part.conversations] for part in (train, held_out)), train.format,
                    _fingerprint(train.digest, held_out.digest, choice.turns), train.rows + held_out.rows,
                    train.left_out + held_out.left_out, train.warnings + held_out.warnings, train.characters)


def _fingerprint(*what: str) -> str:
    """sha256 over what was read, what of it is held out, and which turns are learned."""
    return hashlib.sha256("\0".join(what).encode()).hexdigest()


def _copy(path: Path, folder: Path) -> tuple[Path, str]:
    """(a private copy, sha256 of its bytes): what is checked is what is kept, whatever happens to the original."""
    for left_behind in folder.glob(".import-*"):
        if time.time() - left_behind.stat().st_mtime > _DAY:
            left_behind.unlink(missing_ok=True)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(prefix=".import-", dir=folder)  # mode 0600
    copy = Path(name)
    try:
        with os.fdopen(handle, "wb") as target, path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy, digest.hexdigest()


def _shown(name: str) -> str:
    """The file's own name as it may stand in a sentence."""
    own = re.split(r"[/\\]", name)[-1]
    return "".join(character for character in own if character.isprintable())[:100] or "The file"


def _safe(name: str) -> str:
    """The name as it may stand in a folder: letters, digits, dot, dash and underscore; the ending is kept."""
    stem, dot, ending = (re.sub(r"[^\w.-]+", "_", _shown(name)).strip("._") or "data").rpartition(".")
    if not dot:
        stem, ending = ending, ""
    ending = (dot + ending)[:10]
    return stem.encode()[:_LONGEST_NAME].decode(errors="ignore") + ending
