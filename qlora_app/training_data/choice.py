"""Which data a run learns from."""

import re
from typing import Literal

from .. import starter
from ..choices import Choices, setting
from ..errors import Problem
from ..hub import Repository
from .formats.columns import ColumnMap
from .formats.known import READABLE
from .read.encodings import ENCODINGS
from .read.reading import DELIMITERS, PIECES, SETTINGS, YES_NO, ReadAs
from .read.splits import ALL

SOURCES = {"starter": "Starter (embedded)", "file": "Your own data", "hub": "Hugging Face Hub"}
FORMATS = {"auto": "Recognise it", **READABLE}
TURNS = {"all": "Every answer", "last": "The last answer only", "everything": "Everything, questions too"}
UPLOADED = re.compile(r"[0-9a-f]{12}-[^/]+")  # what was uploaded has the beginning of its SHA-256 in front of its name


class DatasetChoice(Choices):
    """Which examples to learn from, and which to keep aside to measure with."""

    source: Literal["starter", "file", "hub"] = setting(
        "starter", "Where the data is", "Starter datasets are part of this app.", labels=SOURCES
    )
    id: str = setting(
        "helper",
        "Dataset",
        "A starter dataset (helper, sailor, orders), the name of an uploaded file, a file or folder "
        "below the data folder, or a Hub id such as databricks/databricks-dolly-15k.",
    )
    subset: str = setting("", "Subset", "Part of a Hub dataset that stands by itself; empty takes its default.")
    split: str = setting(
        "",
        "Split",
        "Which rows of a Hub dataset, or which of several files called train, valid and test; empty takes train, or "
        "the first there is, and all takes every file.",
    )
    revision: str = setting(
        "",
        "Revision of the data",
        "Branch, tag or commit of a Hub dataset; empty takes its main branch. A run keeps the commit.",
    )
    fingerprint: str = setting(
        "",
        "Fingerprint",
        "SHA-256 of your data when the run was started. Where the data is another one now, that is said.",
        recorded=True,
    )
    format: Literal[tuple(FORMATS)] = setting("auto", "Format", "How a row is read.", labels=FORMATS)  # type: ignore[valid-type]
    encoding: Literal[tuple(ENCODINGS)] = setting(  # type: ignore[valid-type]
        "auto",
        "Encoding",
        "How letters beyond ASCII are written in the file. What is recognised is shown with some of its words.",
        labels=ENCODINGS,
    )
    delimiter: Literal[tuple(DELIMITERS)] = setting(  # type: ignore[valid-type]
        "auto", "Delimiter", "What stands between two columns of a table.", labels=DELIMITERS
    )
    header: Literal[tuple(YES_NO)] = setting(  # type: ignore[valid-type]
        "auto", "Names of columns", "Does a table begin with the names of its columns?", labels=YES_NO
    )
    quoting: Literal[tuple(YES_NO)] = setting(  # type: ignore[valid-type]
        "auto",
        "Texts in quotes",
        "Do quotation marks enclose a text of a table, which may then hold delimiters and line ends?",
        labels=YES_NO,
    )
    sheet: str = setting("", "Sheet", "Which sheet of a workbook; empty takes the only one with rows.")
    pieces: Literal[tuple(PIECES)] = setting(  # type: ignore[valid-type]
        "auto", "Examples of a text", "What of a plain text, a document or a book is one example.", labels=PIECES
    )
    columns: ColumnMap = ColumnMap()
    turns: Literal[tuple(TURNS)] = setting(  # type: ignore[valid-type]
        "all", "Learn from", "Which turns of a conversation are trained on.", labels=TURNS
    )
    held_out_share: float = setting(
        0.1,
        "Held-out share",
        "Part of your data that is never trained on, only measured with. Starter datasets bring their own.",
        ge=0,
        lt=0.9,
    )
    held_out_from: str = setting(
        "",
        "Held-out data",
        "What the run is measured on and never learns. Empty: a share of the rows. Or a split such as test, or another "
        "file of the data folder.",
    )
    split_seed: int = setting(0, "Split seed", "The same seed keeps the same rows aside.", ge=0)

    @property
    def title(self) -> str:
        """A short name for lists: the dataset's own, an upload's without the hash in front."""
        if self.source == "file" and self.is_upload:
            return self.id.partition("-")[2]
        return self.id

    @property
    def is_upload(self) -> bool:
        """Was it uploaded, checked and kept under its hash?"""
        return self.source == "file" and bool(UPLOADED.fullmatch(self.id))

    @property
    def read_as(self) -> ReadAs:
        """How its files are read."""
        said = {name: getattr(self, name) for name in SETTINGS}
        if self.source == "hub":  # its splits are known by the Hub, not by what files are called
            said["split"] = ALL
        return ReadAs(**said)

    @property
    def repository(self) -> Repository:
        """Where data of the Hub is."""
        return Repository(self.id, self.revision, "dataset")

    @property
    def measured_with(self) -> "DatasetChoice | None":
        """The data a run is measured with, where that is data of its own."""
        if not self.held_out_from or self.source == "starter":
            return None
        place = {"split" if self.source == "hub" else "id": self.held_out_from}
        return self.model_copy(update={**place, "held_out_from": "", "fingerprint": ""})

    def problems(self) -> dict[str, Problem]:
        """What is wrong with this choice, found without opening a file: {setting: sentence}."""
        if self.measured_with and (problem := self._no_held_out()):
            return {"held_out_from": problem}
        if self.source == "starter" and self.id not in starter.DATASETS:
            return {
                "id": Problem(
                    "dataset.no_starter",
                    "There is no starter dataset {id!r}. Choose one of {starters}.",
                    id=self.id,
                    starters=", ".join(starter.DATASETS),
                )
            }
        if self.source == "hub":
            if not self.id:
                return {
                    "id": Problem(
                        "dataset.none_chosen",
                        "No data is chosen. Search the Hub for some, or give an id such as "
                        "databricks/databricks-dolly-15k.",
                    )
                }
            return self.repository.problems("databricks/databricks-dolly-15k")
        if self.source == "file" and _leads_elsewhere(self.id):
            return {"id": _outside_folder(self.id)}
        return {}

    def _no_held_out(self) -> Problem | None:
        """Why `held_out_from` cannot be measured with; None if nothing speaks against it."""
        if self.source == "hub":
            if self.held_out_from != self.split:
                return None
            return self._same_split()
        if self.held_out_from == self.id:
            return Problem(
                "dataset.held_out_same_file",
                "This is the data that is learned from. Name another file to measure with, or leave this empty.",
            )
        if not _leads_elsewhere(self.held_out_from):
            return None
        return _outside_folder(self.held_out_from)

    def _same_split(self) -> Problem:
        return Problem(
            "dataset.held_out_same_split",
            "{split} is the split that is learned from. Name another one to measure with.",
            split=self.split,
        )


def _outside_folder(id: str) -> Problem:
    return Problem(
        "dataset.outside_folder",
        "{id!r} is no file of the data folder. Upload one, or choose one from the list.",
        id=id,
    )


def _leads_elsewhere(id: str) -> bool:
    return "\\" in id or any(part.startswith(".") or not part for part in id.split("/"))
