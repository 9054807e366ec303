"""What a kind of job is to the worker: one file that knows how to do it."""

from typing import Protocol, TypeVar

from ..errors import Problem
from ..settings import Settings
from .job import Job
from .writer import JobWriter

OneJob = TypeVar("OneJob", bound=Job, contravariant=True)
Writer = TypeVar("Writer", bound=JobWriter, contravariant=True)


class Kind(Protocol[OneJob, Writer]):
    """One way of working; a module with these three functions is one."""

    def work(self, job: OneJob, out: Writer, settings: Settings) -> None:
        """Do it to the end, and say so. Raises Stopped when somebody asked for an end; any other error is a failure."""

    def stopped(self, job: OneJob) -> str:
        """The sentence of a job that was stopped: what is kept, and what Resume does."""

    def explain(self, error: BaseException, job: OneJob) -> Problem:
        """The sentence of one that failed: what happened, and what to change."""
