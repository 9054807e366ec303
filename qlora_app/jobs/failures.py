"""What went wrong in a job -> a sentence with advice."""

import errno

from ..errors import UserError


def explain(error: BaseException, program: str = "The program") -> str:
    """One or two sentences for the page: what happened, what to change. The traceback is in the log."""
    if isinstance(error, UserError):
        return str(error)
    text = str(error)
    if is_out_of_memory(error):
        return "The memory is not enough for this. End other programs, then press Resume."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "The disk is full. Delete old runs or free some space, then press Resume."
    if isinstance(error, FileNotFoundError):
        return f"A file is gone: {error.filename or text}. Put it back, then press Resume."
    first = text.strip().partition("\n")[0][:300]
    return f"{program} failed with {type(error).__name__}: {first or 'no message'}. The log has the details."


def is_out_of_memory(error: BaseException) -> bool:
    """Of the processor or of a GPU, whoever says it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text
