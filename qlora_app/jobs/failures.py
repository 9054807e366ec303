"""What went wrong in a job -> a sentence with advice."""

import re
from pathlib import Path

from ..errors import Problem, UserError
from ..storage.disk import disk_trouble

# As torch says it of a GPU, of its libraries, and of the processor ("DefaultCPUAllocator: can't allocate memory"), and
# as the system does ("Cannot allocate memory").
NO_MEMORY = re.compile(r"out of memory|not enough memory|(can't|cannot) allocate memory|alloc_failed", re.IGNORECASE)


def explain(error: BaseException) -> Problem:
    """One or two sentences for the page: what happened, what to change. The traceback is in the log."""
    if is_out_of_memory(error):
        return Problem("job.out_of_memory", "The memory is not enough for this. End other programs, then press Resume.")
    return known_failure(error) or Problem(
        "job.failed",
        "The program failed with {kind}: {reason}. The log has the details.",
        kind=type(error).__name__,
        reason=reason_of(error),
    )


def known_failure(error: BaseException) -> Problem | None:
    """The sentence of what can happen to any job; None for what is not known."""
    if isinstance(error, UserError):
        return error.problem
    if trouble := disk_trouble(error, _place_of(error)):
        return trouble
    if isinstance(error, FileNotFoundError):
        gone = error.filename or str(error)
        return Problem("file.gone", "A file is gone: {file}. Put it back, then press Resume.", file=gone)
    return None


def _place_of(error: BaseException) -> Path:
    """The folder an error of the disk is about, as far as it says it."""
    named = getattr(error, "filename", None)
    return Path(named).parent if isinstance(named, str) else Path.home()


def is_out_of_memory(error: BaseException) -> bool:
    """Of the processor or of a GPU, whoever says it."""
    if isinstance(error, UserError):
        return False
    return isinstance(error, MemoryError) or bool(NO_MEMORY.search(str(error)))


def reason_of(error: BaseException) -> str:
    """The first line of what an unexpected error says."""
    first = str(error).strip().partition("\n")[0][:300]
    return first or Problem("job.no_message", "no message")
