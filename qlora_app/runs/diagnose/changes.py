"""What to change in a recipe: {dotted setting: another value}."""

from typing import Any

from ...differs import recommended
from ...errors import UserError
from ...recipe import Recipe
from .seen import Seen

_RATES = (1e-7, 1.0)  # what a learning rate may be changed to


def _rounded(value: float) -> float:
    lowest, highest = _RATES
    return min(highest, max(lowest, float(f"{value:.1g}")))


def _usual_rate(recipe: Recipe) -> float:
    """The learning rate recommended for its model, data and method; its own where none is known."""
    try:
        return recommended(recipe).training.learning_rate
    except UserError:
        return recipe.training.learning_rate


def lower_rate(recipe: Recipe) -> dict[str, Any]:
    """Smaller steps: the usual rate where it is lower by far, else a fifth of the recipe's own."""
    rate, usual = recipe.training.learning_rate, _usual_rate(recipe)
    change: dict[str, Any] = {"training.learning_rate": usual if usual < rate / 1.5 else _rounded(rate / 5)}
    if recipe.training.max_grad_norm > 1.0:
        change["training.max_grad_norm"] = 1.0
    return change


def other_rate(recipe: Recipe) -> dict[str, Any]:
    """Of a loss that does not move: the usual rate where it is another one by far, else a higher one."""
    rate, usual = recipe.training.learning_rate, _usual_rate(recipe)
    is_far_off = usual > 1.5 * rate or usual < rate / 1.5
    return {"training.learning_rate": usual if is_far_off else _rounded(5 * rate)}


def shorter(seen: Seen, step: int) -> dict[str, Any]:
    """So many steps and no more."""
    training = seen.recipe.training
    if training.max_steps:
        return {"training.max_steps": max(1, step)}
    return {"training.epochs": max(0.01, round(training.epochs * step / max(1, seen.total), 2))}
