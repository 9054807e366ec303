"""Where what a run reported to another program can be looked at."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ..reporting import Reporting
from ..storage.reading import read_json
from ..storage.typed import filled
from .recipes import ReadRecipe

REPORTED = "reported"  # .json, by the worker


class _Folder(Protocol):
    @property
    def folder(self) -> Path: ...


class _Run(_Folder, Protocol):
    def read_recipe(self) -> ReadRecipe: ...


@dataclass(frozen=True)
class Kept:
    """What the worker keeps. id: its own at the other program, so that a resumed run goes on there. url: "" where it is
    on no page of the net.
    """

    to: str = ""
    id: str = ""
    url: str = ""


@dataclass(frozen=True)
class Reported:
    """to: the program's name. command: what shows it, or sends it; "" where a page of the net does. url: that page."""

    to: str
    command: str
    url: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def in_a_line(self) -> str:
        return f"{self.to}: {self.url or self.command}"


def kept_of(run: _Folder, to: str) -> Kept:
    """What an earlier part of the run left; nothing of it where that reported to another program."""
    kept = filled(Kept, read_json(run.folder / f"{REPORTED}.json") or {})
    return kept if kept.to == to else Kept(to)


def folder_of(run: _Folder) -> Path:
    """Where programs that write files keep those of this run."""
    return run.folder / "reports"


def reported(run: _Run) -> Reported | None:
    """None where the run reports nowhere else, or has not begun to."""
    reporting = run.read_recipe().recipe.reporting
    kept = kept_of(run, reporting.report_to)
    if reporting.report_to == "none" or not kept.id:
        return None
    url = kept.url if kept.url.startswith(("https://", "http://")) else ""
    return Reported(reporting.title, "" if url else _command(folder_of(run), reporting), url)


def _command(folder: Path, reporting: Reporting) -> str:
    if reporting.report_to == "tensorboard":
        return shlex.join(["tensorboard", "--logdir", str(folder)])
    if reporting.report_to == "trackio":
        return shlex.join(["trackio", "show", "--project", reporting.project])
    every = shlex.quote(str(folder / "wandb")) + "/offline-run-*"  # for a shell to find
    return " ".join(["wandb", "sync", every])
