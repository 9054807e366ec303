"""What was made of a finished adapter for other programs, and how far that is from what was trained: the figures of an
export, typed, with the way to its file and back beside each other.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..jobs import Job, JobStore
from ..storage.digests import sha256_of
from ..storage.files import write_json
from ..storage.typed import filled
from .proof import Count, Share, Shares
from .run import EXPORTS, Run

FILES = "files"  # in the folder of the job: what it made
REPORT = "fidelity.json"  # beside them
MADE_HERE = "exports_made_here"  # in the home folder: an empty file, called by its checksum, for each file made here
AMBER, RED = 0.99, 0.97  # a share below is no more green, below that red
POINTS = 0.02  # of exact match: who lost more is red

Level = Literal["green", "amber", "red", "unknown"]


@dataclass(frozen=True)
class Differing:
    """A question to which the export says something else than the adapter did."""

    question: str = ""
    expected: str = ""
    trained: str = ""
    exported: str = ""


@dataclass(frozen=True)
class Fidelity:
    """Adapter and export, asked the same questions, both taking the likeliest token.

    Chances are compared where the right answers are given, token by token. Those that were not measured are None.
    """

    reader: str = ""  # the program that opened the export
    about: Literal["held-out", "general"] = "held-out"  # general: the data were gone
    questions: Count = 0
    same: Count = 0  # answers
    exact_match: Shares = field(default_factory=Shares)  # of the adapter, of the export
    differing: tuple[Differing, ...] = ()  # the first of them
    positions: Count = 0  # tokens whose chances were compared
    first_choice: Share | None = None  # of them: the likeliest token is the same
    logits: float | None = None  # how far the export's are, as a share of the adapter's
    kl_mean: float | None = None  # nats a token
    kl_max: float | None = None

    @property
    def agreement(self) -> float | None:
        """The lower one of: answers that are the same, tokens whose likeliest is the same. None: nothing was asked."""
        shares = [self.same / self.questions] if self.questions else []
        if self.first_choice is not None:
            shares.append(self.first_choice)
        return min(shares, default=None)

    @property
    def lost(self) -> float:
        """Of exact match, as a share."""
        before, after = self.exact_match.before, self.exact_match.after
        return 0.0 if before is None or after is None else max(0.0, before - after)

    @property
    def level(self) -> Level:
        agreement = self.agreement
        if agreement is None:
            return "unknown"
        if agreement < RED or self.lost > POINTS:
            return "red"
        return "amber" if agreement < AMBER else "green"

    @property
    def is_identical(self) -> bool:
        """Was every answer the same?"""
        return 0 < self.questions == self.same

    @property
    def chances(self) -> str:
        """How near the likelihoods are, in one sentence; empty where they were not compared."""
        if self.first_choice is None or self.kl_mean is None:
            return ""
        same, mean, most = f"{self.first_choice:.2%}", f"{self.kl_mean:.1e}", f"{self.kl_max or 0:.1e}"
        if self.logits is None:
            return f"{same} of {self.positions:,} first choices are the same; KL {mean} nats, at most {most}."
        apart = f"{self.logits:.1e}"
        return (
            f"{same} of {self.positions:,} first choices are the same; logits {apart} apart; KL {mean} nats, at most "
            f"{most}."
        )

    @property
    def words(self) -> str:
        """In one sentence."""
        if not self.questions:
            return "How far it is from the adapter was not measured."
        said = f"{self.same:,} of {self.questions:,} held-out answers are the adapter's, word for word"
        if self.about == "general":
            return f"{self.same:,} of {self.questions:,} answers to general questions are the adapter's, word for word."
        before, after = self.exact_match.before, self.exact_match.after
        if before is not None and after is not None:
            said += f"; {after:.1%} of all are right, {before:.1%} of the adapter's"
        return f"{said}."


@dataclass(frozen=True)
class Export:
    """What an exporter made."""

    format: str = ""  # the exporter's name
    dtype: str = ""  # of its weights
    files: dict[str, int] = field(default_factory=dict)  # {name below `files`: bytes}
    checksums: dict[str, str] = field(default_factory=dict)  # {name: SHA-256}
    adapter: str = ""  # SHA-256 of the weights it was made from
    notes: tuple[str, ...] = ()  # what whoever uses it should know
    fidelity: Fidelity = field(default_factory=Fidelity)
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def with_report(self, folder: Path) -> "Export":
        """The same with its figures as a file beside the others."""
        told = self.to_json()
        write_json(folder / REPORT, told.pop("fidelity") | {"level": self.fidelity.level} | told)
        size, checksum = (folder / REPORT).stat().st_size, sha256_of(folder / REPORT)
        return replace(self, files=self.files | {REPORT: size}, checksums=self.checksums | {REPORT: checksum})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Export":
        """What is missing or fits nothing has its default, what is unknown is passed over."""
        return filled(cls, values)


def exports_of(run: Run) -> list[Job]:
    """The jobs that made something of a run, or are to, newest first."""
    return [job for job in JobStore(run.exports).list() if job.kind == "export"]


def made_by(job: Job) -> Export | None:
    """What a job of this kind made; None before it is done."""
    result = job.result()
    return Export.from_json(result) if result else None


def file_of(job: Job, made: Export) -> Path | None:
    """The largest file it made: the model; None where it is gone."""
    name = max(made.files, key=lambda one: made.files[one], default="")
    file = job.folder / FILES / name
    return file if name and file.is_file() else None


def last_export(folder: Path) -> int:
    """When something was made of the run in a folder last, in nanoseconds; 0 where nothing was."""
    times = [0]
    for result in (folder / EXPORTS).glob("*/result.json"):
        with contextlib.suppress(OSError):  # it is being deleted
            times.append(result.stat().st_mtime_ns)
    return max(times)


def identical_gguf(run: Run) -> Path | None:
    """A GGUF of the run's finished adapter that answered every question as the adapter does, the one read fastest
    first; None where there is none, its file is not the one that was measured, or it came with a folder from elsewhere.
    """
    found = sorted(_identical(run), key=lambda pair: pair[0].size)
    for made, file in found:
        checksum = sha256_of(file)
        if checksum == made.checksums.get(file.name) and (_home_of(run) / MADE_HERE / checksum).is_file():
            return file
    return None


def note_made_here(run: Run, made: Export) -> None:
    """What this machine's own job made may be opened in the process of the page: llama.cpp reads it in C++."""
    folder = _home_of(run) / MADE_HERE
    folder.mkdir(exist_ok=True)
    for checksum in made.checksums.values():
        (folder / checksum).touch()


def _home_of(run: Run) -> Path:
    return run.folder.parent.parent


def _identical(run: Run) -> Iterator[tuple[Export, Path]]:
    weights = run.adapter / "adapter_model.safetensors"
    jobs = exports_of(run)
    if not jobs or not weights.is_file():
        return
    now = sha256_of(weights)
    for job in jobs:
        made = made_by(job)
        if made is None or made.format != "gguf" or made.adapter != now or not made.fidelity.is_identical:
            continue
        if file := file_of(job, made):
            yield made, file
