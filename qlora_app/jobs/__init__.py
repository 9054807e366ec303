"""A job is a folder with work in it: read by anybody, written by the one who holds its lock, listed by a store."""

from .job import Job, JobSpec
from .lock import ALREADY_RUNNING, CALLED_BACK
from .status import ACTIVE, ENDED, RESUMABLE, State, Status
from .store import JobStore
from .wishes import Wish
from .writer import JobWriter

__all__ = [
    "ACTIVE",
    "ALREADY_RUNNING",
    "CALLED_BACK",
    "ENDED",
    "RESUMABLE",
    "Job",
    "JobSpec",
    "JobStore",
    "JobWriter",
    "State",
    "Status",
    "Wish",
]
