"""How long an effort takes: measured on this machine where a run with the same model and method has ended, else
estimated or not said.
"""

import math
from pathlib import Path
from typing import Any

from .formatting import about, count_of
from .preflight import examples_of
from .presets import preset_for
from .recipe import EFFORTS, Recipe, epochs_for
from .runs import RunStore
from .runs.recipes import recipe_of

# The starter on two laptop cores: seconds for each million characters of conversation that is learned from.
STARTER_SECONDS_PER_MILLION = 80.0
LOOKED_AT = 20  # newest runs
FEWEST_STEPS = 20  # of a run that tells how long a step takes


def epochs_meant(recipe: Recipe, data_folder: Path) -> dict[str, float]:
    """{effort: epochs} for the recipe's data and batch size. Raises UserError where the data cannot be read.

    Where a preset was made for this model and data, Balanced is what it says, and the other efforts keep their distance
    from it.
    """
    count = len(examples_of(recipe.dataset, data_folder).train)
    factor = 1.0
    preset = preset_for(recipe.base_model, recipe.dataset)
    if preset:
        balanced = epochs_for("balanced", count, preset.training.batch_size)
        factor = preset.training.epochs / balanced
    batch_size = recipe.training.batch_size
    return {effort: round(factor * epochs_for(effort, count, batch_size), 2) for effort in EFFORTS}


def effort_of(epochs: float, meant: dict[str, float]) -> str | None:
    """The effort that means so many epochs, if any does."""
    return next((effort for effort in EFFORTS if abs(meant[effort] - epochs) < 0.005), None)


def steps_of(recipe: Recipe, data_folder: Path) -> int:
    """Optimizer steps of the whole run. Raises UserError where the data cannot be read."""
    training = recipe.training
    steps = _steps_by_epochs(recipe, data_folder)
    return min(steps, training.max_steps) if training.max_steps else steps


def ends_by_steps(recipe: Recipe, data_folder: Path) -> bool:
    """Do its max steps end a run before its epochs do? Then it has none of the three efforts. Raises UserError where
    the data cannot be read.
    """
    return 0 < recipe.training.max_steps < _steps_by_epochs(recipe, data_folder)


def _steps_by_epochs(recipe: Recipe, data_folder: Path) -> int:
    training = recipe.training
    count = len(examples_of(recipe.dataset, data_folder).train)
    return max(1, math.ceil(training.epochs * math.ceil(count / training.batch_size)))


def effort_choices(recipe: Recipe, store: RunStore, data_folder: Path) -> tuple[list[tuple[str, str]], str]:
    """(labels with their times and the efforts they stand for, a line that says where the times come from; where max
    steps end the run, how many those are and how long they take).
    """
    pace, where = _pace_of(recipe, store, data_folder)
    examples = examples_of(recipe.dataset, data_folder)
    labels = [(words, effort) for effort, words in EFFORTS.items()]
    # What an epoch costs, near enough, without a tokenizer.
    of_an_epoch = pace * examples.characters if pace else None
    if of_an_epoch is not None:
        meant = epochs_meant(recipe, data_folder)
        labels = [(f"{words}\nabout {about(of_an_epoch * meant[effort])}", effort) for words, effort in labels]
    if ends_by_steps(recipe, data_folder):
        steps = recipe.training.max_steps
        line = f"{count_of(steps, 'step')}"
        if of_an_epoch is not None:
            line += f", about {about(of_an_epoch * steps * recipe.training.batch_size / max(1, len(examples.train)))}"
        return labels, f"{line}: max steps end it."
    return labels, where


def _pace_of(recipe: Recipe, store: RunStore, data_folder: Path) -> tuple[float | None, str]:
    """(seconds for each character, None where that is not known; a line that says where it comes from)."""
    measured = _pace_measured(recipe, store, data_folder)
    if measured is not None:
        return measured, "Times as measured here, in the last run of this model with this method."
    if recipe.base_model.source == "starter":
        return STARTER_SECONDS_PER_MILLION / 1e6, "Times are estimates; after the first run they are measured."
    return None, "Times are known after the first run of this model with this method."


def _as_costly(one: Recipe, other: Recipe) -> bool:
    """Do steps of both take about as long? The same model in the same precision, and the same method in the same
    variant: its names and switches (DoRA is one) change a step, its numbers hardly."""

    def variant(recipe: Recipe) -> dict[str, Any]:
        settings = recipe.method.model_dump()
        return {name: value for name, value in settings.items() if isinstance(value, str | bool)}

    return one.base_model == other.base_model and variant(one) == variant(other)


def _pace_measured(recipe: Recipe, store: RunStore, data_folder: Path) -> float | None:
    """Seconds for each character, in the newest run with this model and method that has ended well; None where there
    is none.
    """
    for run in store.list()[:LOOKED_AT]:
        earlier, status = recipe_of(run), run.status()
        if earlier is None or not _as_costly(earlier, recipe):
            continue
        if status.state not in ("done", "stopped") or status.step < FEWEST_STEPS:
            continue
        try:
            examples = examples_of(earlier.dataset, data_folder)
        except Exception:  # its data is gone or changed: this run cannot be compared with, an older one may
            continue
        epochs = status.step * earlier.training.batch_size / max(1, len(examples.train))
        learned = examples.characters * epochs
        return status.seconds / max(1.0, learned)
    return None
