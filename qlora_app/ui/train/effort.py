"""How long an effort takes: measured on this machine where a run with the same model and method has ended, else
estimated or not said.
"""

import functools
from pathlib import Path
from typing import Any

from ...base_models import ModelChoice
from ...errors import UserError
from ...formatting import about
from ...presets import Presets
from ...recipe import EFFORTS, Recipe, epochs_for
from ...runs import RunStore
from ...tasks import unsuitable_tasks
from ...tasks.classification import label_counts
from ...training_data import (
    DatasetChoice,
    Examples,
    load_examples,
    stamp,
)
from ..runs.run_card import recipe_of

# The starter on two laptop cores: seconds for each million characters of conversation that is learned from.
STARTER_SECONDS_PER_MILLION = 80.0
LOOKED_AT = 20  # newest runs
EXAMPLES_LOOKED_AT = 20_000  # a page cannot wait until a million are read


def examples_of(choice: DatasetChoice, data_folder: Path) -> Examples:
    """Read once, and again when the files are other ones. Raises UserError."""
    found = _examples(choice, data_folder, stamp(choice, data_folder))
    if isinstance(found, UserError):
        raise found.with_traceback(None)
    return found


@functools.lru_cache(maxsize=32)
def _examples(choice: DatasetChoice, data_folder: Path, when: Any) -> Examples | UserError:
    try:
        return load_examples(choice, data_folder)
    except UserError as error:
        return error


def taught_by(choice: DatasetChoice, data_folder: Path) -> tuple[dict[str, str], dict[str, int], bool]:
    """({task: why the data cannot teach it, empty if they can}, {label: rows with it} where they are labelled texts,
    whether only the first of many examples were looked at). Raises UserError.
    """
    return _taught_by(choice, data_folder, stamp(choice, data_folder))


@functools.lru_cache(maxsize=64)
def _taught_by(choice: DatasetChoice, data_folder: Path, when: Any) -> tuple[dict[str, str], dict[str, int], bool]:
    every = examples_of(choice, data_folder).every
    some = every[:EXAMPLES_LOOKED_AT]
    reasons = unsuitable_tasks(some)
    return reasons, {} if reasons["classification"] else dict(label_counts(some).most_common()), len(some) < len(every)


def epochs_meant(recipe: Recipe, data_folder: Path) -> dict[str, float]:
    """{effort: epochs} for the recipe's data and batch size. Raises UserError where the data cannot be read.

    Where a preset was made for this model and data, Balanced is what it says, and the other efforts keep their distance
    from it.
    """
    count = len(examples_of(recipe.dataset, data_folder).train)
    meant = {effort: epochs_for(effort, count, recipe.training.batch_size) for effort in EFFORTS}
    preset = preset_for(recipe.base_model, recipe.dataset)
    factor = preset.training.epochs / epochs_for("balanced", count, preset.training.batch_size) if preset else 1.0
    return {effort: round(factor * epochs, 2) for effort, epochs in meant.items()}


def effort_choices(recipe: Recipe, store: RunStore, data_folder: Path) -> tuple[list[tuple[str, str]], str]:
    """(labels with their times and the efforts they stand for, a line that says where the times come from)."""
    pace, runs = _measured(recipe, store, data_folder)
    if pace is None and recipe.base_model.source == "starter":
        pace = STARTER_SECONDS_PER_MILLION / 1e6
    characters = examples_of(
        recipe.dataset, data_folder
    ).characters  # what an epoch costs, near enough, without a tokenizer
    times = (
        {effort: pace * characters * epochs for effort, epochs in epochs_meant(recipe, data_folder).items()}
        if pace
        else {}
    )
    labels = [
        (f"{words}\nabout {about(times[effort])}" if times else words, effort) for effort, words in EFFORTS.items()
    ]
    if runs:
        return labels, "Times as measured here, in the last run of this model with this method."
    if times:
        return labels, "Times are estimates; after the first run they are measured."
    return labels, "Times are known after the first run of this model with this method."


def _as_costly(one: Recipe, other: Recipe) -> bool:
    """Do steps of both take about as long? The same model in the same precision, and the same method in the same
    variant: its names and switches (DoRA is one) change a step, its numbers hardly."""

    def variant(recipe: Recipe) -> dict[str, Any]:
        return {name: value for name, value in recipe.method.model_dump().items() if isinstance(value, str | bool)}

    return one.base_model == other.base_model and variant(one) == variant(other)


def _measured(recipe: Recipe, store: RunStore, data_folder: Path) -> tuple[float | None, int]:
    """(seconds for each character, runs they come from) of the newest run with this model and method that has ended
    well.
    """
    for run in store.list()[:LOOKED_AT]:
        earlier, status = recipe_of(run), run.status()
        if (
            earlier is None
            or not _as_costly(earlier, recipe)
            or status.state not in ("done", "stopped")
            or status.step < 20
        ):
            continue
        try:
            examples = examples_of(earlier.dataset, data_folder)
        except Exception:  # its data is gone or changed: this run cannot be compared with, an older one may
            continue
        learned = examples.characters * status.step * earlier.training.batch_size / max(1, len(examples.train))
        return status.seconds / max(1.0, learned), 1
    return None, 0


def effort_of(epochs: float, meant: dict[str, float]) -> str | None:
    """The effort that means so many epochs, if any does."""
    return next((effort for effort in EFFORTS if abs(meant[effort] - epochs) < 0.005), None)


def suggested(model: ModelChoice, data: DatasetChoice, method: str = "") -> Recipe:
    """The settings that suit a model and its data before anybody changes them, with the learning rate of a `method`
    that is chosen.

    Starter model and dataset have a preset; the starter with a person's own file takes the one of the first dataset (it
    is so small that it needs another learning rate than models usually do); a Hub model takes those of its preset, if
    it has one; every other model takes the defaults.
    """
    if preset := preset_for(model, data):
        return preset.suiting(method)
    preset = preset_for(model, DatasetChoice()) or _preset_of(model) or Recipe(base_model=model)
    base = preset.base_model.model_copy(update={"source": model.source, "id": model.id, "revision": model.revision})
    return preset.model_copy(update={"base_model": base, "dataset": data, "name": "", "note": ""}).suiting(method)


def preset_for(model: ModelChoice, data: DatasetChoice) -> Recipe | None:
    """The preset that was made for the starter and one of its datasets."""
    if model.source != "starter":
        return None
    shipped = Presets()
    for name in shipped.names():
        preset = shipped.load(name)
        if preset.base_model.source == "starter" and (preset.dataset.source, preset.dataset.id) == (
            data.source,
            data.id,
        ):
            return preset
    return None


def _preset_of(model: ModelChoice) -> Recipe | None:
    """The preset that was made for a Hub model and any data."""
    every = Presets().all()[0].values()
    return next((preset for preset in every if model.source == "hub" and preset.base_model.id == model.id), None)
