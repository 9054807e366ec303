"""The kind `export`: files of a run's adapter for other programs. Such a job lies in the folder of its run."""

import shutil
from typing import Any, Literal

from ..choices import one_of_kinds
from ..errors import Problem, UserError
from ..export import EXPORTERS, Exporter
from ..export.exporter import checksum_of
from ..jobs import Job, JobSpec, JobStore, JobWriter, failures
from ..jobs.job import Needs
from ..runs import Run
from ..runs.exports import FILES, exports_of, made_by, note_made_here
from ..settings import Settings

MADE: Any = one_of_kinds(tuple(EXPORTERS.values()))


class ExportSpec(JobSpec):
    """What is made."""

    kind: Literal["export"] = "export"
    needs: Needs = "torch"
    export: MADE


def export_job(run: Run, exporter: Exporter) -> Job:
    """The job that exports so: one that has done it with the adapter as it is now, does so, or can go on; else a new
    one. It is not started here. Raises UserError where something speaks against it.
    """
    exporter.check(run)
    spec = ExportSpec(export=exporter)
    for job in exports_of(run):
        if _is_asked_the_same(job, spec) and not _is_outdated(job, run):
            return job
    return JobStore(run.exports).create(exporter.called(), spec)


def newest_export(run: Run, name: str) -> Job | None:
    """The newest job of an exporter of that name, whatever its settings."""
    return next((job for job in exports_of(run) if _exporter_of(job) == name), None)


def run_of(job: Job) -> Run:
    """The run whose adapter is exported."""
    return Run(job.folder.parent.parent)


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """Always from the beginning: half of a file is not kept."""
    exporter, run = job.spec(ExportSpec).export, run_of(job)
    folder = job.folder / FILES
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with out.leaving():
        exporter.check(run)
        made = exporter.write(run, folder, out, settings)
    note_made_here(run, made)
    out.write("result", made.to_json())
    out.end("done", made.fidelity.words if made.fidelity.questions else "Exported.")


def stopped(job: Job) -> str:
    return "Stopped. Nothing was kept; Resume makes it from the beginning."


def explain(error: BaseException, job: Job) -> Problem:
    return failures.explain(error)


def _exporter_of(job: Job) -> str:
    """Its name; "" where that cannot be read."""
    try:
        return str(job.spec(ExportSpec).export.called_by_name())
    except UserError:
        return ""


def _is_asked_the_same(job: Job, spec: ExportSpec) -> bool:
    try:
        return job.spec(ExportSpec) == spec
    except UserError:
        return False


def _is_outdated(job: Job, run: Run) -> bool:
    made = made_by(job)
    return made is not None and made.adapter != checksum_of(run)
