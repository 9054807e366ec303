"""What went wrong in a run -> a sentence with advice."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from ..errors import Problem, joined
from ..jobs.failures import is_out_of_memory, known_failure, reason_of
from ..messages import IGNORED
from ..recipe import Recipe
from ..tasks import Task

# What makes a loss no number, when the very first one was one (first_loss.py): the base gives none for these rows, or
# they teach nothing; what the method began with, for nothing was learned yet; what was learned, which has grown without
# bounds.
Cause = Literal["rows", "method", "rate"]


class NotANumber(Exception):
    """The loss of a step is NaN or infinite. `is_first`: before it nothing was learned."""

    def __init__(self, step: int, loss: float, is_first: bool, cause: Cause = "rate") -> None:
        super().__init__(f"The loss of step {step} is {loss}.")
        self.step, self.loss = step, loss
        self.is_first, self.cause = is_first, cause


def explain_training(error: BaseException, recipe: Recipe | None) -> Problem:
    """One or two sentences for the page: what happened, what to change. The traceback is in the log."""
    if isinstance(error, NotANumber):
        return _not_a_number(error, recipe)
    if is_out_of_memory(error):
        return _out_of_memory(recipe)
    return known_failure(error) or Problem(
        "training.failed",
        "The training program failed with {kind}: {reason}. The log has the details.",
        kind=type(error).__name__,
        reason=reason_of(error),
    )


def cause_of(error: NotANumber, task: Task, model: Any, step: Sequence[dict[str, Any]]) -> Cause:
    """Why the loss of a step is no number: its micro-batches are measured once more with the adapter switched off.

    What the adapter holds tells nothing by now: the step has written its own NaN into it.
    """
    with model.disable_adapter():
        if not any(_teaches(batch) for batch in step) or not math.isfinite(task.measure(model, list(step))["loss"]):
            return "rows"
    return "method" if error.is_first else "rate"


def _teaches(batch: dict[str, Any]) -> bool:
    labels = batch.get("shift_labels", batch["labels"])
    return bool((labels != IGNORED).any())


def _not_a_number(error: NotANumber, recipe: Recipe | None) -> Problem:
    if error.cause == "rows":
        return Problem(
            "training.loss_of_rows",
            "The loss of step {step} is {loss}. It is the rows of this step: without any adapter they have no loss "
            "either, while others have one. They may hold nothing to learn, or be longer than the model can compute. "
            'Look for them under "Look at the data" and leave them out.',
            step=error.step,
            loss=error.loss,
        )
    if error.cause == "method":
        return Problem(
            "training.loss_of_method",
            "The loss of step {step} is {loss}. Nothing was learned before it, so no learning rate is to blame: it is "
            "what the method begins with on this base. Choose another initialisation or method, or fp32 as compute "
            "type.",
            step=error.step,
            loss=error.loss,
        )
    if recipe is None:
        return Problem(
            "training.loss_grew",
            "The loss of step {step} is {loss}. Lower the learning rate, or the largest gradient norm, and start "
            "again.",
            step=error.step,
            loss=error.loss,
        )
    return Problem(
        "training.loss_of_rate",
        "The loss of step {step} is {loss}. Lower the learning rate (it is {rate:g}), or the largest gradient norm, "
        "and start again.",
        step=error.step,
        loss=error.loss,
        rate=recipe.training.learning_rate,
    )


def _out_of_memory(recipe: Recipe | None) -> Problem:
    advice = [Problem("advice.shorter_example", 'a shorter "Longest example"')]
    if recipe and recipe.training.gradient_checkpointing != "on":
        advice.append(Problem("advice.checkpointing", "gradient checkpointing on"))
    if recipe and recipe.base_model.precision not in ("nf4", "fp4"):
        advice.append(Problem("advice.4_bit_base", "a 4-bit base"))
    return Problem(
        "training.out_of_memory",
        "The memory is not enough for this recipe. Try {advice}, or a smaller model.",
        advice=joined(advice, ", "),
    )
