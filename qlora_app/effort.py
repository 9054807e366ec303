"""How long an effort takes: measured on this machine where a run with the same model and method has ended, else
estimated or not said.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
BUSY = 1.5  # times the fastest: then the machine did something else beside it


class Pace(NamedTuple):
    """Seconds for each character that is learned from, as measured here."""

    seconds: float  # in the fastest of the runs: a busy machine makes a run slower, and nothing makes it faster
    runs: int  # that were compared
    newest_was_slow: bool  # did the newest take much longer?


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
    measured = pace_measured(recipe, store, data_folder)
    pace = pace_of(recipe, measured)
    characters = examples_of(recipe.dataset, data_folder).characters
    is_by_steps = ends_by_steps(recipe, data_folder)
    if pace is None and is_by_steps:
        labels = [(words, effort) for effort, words in EFFORTS.items()]
        return labels, f"{count_of(recipe.training.max_steps, 'step')}: max steps end it."
    if pace is None:
        labels = [(words, effort) for effort, words in EFFORTS.items()]
        return labels, "Times are known after the first run of this model with this method."
    # What an epoch costs, near enough, without a tokenizer.
    of_an_epoch = pace * characters
    meant = epochs_meant(recipe, data_folder)
    times = {effort: f"about {about(of_an_epoch * epochs)}" for effort, epochs in meant.items()}
    told = (
        times if _all_differ(times) else _in_steps(recipe, meant, len(examples_of(recipe.dataset, data_folder).train))
    )
    labels = [(f"{words}\n{told[effort]}", effort) for effort, words in EFFORTS.items()]
    if is_by_steps:
        seconds = expected_seconds(recipe, store, data_folder) or 0.0
        return labels, f"{count_of(recipe.training.max_steps, 'step')}, about {about(seconds)}: max steps end it."
    if not _all_differ(told):
        return labels, f"With so few rows all three are the same: {times[next(iter(EFFORTS))]}."
    if told is not times:
        return labels, f"With so few rows all three take about as long: {times[next(iter(EFFORTS))]}."
    if measured is None:
        return labels, "Times are estimates; after the first run they are measured."
    return labels, _measured_words(measured)


def _all_differ(told: dict[str, str]) -> bool:
    return len(set(told.values())) == len(told)


def _in_steps(recipe: Recipe, meant: dict[str, float], count: int) -> dict[str, str]:
    """{effort: how many steps its epochs are}: with few rows the times tell nothing apart."""
    of_an_epoch = math.ceil(count / recipe.training.batch_size)
    return {effort: count_of(max(1, math.ceil(epochs * of_an_epoch)), "step") for effort, epochs in meant.items()}


def expected_seconds(recipe: Recipe, store: RunStore, data_folder: Path) -> float | None:
    """How long a training takes here; None where nothing tells. Raises UserError where its data cannot be read."""
    return seconds_at(recipe, pace_measured(recipe, store, data_folder), data_folder)


def seconds_at(recipe: Recipe, measured: Pace | None, data_folder: Path) -> float | None:
    """`expected_seconds` at a pace that was measured before."""
    pace = pace_of(recipe, measured)
    if pace is None:
        return None
    examples, training = examples_of(recipe.dataset, data_folder), recipe.training
    epochs = training.epochs
    if training.max_steps:
        epochs = min(epochs, training.max_steps * training.batch_size / max(1, len(examples.train)))
    return pace * examples.characters * epochs


def pace_of(recipe: Recipe, measured: Pace | None) -> float | None:
    """Seconds for each character: as measured, else what the starter takes; None where neither is known."""
    if measured is not None:
        return measured.seconds
    return STARTER_SECONDS_PER_MILLION / 1e6 if recipe.base_model.source == "starter" else None


def _measured_words(measured: Pace) -> str:
    if measured.runs == 1:
        return "Times as measured here, in the last run of this model with this method."
    words = f"Times as measured here, in the fastest of {measured.runs} runs of this model with this method."
    slow = "The last one took longer: the machine was busy."
    return " ".join([words, slow]) if measured.newest_was_slow else words


def _as_costly(one: Recipe, other: Recipe) -> bool:
    """Do steps of both take about as long? The same model in the same precision, and the same method in the same
    variant: its names and switches (DoRA is one) change a step, its numbers hardly."""

    def variant(recipe: Recipe) -> dict[str, Any]:
        settings = recipe.method.model_dump()
        return {name: value for name, value in settings.items() if isinstance(value, str | bool)}

    return one.base_model == other.base_model and variant(one) == variant(other)


def pace_measured(recipe: Recipe, store: RunStore, data_folder: Path) -> Pace | None:
    """From the runs with this model and method that have ended well, among the newest; None where there is none."""
    return pace_among(recipe, paces(store, data_folder, lambda one: _as_costly(one, recipe)))


def pace_among(recipe: Recipe, measured: Iterable[tuple[Recipe, float]]) -> Pace | None:
    """From those of the measured runs, newest first, whose steps take as long as the recipe's; None where none does."""
    found = [pace for one, pace in measured if _as_costly(one, recipe)]
    if not found:
        return None
    return Pace(min(found), len(found), found[0] > BUSY * min(found))


def paces(
    store: RunStore, data_folder: Path, wanted: Callable[[Recipe], bool] = lambda _: True
) -> Iterator[tuple[Recipe, float]]:
    """(its recipe, seconds it took for each character) of each of the newest runs that has ended well, newest first,
    as far as its recipe is `wanted`.
    """
    for run in store.list()[:LOOKED_AT]:
        earlier, status = recipe_of(run), run.status()
        if earlier is None or not wanted(earlier):
            continue
        if status.state not in ("done", "stopped") or status.step < FEWEST_STEPS:
            continue
        try:
            examples = examples_of(earlier.dataset, data_folder)
        except Exception:  # its data is gone or changed: this run cannot be compared with, an older one may
            continue
        epochs = status.step * earlier.training.batch_size / max(1, len(examples.train))
        learned = examples.characters * epochs
        yield earlier, status.seconds / max(1.0, learned)
