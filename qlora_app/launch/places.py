"""The launcher of each place, and whatever is asked of the one where a job is."""

from ..jobs import Job
from . import ending, local
from .hf_jobs import HfJobsLauncher
from .launcher import EngineLauncher
from .ray_jobs import RayLauncher
from .slurm import SlurmLauncher

ELSEWHERE: dict[str, EngineLauncher] = {"slurm": SlurmLauncher(), "ray": RayLauncher(), "hf_jobs": HfJobsLauncher()}


def is_elsewhere(job: Job) -> bool:
    """Is it to be worked on by another program than this one, or is it already?"""
    return job.place().where in ELSEWHERE or job.launch_file.engine() is not None


def elsewhere_for(job: Job) -> EngineLauncher | None:
    """The launcher of the place that a job is to be sent to; None for this machine."""
    return ELSEWHERE.get(job.place().where)


def start(job: Job) -> None:
    """Send a worker from wherever its place is. Raises UserError, OSError."""
    elsewhere = elsewhere_for(job)
    if elsewhere is None:
        local.launch(job)
        return
    job.request("start")
    elsewhere.start(job)


def look(job: Job) -> bool | None:
    """Was another program at it when it was last asked? None where it did not answer: unknown is never failed."""
    engine = job.launch_file.engine()
    if engine is None:
        return False
    return None if engine.state == "unknown" else engine.is_there


def end_now(job: Job) -> None:
    """End the worker of a job at once, wherever it is. Raises UserError where that cannot be."""
    engine = job.launch_file.engine()
    if engine is None or not engine.is_there:
        ending.end_now(job)
        return
    job.request("stop-now")
    ELSEWHERE[engine.name].end(job)
