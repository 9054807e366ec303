"""The data folder: what was uploaded lies in it byte for byte under its hash, what
a person put there under its own name.
"""

import contextlib
import functools
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from ...settings import Settings
from ...storage.cache import remove
from ...storage.digests import sha256_of
from ...storage.process import is_left_behind, mark_of_mine
from ...storage.reading import is_regular, open_regular
from ..choice import UPLOADED, DatasetChoice
from ..file_contents import Progress
from ..formats.columns import AskColumns, ColumnMap
from ..read.archives import ENDINGS
from ..read.reading import ReadAs
from ..read_cache import read_cached

_DAY = 86_400  # seconds after which half a copy belongs to nobody: its process was killed
_LONGEST_NAME = 120  # bytes; file systems take 255, and a title must fit into a list
_LISTED = 200  # files and folders that are offered
PASTED = "pasted.txt"  # what text goes by that came without a file


def import_file(
    path: Path | Sequence[Path],
    data_folder: Path,
    name: str,
    limits: Settings = Settings(),
    columns: ColumnMap = ColumnMap(),
    progress: Progress | None = None,
    how: ReadAs = ReadAs(),
    root: Path | None = None,
) -> str:
    """Check every row of an uploaded file, then keep it byte for byte in the data folder.

    Returns the name it has there.

    Several files are kept as a folder and are one dataset; `root`: the folder they came in, whose folders are kept in
    their names. The same bytes under the same name have the same id. Raises
    UserError, and then leaves nothing behind. Data that can be read once a person says which column is what is kept;
    load_examples asks.
    """
    paths = [path] if isinstance(path, Path) else list(path)
    shown = _shown(name)
    try:
        size = sum(one.stat().st_size for one in paths)
        if size > limits.max_upload_mb * 1_000_000:
            raise UserError(
                "dataset.too_large",
                "{name} is too large: {size:,.1f} MB, and the limit is {most:,} MB. Upload a part of it, or set "
                "QLORA_APP_MAX_UPLOAD_MB higher.",
                name=shown,
                size=size / 1000000.0,
                most=limits.max_upload_mb,
            )
        data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if len(paths) == 1:
            copy, digest = _copy(paths[0], data_folder)
        else:
            copy, digest = _copy_all(paths, data_folder, root)
    except OSError as error:
        raise _not_saved(shown, error) from error
    id = f"{digest[:12]}-{_safe(name)}"
    try:
        with contextlib.suppress(AskColumns):
            choice = DatasetChoice(source="file", id=id, columns=columns, **vars(how))
            read_cached(copy, data_folder, choice, limits, progress, shown)
        if copy.is_file() or not (data_folder / id).exists():
            copy.replace(data_folder / id)
    except OSError as error:  # what was read of a large file needs room too
        raise _not_saved(shown, error) from error
    finally:
        remove(copy)
    return id


def _not_saved(shown: str, error: OSError) -> UserError:
    return UserError(
        "dataset.not_saved",
        "{name} could not be saved ({reason}). Make room for it, then upload it again.",
        name=shown,
        reason=error.strerror or error,
    )


def import_files(
    paths: Sequence[Path],
    data_folder: Path,
    limits: Settings = Settings(),
    progress: Progress | None = None,
) -> str:
    """`import_file` for what a person dropped: one file, or several that become one dataset.

    Several are called "FIRST and N more". Raises UserError.
    """
    if len(paths) == 1:
        return import_file(paths[0], data_folder, paths[0].name, limits, progress=progress)
    name = f"{paths[0].stem} and {len(paths) - 1} more"
    return import_file(paths, data_folder, name, limits, progress=progress)


def import_text(text: str, data_folder: Path, limits: Settings = Settings()) -> str:
    """`import_file` for text that was pasted: whether it is rows or prose is recognised as in a file.

    Returns the name it has in the data folder; raises UserError.
    """
    if not text.strip():
        raise UserError("dataset.no_text", "There is no text yet. Paste some: rows as JSON or CSV, or plain text.")
    with tempfile.TemporaryDirectory(prefix="guanaco-workshop-") as folder:
        file = Path(folder) / PASTED
        file.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        return import_file(file, data_folder, PASTED, limits)


def uploaded_files(data_folder: Path) -> list[str]:
    """The ids of everything that was imported, the newest first."""
    if not data_folder.is_dir():
        return []
    found = [one for one in data_folder.iterdir() if UPLOADED.fullmatch(one.name) and _is_data(one)]
    return [one.name for one in sorted(found, key=lambda one: (-one.stat().st_mtime_ns, one.name))]


def _is_data(place: Path) -> bool:
    """A file or a folder, no link, whose name a page can show."""
    try:
        place.name.encode()
    except UnicodeEncodeError:
        return False
    return not place.is_symlink() and (place.is_dir() or is_regular(place))


def server_files(data_folder: Path) -> list[str]:
    """What else lies in the data folder: data files, and folders that hold several, as paths below it.

    No links, nothing hidden.
    """
    found = []
    for folder, names, files in os.walk(data_folder):
        place = Path(folder)
        here = "" if place == data_folder else place.relative_to(data_folder).as_posix() + "/"
        names[:] = sorted(one for one in names if not one.startswith(".") and (here or not UPLOADED.fullmatch(one)))
        data = sorted(
            one
            for one in files
            if one.lower().endswith(tuple(ENDINGS))
            and not one.startswith(".")
            and (here or not UPLOADED.fullmatch(one))
            and _is_data(place / one)
        )
        found += [here.removesuffix("/")] * (len(data) > 1 and bool(here)) + [here + one for one in data]
        if len(found) >= _LISTED:
            break
    return found[:_LISTED]


def place_of(choice: DatasetChoice, data_folder: Path) -> Path:
    """The file or folder of one's own data. Raises UserError where it is not there, or is reached through a link."""
    place = data_folder / choice.id
    links = [
        one
        for one in (place, *place.parents)
        if one.is_relative_to(data_folder) and one != data_folder and one.is_symlink()
    ]
    if links:
        raise UserError.at(
            "dataset.id",
            "dataset.reached_through_link",
            "{name} is reached through a link ({link}), and links are not followed. Copy it into the data folder.",
            name=choice.title,
            link=links[-1].name,
        )
    if not place.exists():
        raise UserError.at(
            "dataset.id",
            "dataset.not_in_folder",
            "{name} is not in the data folder. Upload it, or choose other data.",
            name=choice.title,
        )
    return place


def fingerprint_of(place: Path) -> str:
    """sha256 of a file's bytes; of a folder those of the names and bytes of its files."""
    if place.is_file():
        return _sha256(place, *_stamp(place))
    files = sorted(one for one in place.rglob("*") if one.is_file() and not one.is_symlink())
    return _sha256_of_all([(str(one.relative_to(place)), _sha256(one, *_stamp(one))) for one in files])


def stamp_of(place: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when a file, or one of a folder, is written again."""
    if place.is_file():
        return ((place.name, *_stamp(place)),)
    files = sorted(one for one in place.rglob("*") if one.is_file())
    return tuple((one.name, *_stamp(one)) for one in files)


def _stamp(file: Path) -> tuple[int, int]:
    return file.stat().st_size, file.stat().st_mtime_ns


@functools.lru_cache(maxsize=256)
def _sha256(file: Path, size: int, written: int) -> str:
    return sha256_of(file)


def _sha256_of_all(files: Sequence[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{name}\0{digest}\n" for name, digest in files).encode()).hexdigest()


def _copy(path: Path, folder: Path) -> tuple[Path, str]:
    """(a private copy, sha256 of its bytes): what is checked is what is kept, whatever happens to the original."""
    for left_behind in folder.glob(".import-*"):
        if is_left_behind(left_behind.name) or time.time() - left_behind.stat().st_mtime > _DAY:
            remove(left_behind)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(prefix=f".import-{mark_of_mine()}-", dir=folder)  # mode 0600
    copy = Path(name)
    try:
        with os.fdopen(handle, "wb") as target, open_regular(path) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy, digest.hexdigest()


def _copy_all(paths: Sequence[Path], folder: Path, root: Path | None) -> tuple[Path, str]:
    """(a private folder of copies, sha256 over their names and bytes); of two files
    with one name the second gets a number.
    """
    made = Path(tempfile.mkdtemp(prefix=f".import-{mark_of_mine()}-", dir=folder))  # mode 0700
    digests: list[tuple[str, str]] = []
    try:
        for path in paths:
            shown = "-".join(path.relative_to(root).parts) if root else path.name
            name = _safe(shown)
            if (made / name).exists():
                name = f"{len(digests)}-{name}"
            copy, digest = _copy(path, folder)
            copy.replace(made / name)
            digests.append((name, digest))
    except BaseException:
        remove(made)
        raise
    return made, _sha256_of_all(sorted(digests))


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
