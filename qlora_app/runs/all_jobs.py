"""Every job of an installation: the runs, what was made of each, and the jobs of no run."""

from ..errors import UserError
from ..jobs import Job, JobStore
from .run import Run
from .store import RunStore


class AllJobs:
    """Found by address: the id of a run, of a job of no run, or RUN/JOB for what was made of a run."""

    def __init__(self, runs: RunStore, others: JobStore) -> None:
        self.runs, self.others = runs, others

    def list(self) -> list[Job]:
        """The runs first, newest first, each with what was made of it."""
        return [*self.runs.every(), *self.others.list()]

    def get(self, address: str) -> Job:
        """Raises UserError for what is no address of a job."""
        run, slash, job = address.partition("/")
        if slash:
            return JobStore(self.runs.get(run).answers).get(job)
        try:
            return self.runs.get(address)
        except UserError:
            return self.others.get(address)


def address_of(job: Job) -> str:
    """What AllJobs finds it by."""
    run = job.folder.parent.parent
    is_made_of_a_run = not isinstance(job, Run) and (run / Run.spec_file).is_file()
    return f"{run.name}/{job.id}" if is_made_of_a_run else job.id
