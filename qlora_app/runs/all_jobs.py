"""Every job of an installation: the runs, what was made of each, the evaluations, and the other jobs of no run."""

from pathlib import Path

from ..errors import UserError
from ..jobs import Job, JobStore
from ..settings import Settings
from .run import Run
from .store import RunStore

OF_NO_RUN, EVALUATIONS = "jobs", "evaluations"  # stand where a run's id would: those begin with a date


class AllJobs:
    """Found by address: the id of a run, RUN/JOB for what was made of it, evaluations/JOB, or jobs/JOB for another job
    of no run.
    """

    def __init__(self, runs: RunStore, others: JobStore, evaluations: JobStore) -> None:
        self.runs, self.others, self.evaluations = runs, others, evaluations

    @classmethod
    def of(cls, settings: Settings, runs: RunStore | None = None) -> "AllJobs":
        """Those of an installation; runs: where somebody has them at hand."""
        return cls(runs or RunStore(settings.runs), JobStore(settings.jobs), JobStore(settings.evaluations))

    def list(self) -> list[Job]:
        """The runs first, newest first, each with what was made of it."""
        return [*self.runs.every(), *self.evaluations.list(), *self.others.list()]

    def get(self, address: str) -> Job:
        """Raises UserError for what is no address of a job."""
        owner, slash, job = address.partition("/")
        if not slash:
            return self.runs.get(address)
        if owner == OF_NO_RUN:
            return self.others.get(job)
        if owner == EVALUATIONS:
            return self.evaluations.get(job)
        run = self.runs.get(owner)
        try:
            return JobStore(run.exports).get(job)
        except UserError:
            return JobStore(run.answers).get(job)


def address_of(job: Job) -> str:
    """What AllJobs finds it by."""
    if isinstance(job, Run):
        return job.id
    owner = _run_of(job.folder)
    if not owner:
        owner = EVALUATIONS if job.folder.parent.name == EVALUATIONS else OF_NO_RUN
    return f"{owner}/{job.id}"


def _run_of(folder: Path) -> str:
    """The id of the run a job was made of; "" for a job of no run."""
    run = Run(folder.parent.parent)
    return run.id if folder.parent in (run.answers, run.exports) and (run.folder / Run.spec_file).is_file() else ""
