"""Everything that takes time, as one line each: trainings, what waits, downloads, imports, answers, and whatever other
kinds of jobs there are.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ...errors import UserError
from ...formatting import left
from ...jobs import Job, State, Status
from ...kinds.answer import AnswerSpec, run_of
from ...kinds.data_import import ImportSpec
from ...kinds.download import DownloadSpec
from ...measurement import asked_by
from ...runs import Run, address_of
from ..runs.card_parts import title_of

KINDS = {
    "train": "Training",
    "download": "Download",
    "import": "Import",
    "answer": "Answers",
    "measure": "Measuring",
    "adapter": "Adapter",
    "merge": "Merge",
}
A_MINUTE = re.compile(r"^\d{4}-\d\d-\d\d-\d{4}-")  # in front of the name of a job's folder


@dataclass(frozen=True)
class WorkLine:
    """One job as the bar and the drawer show it."""

    address: str  # of AllJobs
    kind: str  # in words
    name: str  # as a person wrote it
    state: State
    progress: float | None  # from 0 to 1
    seconds_left: float | None
    sentence: str  # what it says of itself
    silence: str
    place: int = 0  # in the queue, from 1; 0 of what does not wait
    starts_in: float | None = None  # seconds; None where that cannot be said

    @property
    def waits(self) -> bool:
        return self.state == "queued"

    @property
    def figures(self) -> str:
        """How far it is, as the chip says it."""
        if self.waits:
            return ""
        parts = [] if self.progress is None else [f"{min(1.0, self.progress):.0%}"]
        if self.seconds_left is not None:
            parts.append(f"{left(self.seconds_left)} left")
        return " · ".join(parts)


def work_lines(jobs: Sequence[Job], begins: Mapping[Path, float | None] = MappingProxyType({})) -> list[WorkLine]:
    """What is worked on first, then what waits in its order. `jobs`: what moves, newest first; one that cannot be read
    is left out. `begins`: {folder of a job that waits: in how many seconds it begins}.
    """
    at_work = []
    waiting: list[tuple[Job, Status]] = []
    for job in reversed(jobs):
        try:
            status = job.status()
        except (OSError, UserError):
            continue
        if status.state == "queued":
            waiting.append((job, status))
        elif status.is_active:
            at_work.append(line_of(job, status))
    waiting.sort(key=lambda one: one[0].turn())
    places = enumerate(waiting, start=1)
    return [*at_work, *(line_of(job, status, place, begins.get(job.folder)) for place, (job, status) in places)]


def line_of(job: Job, status: Status, place: int = 0, starts_in: float | None = None) -> WorkLine:
    """A job that stands so, as a line."""
    return WorkLine(
        address=address_of(job),
        kind=KINDS.get(job.kind, job.kind.capitalize()),
        name=name_of(job),
        state=status.state,
        progress=status.progress,
        seconds_left=status.seconds_left,
        sentence=status.sentence,
        silence=status.silence,
        place=place,
        starts_in=starts_in,
    )


def name_of(job: Job) -> str:
    """What a job is about, in its owner's words."""
    if isinstance(job, Run):
        return title_of(job)
    known = _NAMES.get(job.kind)
    try:
        return known(job) if known else _name_of_folder(job)
    except UserError:  # its file says something else
        return _name_of_folder(job)


def _name_of_folder(job: Job) -> str:
    return A_MINUTE.sub("", job.id)


def _downloaded(job: Job) -> str:
    spec = job.spec(DownloadSpec)
    wanted = spec.base_model or spec.dataset
    return wanted.id if wanted else _name_of_folder(job)


def _imported(job: Job) -> str:
    return ", ".join(job.spec(ImportSpec).files) or _name_of_folder(job)


def _answered(job: Job) -> str:
    return f"{job.spec(AnswerSpec).file} · {title_of(run_of(job))}"


def _measured(job: Job) -> str:
    asked = asked_by(job)
    return asked.title if asked else _name_of_folder(job)


_NAMES: dict[str, Callable[[Job], str]] = {
    "download": _downloaded,
    "import": _imported,
    "answer": _answered,
    "measure": _measured,
}
