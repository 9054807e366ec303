"""Which files hold the data: of a file, a .zip, a folder or a list of files."""

import re
import stat
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ...errors import UserError
from ...settings import Settings
from ...storage.reading import open_regular
from .content import DAMAGED, ZIP, Archive, Content, damaged, most_bytes, too_large
from .splits import ALL, TRAIN, by_split, held_out_split, split_of_path
from .spread import of_an_export

_ROWS = [
    ".json",
    ".jsonl",
    ".ndjson",
    ".json5",
    ".csv",
    ".tsv",
    ".parquet",
    ".arrow",
    ".feather",
    ".xlsx",
    ".xls",
    ".xlsb",
    ".ods",
    ".yaml",
    ".yml",
]
_PROSE = [".txt", ".md", ".srt", ".vtt", ".docx", ".odt", ".epub", ".pdf", ".mbox"]
_PACKED = [".gz", ".bz2", ".xz", ".zst"]
ENDINGS = [*_ROWS, *_PROSE, *_PACKED, ".zip"]  # offered by a file dialog; the bytes decide
HUB_ENDINGS = [".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".arrow", *_PACKED, ".zip"]
_BESIDE = ("readme", "license", "licence", "notice", "copying", "changelog", "citation", "authors", "contributing")
_ABOUT = (  # what programs write beside rows
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
    "croissant.json",
    "metadata.json",
    "package.json",
    "config.json",
    "schema.json",
    "requirements.txt",
    "checksums.txt",
    "manifest.json",
    "thumbs.db",
    "desktop.ini",
)
_SUBMISSION = re.compile(r"(?:^|[\W_])submissions?(?:[\W_]?\d+|[\W_]format)?\.(?:csv|tsv)")  # a form for guesses
_OFFICE = ("xl/", "word/", "ppt/", "[Content_Types]", "META-INF/container.xml")
_BESIDE_RANK = 4
_NAMED = 5  # files that are named in a sentence


class DataFile(NamedTuple):
    """A file that may hold data: its path as people know it, and where its bytes are."""

    name: str
    path: Path
    archive: Archive | None = None
    member: zipfile.ZipInfo | None = None


@dataclass
class DataFiles:
    """The files that are read, and what is to be said of the others. `splits`: {split: its files}, where there are."""

    contents: list[Content]
    notes: list[str] = field(default_factory=list)


def contents_of(
    place: Path | Sequence[Path],
    name: str,
    limits: Settings | None = None,
    split: str = "",
    without: Sequence[str] = (),
) -> DataFiles:
    """The data files of a file, an archive, a folder or a list of files, each under a name for sentences.

    `split`: those of it; by default those to learn from. `without`: names of files that are not wanted. Raises
    UserError and OSError.
    """
    found, notes = _data_files(place, name, limits)
    files = [one for one in found if one.name not in without]
    splits = _splits(files)
    if TRAIN in splits and split != ALL:
        chosen = _chosen(splits, split or TRAIN, name)
        notes.append(_split_words(splits, split or TRAIN))
    else:
        chosen = files
        notes += _learned_all_the_same(files) if split != ALL else []
    contents = [Content(one.path, one.name, limits, one.archive, one.member) for one in chosen]
    several = len(found) > 1
    for one in contents:
        one.part, one.name = (one.name, f"{one.name} in {name}") if several else ("", name)
    return DataFiles(contents, notes)


def splits_in(place: Path | Sequence[Path], name: str) -> list[str]:
    """The splits that data holds by the names of its files; none where it is all one. Raises UserError and OSError."""
    files, _ = _data_files(place, name, None)
    return [split for split in _splits(files) if split]


def _splits(files: list[DataFile]) -> dict[str, list[DataFile]]:
    """{split: its files} by their names; the folders of an export are channels, whatever they are called."""
    if of_an_export([one.name for one in files]):
        return {"": files}
    return by_split([(one.name, one) for one in files])


def _chosen(splits: dict[str, list[DataFile]], split: str, name: str) -> list[DataFile]:
    if split not in splits:
        raise UserError.at(
            "dataset.split",
            "dataset.no_such_part",
            "{name} has no files of {split}. It has {splits}.",
            name=name,
            split=split,
            splits=", ".join(splits),
        )
    return splits[split]


def _split_words(splits: dict[str, list[DataFile]], learned: str) -> str:
    """Which files are learned, measured with and kept apart."""
    measured = held_out_split([split for split in splits if split != learned])
    apart = [split for split in splits if split not in (learned, measured)]
    files = [one for split in apart for one in splits[split]]
    sentences = [f"Learned from: {_listed(splits[learned])}."]
    if measured:
        sentences.append(f"Measured with: {_listed(splits[measured])}.")
    if files:
        sentences.append(f"Kept apart, neither learned nor measured with: {_listed(files)}.")
    return " ".join(sentences)


def _learned_all_the_same(files: list[DataFile]) -> list[str]:
    """What is said of files that are called as those to test with and are learned, because no others belong to them."""
    sounding = [one for one in files if split_of_path(one.name) not in ("", TRAIN)]
    if len(files) < 2 or not sounding or of_an_export([one.name for one in files]):
        return []
    return [f"Learned too, although their names speak of tests: {_listed(sounding)}."]


def _listed(files: Sequence[DataFile]) -> str:
    names = ", ".join(one.name for one in files[:_NAMED])
    return names if len(files) <= _NAMED else f"{names} and {len(files) - _NAMED:,} more"


def _data_files(place: Path | Sequence[Path], name: str, limits: Settings | None) -> tuple[list[DataFile], list[str]]:
    """(every file that is read, sentences about those that are not)"""
    if isinstance(place, Path) and not place.is_dir():
        found = _in_one_file(place, name, limits)
        if len(found) == 1 and found[0].member is None:
            return found, []
    else:
        paths = _in_folder(place, name) if isinstance(place, Path) else [(one.name, one) for one in place]
        found = [one for shown, path in paths for one in _in_one_file(path, shown, limits)]
    if wanted := set(of_an_export([one.name for one in found])):
        return _told_apart([one for one in found if one.name in wanted], found)
    return _rows_first(found, name)


def _rows_first(found: list[DataFile], name: str) -> tuple[list[DataFile], list[str]]:
    """Where files hold rows, texts beside them are not learned with them; what is no data at all is never read."""
    ranks: dict[int, list[DataFile]] = {rank: [] for rank in range(_BESIDE_RANK)}
    for one in found:
        ranks.setdefault(_rank(one.name), []).append(one)
    chosen = next((files for rank, files in ranks.items() if files and rank < _BESIDE_RANK), [])
    if not chosen:
        raise UserError(
            "archive.empty",
            "{name} is an empty archive: it has no rows. Pack the data file into it, or upload that.",
            name=name,
        )
    return _told_apart(chosen, [one for files in ranks.values() for one in files])


def _told_apart(chosen: list[DataFile], every: list[DataFile]) -> tuple[list[DataFile], list[str]]:
    """(the chosen files, a sentence about the others)"""
    names = {one.name for one in chosen}
    others = [one for one in every if one.name not in names]
    if not others:
        return chosen, []
    return chosen, [f"Not read, because other files hold the data: {len(others):,} ({_listed(others)})."]


def _rank(name: str) -> int:
    """0 for a file of rows, 1 for one of text, 2 for one that may be anything, 3 for a picture, a program or another
    kind that is no data, 4 for what is written about data.
    """
    own = name.rpartition("/")[2].lower()
    if own.startswith((".", "~$", *_BESIDE)) or own in _ABOUT or name.startswith("__MACOSX/"):
        return _BESIDE_RANK
    if _SUBMISSION.search(own):
        return _BESIDE_RANK
    stem = own
    for ending in _PACKED:
        stem = stem.removesuffix(ending)
    if stem.endswith(tuple(_ROWS)):
        return 0
    if stem.endswith(tuple(_PROSE)):
        return 1
    return 3 if stem.endswith(_NO_DATA) else 2


_NO_DATA = (
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".svg",
    ".ico",
    ".wav",
    ".mp3",
    ".flac",
    ".ogg",
    ".opus",
    ".m4a",
    ".mp4",
    ".mov",
    ".avi",
    ".webm",
    ".mkv",
    ".py",
    ".ipynb",
    ".js",
    ".css",
    ".sh",
    ".bat",
    ".exe",
    ".dll",
    ".so",
    ".pyc",
    ".lock",
    ".toml",
    ".ini",
    ".cfg",
    ".safetensors",
    ".bin",
    ".pt",
    ".gguf",
    ".pkl",
    ".npy",
    ".sha256",
    ".md5",
    ".crc",
    ".html",
    ".htm",
)


def _in_one_file(path: Path, name: str, limits: Settings | None) -> list[DataFile]:
    if not _head(path).startswith(ZIP):
        return [DataFile(name, path)]
    archive = Archive(path, name, limits)
    try:
        members = [one for one in archive.opened().infolist() if not one.is_dir()]
    except DAMAGED as error:
        raise damaged(name) from error
    _check_members(members, name, most_bytes(path.stat().st_size, limits))
    if is_document(one.filename for one in members):
        return [DataFile(name, path)]
    data = sorted((one for one in members if not _is_hidden_name(one.filename)), key=lambda one: one.filename)
    if not data:
        raise UserError(
            "archive.empty",
            "{name} is an empty archive: it has no rows. Pack the data file into it, or upload that.",
            name=name,
        )
    return [DataFile(one.filename, path, archive, one) for one in data]


def is_document(names: Iterable[str]) -> bool:
    """Are these the members of a workbook, a text document or a book, which are .zip files too?"""
    listed = list(names)
    return any(one.startswith(_OFFICE) for one in listed) or {"mimetype", "content.xml"} <= set(listed)


def _check_members(members: list[zipfile.ZipInfo], name: str, most: float) -> None:
    if any(_is_unsafe(one) for one in members):
        raise UserError(
            "archive.leads_outside",
            "{name} is an archive with a path that leads outside of it, or with a link. It was not opened. Pack "
            "it again.",
            name=name,
        )
    if any(one.flag_bits & 1 for one in members):
        raise UserError(
            "archive.password", "{name} is an archive with a password. Pack it again without one.", name=name
        )
    if sum(one.file_size for one in members) > most:  # none gives more than it says
        raise too_large(name, most)


def _in_folder(folder: Path, name: str) -> list[tuple[str, Path]]:
    """(path inside, file) of every data file of a folder and the folders in it, by name.

    Raises UserError for a link, and for a folder without data.
    """
    inside = sorted(one for one in folder.rglob("*") if not _is_hidden(one.relative_to(folder)))
    if links := [one for one in inside if one.is_symlink()]:
        raise UserError(
            "dataset.link_in_folder",
            "{name} holds a link ({link}), and links are not followed. Copy the file it leads to into the folder.",
            name=name,
            link=links[0].name,
        )
    files = [
        (one.relative_to(folder).as_posix(), one)
        for one in inside
        if one.is_file() and _rank(one.name) < 3 and one.name.lower().endswith(tuple(ENDINGS))
    ]
    if not files:
        raise UserError(
            "dataset.no_file_in_folder",
            "{name} holds no data file (one that ends in {endings}). Choose another folder.",
            name=name,
            endings=", ".join(ENDINGS),
        )
    return files


def _head(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(4)


def _is_unsafe(member: zipfile.ZipInfo) -> bool:
    parts = member.filename.replace("\\", "/").split("/")
    return not parts[0] or ".." in parts or parts[0].endswith(":") or stat.S_ISLNK(member.external_attr >> 16)


def _is_hidden_name(name: str) -> bool:
    return name.startswith("__MACOSX/") or any(part.startswith(".") for part in name.split("/"))


def _is_hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)
