"""Data of the Hugging Face Hub: which subsets, splits and revisions there are, and
the files of a split onto this machine.

What belongs to a split is worked out by `datasets` from the names of the files and the dataset's card. It never sees
the files, so nothing of theirs can run: they are read by our own readers, like an upload.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import UserError
from ...formatting import count_of, size
from ...hub import (
    COMMIT,
    PATIENCE,
    HubUnavailable,
    RemoteFile,
    Repository,
    ask,
    explain,
    fetch_files,
    licence_of,
)
from ...hub.repository import check_access, files_of
from ..choice import DatasetChoice
from ..read.archives import HUB_ENDINGS as ENDINGS

DEFAULT = "default"  # the subset of a dataset that names none
_RECORDS = ".hub"  # folder in the data folder: which files are which split, so that no run needs the Hub again
_SHOWN = 20  # names in a sentence


class NotHere(UserError):
    """Data of the Hub that is not on this machine yet; a run downloads it before it begins."""


@dataclass(frozen=True)
class Hit:
    """One dataset a search found."""

    id: str
    licence: str
    is_gated: bool
    downloads: int  # in the last 30 days
    rows: str  # "10K<n<100K", as its authors say

    def summary(self) -> str:
        parts = []
        if "<n<" in self.rows:
            parts.append(f"{self.rows.replace('<n<', ' to ')} rows")
        parts.append(f"licence {self.licence}" if self.licence else "no licence named")
        if self.is_gated:
            parts.append("gated")
        parts.append(count_of(self.downloads, "download"))
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class HubSplit:
    """One split of one subset at one commit, and the files it is made of."""

    id: str
    commit: str
    subset: str
    split: str
    files: tuple[RemoteFile, ...]
    revision: str = ""  # what was asked for

    @property
    def repository(self) -> Repository:
        return Repository(self.id, self.commit, "dataset")

    @property
    def missing(self) -> int:
        """Bytes that are not on this machine."""
        return self.repository.missing(self.commit, self.files)

    @property
    def paths(self) -> list[Path]:
        return [self.repository.snapshot(self.commit) / file.name for file in self.files]

    def pin(self, choice: DatasetChoice) -> DatasetChoice:
        """The choice with what was left open named: tomorrow it is the same data."""
        return choice.model_copy(update={"subset": self.subset, "split": self.split, "revision": self.commit})


@dataclass(frozen=True)
class HubDataset:
    """What the Hub says of a dataset at one commit."""

    id: str
    commit: str
    licence: str
    is_gated: bool
    files: dict[str, RemoteFile]
    subsets: dict[str, dict[str, Any]]  # name -> what the card says of its files
    revisions: dict[str, str] = field(default_factory=dict)  # branches and tags -> commits

    @property
    def subset(self) -> str:
        """The one that is taken where none is named."""
        named = [name for name, one in self.subsets.items() if one.get("default")]
        return next(iter([*named, *(name for name in self.subsets if name == DEFAULT), *self.subsets]))

    def splits(self, subset: str) -> dict[str, tuple[RemoteFile, ...]]:
        """{split: its files}. Raises UserError where none holds data that is read here."""
        found = {}
        for split, names in _splits(self, self.subsets[subset]).items():
            if names:
                found[split] = tuple(self.files[name] for name in names)
        if not found:
            kinds = sorted({PurePosixPath(name).suffix for name in self.files} - {"", ".md", ".gitattributes"})
            raise UserError(
                "dataset.no_file_on_hub",
                "{id} holds no file of a kind that is read here ({endings}); it has {kinds}. Choose another dataset.",
                id=self.id,
                endings=", ".join(ENDINGS),
                kinds=", ".join(kinds[:_SHOWN]) or "none",
            )
        return found

    def part(self, choice: DatasetChoice) -> HubSplit:
        """What is chosen of it. Raises UserError, at its setting, for a subset or a split that is not there."""
        subset = choice.subset or self.subset
        if subset not in self.subsets:
            raise UserError.at(
                "dataset.subset",
                "dataset.no_such_subset",
                "{id} has no subset {name!r}. It has {names}.",
                id=self.id,
                name=subset,
                names=_listed(self.subsets),
            )
        splits = self.splits(subset)
        split = choice.split or ("train" if "train" in splits else next(iter(splits)))
        if split not in splits:
            raise UserError.at(
                "dataset.split",
                "dataset.no_such_split",
                "{id} has no split {name!r}. It has {names}.",
                id=self.id,
                name=split,
                names=_listed(splits),
            )
        return HubSplit(self.id, self.commit, subset, split, splits[split], choice.revision)


def _listed(there: Iterable[str]) -> str:
    names = list(there)
    more = " and more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def search_data(words: str, token: str | None = None, limit: int = 20) -> list[Hit]:
    """Datasets with these words, most downloaded first. Raises UserError where the Hub gives no answer."""
    asked = {"search": words.strip(), "sort": "downloads", "limit": limit, "expand": ["gated", "downloads", "tags"]}
    try:
        found = ask("datasets", token, **asked)
        return [
            Hit(
                one["id"],
                licence_of(one.get("tags")),
                bool(one.get("gated")),
                one.get("downloads") or 0,
                _rows(one.get("tags") or []),
            )
            for one in found[:limit]
        ]
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, None) from error


def _rows(tags: list[str]) -> str:
    return next((tag.partition(":")[2] for tag in tags if tag.startswith("size_categories:")), "")


def look_up(choice: DatasetChoice, token: str | None = None, revisions: bool = False) -> HubDataset:
    """What the Hub says of a dataset now; with its branches and tags if asked.

    Raises UserError: none of its rows are fetched.
    """
    from huggingface_hub import HfApi

    repository = choice.repository
    try:
        info = HfApi(token=token or False).dataset_info(
            choice.id, revision=choice.revision or None, files_metadata=True, timeout=PATIENCE
        )
        files = {name: one for name, one in files_of(info).items() if not {"..", "/"} & set(PurePosixPath(name).parts)}
        refs = _revisions(choice.id, token) if revisions else {}
        if (script := f"{choice.id.rpartition('/')[2]}.py") in files:
            raise UserError(
                "dataset.wants_program",
                "{id} is read by a program of its author ({program}), and such a program is never run here. Look for "
                "a copy of it in Parquet files: often it is its revision refs/convert/parquet.",
                id=choice.id,
                program=script,
            )
        if info.gated and files:
            check_access(repository, info.sha or "", next(iter(files)), token)
        configs = (info.card_data or {}).get("configs") or []
        subsets = {str(one.pop("config_name")): one for one in map(dict, configs)} or _converted(files) or {DEFAULT: {}}
        return HubDataset(choice.id, info.sha or "", licence_of(info.tags), bool(info.gated), files, subsets, refs)
    except UserError:
        raise
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, repository, bool(token)) from error


def _revisions(id: str, token: str | None) -> dict[str, str]:
    refs = ask(f"datasets/{id}/refs", token)
    commits = {}
    for kind, name in (("branches", "name"), ("tags", "name"), ("converts", "ref")):
        for one in refs.get(kind) or []:
            commits[one[name]] = one["targetCommit"]
    return commits


def _converted(files: dict[str, RemoteFile]) -> dict[str, dict[str, Any]]:
    """The subsets of what the Hub itself converts to Parquet: SUBSET/SPLIT/0000.parquet."""
    places = [PurePosixPath(name) for name in files if name.endswith(".parquet")]
    is_converted = places and all(len(place.parts) == 3 and place.stem.isdecimal() for place in places)
    if not is_converted:
        return {}
    return {place.parts[0]: {"data_dir": place.parts[0]} for place in places}


def _splits(layout: HubDataset, config: dict[str, Any]) -> dict[str, list[str]]:
    """{split: names of its files} as `datasets` sees it: in a folder of empty files that have the dataset's names."""
    from datasets.data_files import DataFilesDict, get_data_patterns, sanitize_patterns

    with tempfile.TemporaryDirectory(prefix="guanaco-workshop-") as folder:
        base = Path(folder).resolve()
        for name in layout.files:
            if name.lower().endswith(tuple(ENDINGS)):
                (base / name).parent.mkdir(parents=True, exist_ok=True)
                (base / name).touch()
        inside = str(base / str(config.get("data_dir") or ""))
        try:
            if config.get("data_files"):
                patterns = sanitize_patterns(config["data_files"])
            else:
                patterns = get_data_patterns(inside)
            if any(
                _leads_outside(one)
                for some in (*patterns.values(), [str(config.get("data_dir") or "")])
                for one in some
            ):
                raise UserError(
                    "dataset.card_outside",
                    "The card of {id} names files outside of it. Do not use this dataset.",
                    id=layout.id,
                )
            found = DataFilesDict.from_patterns(patterns, base_path=inside, allowed_extensions=ENDINGS)
        except (FileNotFoundError, ValueError, TypeError):  # nothing fits, or the card makes no sense
            return {}
        return {str(split): _relative(files, base) for split, files in found.items()}


def _leads_outside(pattern: str) -> bool:
    return "://" in pattern or "::" in pattern or pattern.startswith(("/", "~")) or ".." in PurePosixPath(pattern).parts


# ---- onto this machine


def resolve(choice: DatasetChoice, data_folder: Path, token: str | None = None) -> tuple[HubSplit, str]:
    """(the part that is chosen, a warning if an older copy had to do). Raises UserError.

    What is pinned and here needs no Hub; where the Hub does not answer, what was downloaded by the same name is taken.
    """
    if part := kept(choice, data_folder):
        return part, ""
    try:
        return look_up(choice, token).part(choice), ""
    except HubUnavailable as error:
        if part := _kept_like(choice, data_folder):
            return part, f"{choice.id} is used as it is on this machine. {error}"
        raise


def fetch_data(
    choice: DatasetChoice,
    data_folder: Path,
    token: str | None,
    on_progress: Callable[[int, int], None],
    is_stopped: Callable[[], bool],
) -> tuple[DatasetChoice, str]:
    """(the choice pinned to what is on this machine now, a warning as in `resolve`); what is missing is downloaded.

    `on_progress` and `is_stopped` as in `fetch_files`. Raises UserError, and Stopped once `is_stopped()`.
    """
    part, warning = _fetch(choice, data_folder, token, on_progress, is_stopped)
    pinned = part.pin(choice)
    if measured := pinned.measured_with:
        try:
            _fetch(measured, data_folder, token, on_progress, is_stopped)
        except HubUnavailable:
            raise
        except UserError as error:
            problems = {"dataset.held_out_from": error.problem} if error.problems else {}
            raise UserError.of(error.problem, problems) from error
    return pinned, warning


def _fetch(
    choice: DatasetChoice,
    data_folder: Path,
    token: str | None,
    on_progress: Callable[[int, int], None],
    is_stopped: Callable[[], bool],
) -> tuple[HubSplit, str]:
    part, warning = resolve(choice, data_folder, token)
    if part.missing or not _record(part, data_folder).exists():
        fetch_files(part.repository, part.commit, part.files, token, on_progress, is_stopped)
        _record(part, data_folder).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _record(part, data_folder).write_text(json.dumps(asdict(part)), encoding="utf-8")
    return part, warning


def is_here(choice: DatasetChoice, data_folder: Path) -> bool:
    """Is all of what is chosen on this machine, what is only measured with included?"""
    return all(kept(one, data_folder) for one in (choice, choice.measured_with) if one)


def kept(choice: DatasetChoice, data_folder: Path) -> HubSplit | None:
    """The whole copy of data that is pinned to a commit; None if it is not pinned, not here, or only in part."""
    if not COMMIT.fullmatch(choice.revision):
        return None
    wanted = HubSplit(choice.id, choice.revision, choice.subset, choice.split, ())
    return _read(_record(wanted, data_folder))


def paths_of(choice: DatasetChoice, data_folder: Path) -> Sequence[Path]:
    """The files of data that is pinned and here. Raises NotHere."""
    if part := kept(choice, data_folder):
        return part.paths
    raise NotHere(
        "dataset.not_here",
        "{id} is not on this machine yet. It is downloaded when the training starts, or now if you want to "
        "look at it first.",
        id=choice.id,
    )


def download_words(part: HubSplit) -> str:
    """How much there is to get."""
    total = sum(file.size for file in part.files)
    where = f"{size(part.missing)} to download" if part.missing else "here"
    return f"{count_of(len(part.files), 'file')}, {size(total)}, {where}"


def kept_data(data_folder: Path) -> list[str]:
    """The ids of all data of the Hub that is here, sorted."""
    return sorted({part.id for part in map(_read, (data_folder / _RECORDS).glob("*.json")) if part})


def _kept_like(choice: DatasetChoice, data_folder: Path) -> HubSplit | None:
    """The newest whole copy of the same dataset, as far as it was named then as it is now."""
    records = sorted((data_folder / _RECORDS).glob("*.json"), key=lambda file: -file.stat().st_mtime_ns)
    parts = (part for part in map(_read, records) if part and part.id == choice.id)
    return next(
        (
            part
            for part in parts
            if part.revision == choice.revision
            and choice.subset in ("", part.subset)
            and choice.split in ("", part.split)
        ),
        None,
    )


def _record(part: HubSplit, data_folder: Path) -> Path:
    name = hashlib.sha256(json.dumps([part.id, part.commit, part.subset, part.split]).encode()).hexdigest()[:24]
    return data_folder / _RECORDS / f"{name}.json"


def _read(record: Path) -> HubSplit | None:
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        part = HubSplit(**known | {"files": tuple(RemoteFile(**one) for one in known["files"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if all(path.is_file() for path in part.paths):
        return part
    return None


def _relative(files: Iterable[str], base: Path) -> list[str]:
    return [str(Path(one).relative_to(base)) for one in files]
