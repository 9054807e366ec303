"""The kind `import`: files that a person brought, checked row by row and kept in the data folder."""

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..errors import Problem, UserError
from ..jobs import Job, JobSpec, JobStore, JobWriter, failures
from ..jobs.job import Needs
from ..preflight import examples_of
from ..settings import Settings
from ..training_data import DatasetChoice, import_files


class ImportSpec(JobSpec):
    """Which files are imported; several become one dataset."""

    kind: Literal["import"] = "import"
    needs: Needs = "little"
    files: list[str]  # their names


def import_job(store: JobStore, files: Sequence[Path]) -> Job:
    """A new job for these files. They are linked or copied into it: a page throws away what was uploaded to it. It is
    not started here.
    """

    def bring(job: Job) -> None:
        for number, file in enumerate(files):
            target = _kept(job, number, file.name)
            target.parent.mkdir(parents=True)
            _link_or_copy(file, target)

    return store.create(files[0].stem, ImportSpec(files=[file.name for file in files]), bring)


def imported(job: Job) -> str | None:
    """The id of the data in the data folder; None before the job is done."""
    return (job.result() or {}).get("id")


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """Always from the first row: half of a file is not kept."""
    files = [_kept(job, number, name) for number, name in enumerate(job.spec(ImportSpec).files)]
    size = sum(file.stat().st_size for file in files)
    out.progress(0, size, "Saving the file…")

    def note(rows: int, share: float) -> None:
        out.progress(round(share * size), size, f"Reading all rows: {rows:,} so far, {share:.0%} of the file…")

    with out.leaving():
        id = import_files(files, settings.data, settings, note)
    with contextlib.suppress(UserError):  # it asks which column is what: that is said when it is chosen
        examples_of(DatasetChoice(source="file", id=id), settings.data)
    out.write("result", {"id": id})  # no stop is heard any more: the data is there
    out.end("done", "All rows are read.")
    shutil.rmtree(job.folder / "files", ignore_errors=True)


def stopped(job: Job) -> str:
    return "Stopped. Nothing of the file was kept; Resume reads it from its beginning."


def explain(error: BaseException, job: Job) -> Problem:
    return failures.explain(error)


def _kept(job: Job, number: int, name: str) -> Path:
    """Where a file lies in the job; two may have the same name."""
    return job.folder / "files" / str(number) / name


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # on another disk, or one without links
        shutil.copyfile(file, target)
