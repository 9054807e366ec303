"""What went wrong in a run -> a sentence with advice."""

import errno

from ..errors import UserError
from ..recipe import Recipe


class NotANumber(Exception):
    """The loss of a step is NaN or infinite."""


def explain(error: BaseException, recipe: Recipe | None) -> str:
    """One or two sentences for the page: what happened, what to change. The traceback is in the log."""
    if isinstance(error, UserError):
        return str(error)
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "not enough memory" in text.lower():
        return _out_of_memory(recipe)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "The disk is full. Delete old runs or free some space, then press Resume."
    if isinstance(error, NotANumber):
        rate = f" (it is {recipe.training.learning_rate:g})" if recipe else ""
        return f"{text} Lower the learning rate{rate}, or the largest gradient norm, and start again."
    if isinstance(error, FileNotFoundError):
        return f"A file is gone: {error.filename or text}. Put it back, then press Resume."
    first = text.strip().partition("\n")[0][:300]
    return f"The training program failed with {type(error).__name__}: {first or 'no message'}. The log has the details."


def _out_of_memory(recipe: Recipe | None) -> str:
    advice = ["a shorter \"Longest example\""]
    if recipe and recipe.training.gradient_checkpointing != "on":
        advice.append("gradient checkpointing on")
    if recipe and recipe.base_model.precision not in ("nf4", "fp4"):
        advice.append("a 4-bit base")
    return f"The memory is not enough for this recipe. Try {', '.join(advice)}, or a smaller model."
