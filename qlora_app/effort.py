"""How long a training takes: the one place where that is estimated.

By a run with the same model and method that has ended on this machine; else by the speed of this machine, which a
waiting worker measures; else it is not said. Everything a run does is counted in characters that are learned from: a
run takes its characters, and what it measures and answers on the way and at its end as many more as take as long.
"""

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .base_models import ModelChoice
from .base_models.shapes import Shapes
from .formatting import about, count_of
from .hardware import here
from .hardware_fit import QUICK_ENOUGH, sizes_of
from .jobs import JobStore
from .measurement import Measurement, asked_by, measurement_of, newest_measurement, run_bytes
from .preflight import examples_of
from .presets import preset_for
from .recipe import EFFORTS, Recipe, epochs_for
from .runs import RunStore
from .runs.recipes import recipe_of
from .speed import is_busy, pace_with, speed_here
from .training_data import Examples

# The starter on two laptop cores: seconds for each million characters of conversation that is learned from. Only until
# this machine is measured.
STARTER_SECONDS_PER_MILLION = 80.0
# Of the time that each parameter of the starter takes, what one of a larger model does: its products are large enough
# to keep a processor busy (benchmarks/RESULTS.md, tokens).
OF_A_LARGER_ONE = 0.6
# What a run does beside learning, in examples that could be learned in that time. Measured (benchmarks/RESULTS.md,
# estimates).
MEASURED = 0.3  # a held-out example that is measured
SAMPLED = 5.0  # a sample question
SCORED = 3.2  # a question at the end, answered by base and adapter
LOADED = 100.0  # everything before the first step
SAMPLE_QUESTIONS, LEARNED_QUESTIONS = 4, 8  # where nobody typed others; learned ones that are scored too
LOOKED_AT = 20  # newest runs
MAY_WORK = 500  # newest runs, among which one at work is looked for: a page asks after every change of its form
A_MOMENT = 2.0  # seconds, for which it is remembered how much is worked on
A_DAY = 86_400.0  # seconds, for which a measurement says more than runs do
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
    pace = pace_of(recipe, measured, store)
    examples = examples_of(recipe.dataset, data_folder)
    is_by_steps = ends_by_steps(recipe, data_folder)
    if pace is None and is_by_steps:
        labels = [(words, effort) for effort, words in EFFORTS.items()]
        return labels, f"{count_of(recipe.training.max_steps, 'step')}: max steps end it."
    if pace is None:
        labels = [(words, effort) for effort, words in EFFORTS.items()]
        return labels, "Times are known after the first run of this model with this method."
    meant = epochs_meant(recipe, data_folder)
    # Characters are near enough to tokens, and need no tokenizer.
    found = measurement_here(recipe, store)
    times: dict[str, str] = {}
    for effort, epochs in meant.items():
        taken = pace * work_of(recipe, examples, epochs)
        if found:
            so_long = recipe.training.model_copy(update={"epochs": epochs})
            taken = counted(found, recipe.model_copy(update={"training": so_long}), data_folder).seconds
        times[effort] = f"about {about(taken)}"
    told = times if _all_differ(times) else _in_steps(recipe, meant, len(examples.train))
    labels = [(f"{words}\n{told[effort]}", effort) for effort, words in EFFORTS.items()]
    if is_by_steps:
        taken = seconds_at(recipe, measured, store, data_folder) or 0.0
        return labels, f"{count_of(recipe.training.max_steps, 'step')}, about {about(taken)}: max steps end it."
    if not _all_differ(told):
        return labels, f"With so few rows all three are the same: {times[next(iter(EFFORTS))]}."
    if told is not times:
        return labels, f"With so few rows all three take about as long: {times[next(iter(EFFORTS))]}."
    if found:
        return labels, "Times as measured here with these settings."
    if measured is None:
        return labels, _estimated_words(store)
    return labels, _measured_words(measured)


def _all_differ(told: dict[str, str]) -> bool:
    return len(set(told.values())) == len(told)


def _in_steps(recipe: Recipe, meant: dict[str, float], count: int) -> dict[str, str]:
    """{effort: how many steps its epochs are}: with few rows the times tell nothing apart."""
    of_an_epoch = math.ceil(count / recipe.training.batch_size)
    return {effort: count_of(max(1, math.ceil(epochs * of_an_epoch)), "step") for effort, epochs in meant.items()}


def expected_seconds(recipe: Recipe, store: RunStore, data_folder: Path) -> float | None:
    """How long a training takes here; None where nothing tells. Raises UserError where its data cannot be read."""
    return seconds_at(recipe, pace_measured(recipe, store, data_folder), store, data_folder)


def seconds_at(
    recipe: Recipe, measured: Pace | None, store: RunStore, data_folder: Path, shapes: Shapes | None = None
) -> float | None:
    """`expected_seconds` at a pace that was measured before; shapes: as of `pace_of`."""
    if found := measurement_here(recipe, store):
        return counted(found, recipe, data_folder).seconds
    pace = pace_of(recipe, measured, store, shapes)
    if pace is None:
        return None
    examples, training = examples_of(recipe.dataset, data_folder), recipe.training
    epochs = training.epochs
    if training.max_steps:
        epochs = min(epochs, training.max_steps * training.batch_size / max(1, len(examples.train)))
    return pace * work_of(recipe, examples, epochs)


def measurement_here(recipe: Recipe, store: RunStore) -> tuple[Recipe, Measurement] | None:
    """(the recipe it was made of, what was measured of recipes of this cost) as long as that is of today. None for
    several processes: a trial is of one.
    """
    if recipe.launch.processes != 1:
        return None
    job = newest_measurement(JobStore(_home(store) / "jobs"), recipe)
    asked, found = (asked_by(job), measurement_of(job)) if job else (None, None)
    if job is None or asked is None or found is None or found.at(recipe.training.micro_batch).now is None:
        return None
    return (asked, found) if time.time() - job.created_at() < A_DAY else None


def counted(found: tuple[Recipe, Measurement], recipe: Recipe, data_folder: Path) -> Measurement:
    """What was measured, with the number of steps and of everything else that this recipe has: the time, and what it
    takes of the disk. Raises UserError where its data cannot be read.
    """
    asked, measured = found
    measurement = measured.at(recipe.training.micro_batch)
    share = steps_of(recipe, data_folder) / steps_of(asked, data_folder)
    steps = max(1, round(measurement.steps * share))
    seconds = measurement.seconds_of(recipe.training, steps)
    disk = run_bytes(recipe.training, steps, measurement.checkpoint_bytes, measurement.adapter_bytes)
    return measurement.model_copy(update={"steps": steps, "seconds": seconds, "disk_bytes": disk})


def work_of(recipe: Recipe, examples: Examples, epochs: float) -> float:
    """What a whole run does, in characters: those it learns from, and as many as take as long as the rest."""
    training = recipe.training
    learned_too = LEARNED_QUESTIONS if training.scored_questions else 0
    scored = min(training.scored_questions, len(examples.held_out)) + learned_too
    held_out = min(training.measured_examples, len(examples.held_out))
    measured = MEASURED * held_out * (1 if training.evaluations else 2)  # the base is measured before, or now
    rest = (LOADED + SCORED * scored + measured) * _characters_of_one(examples)
    return work_of_training(recipe, examples, epochs) + rest


def work_of_training(recipe: Recipe, examples: Examples, epochs: float) -> float:
    """`work_of` up to the last step: what the clock of a run counts."""
    training = recipe.training
    held_out = min(training.measured_examples, len(examples.held_out))
    measured = MEASURED * held_out * (training.evaluations + 1 if training.evaluations else 0)
    questions = len(training.sample_questions) or SAMPLE_QUESTIONS
    sampled = SAMPLED * questions * (training.samples + 1 if training.samples else 0)
    return examples.characters * epochs + (measured + sampled) * _characters_of_one(examples)


def _characters_of_one(examples: Examples) -> float:
    return examples.characters / max(1, len(examples.train))


def pace_of(recipe: Recipe, measured: Pace | None, store: RunStore, shapes: Shapes | None = None) -> float | None:
    """Seconds for each character: as measured in runs, else by the speed of this machine; None where neither tells.

    shapes: of a base that is not the starter, by whose number of parameters it is computed, on a CPU only: a GPU is
    idle most of the time with so small a model as the starter.
    """
    if measured is not None:
        return measured.seconds
    pace = starter_pace(store)
    if recipe.base_model.source == "starter":
        return pace
    starter = sizes_of(ModelChoice())
    if shapes is None or starter is None:
        return None
    return OF_A_LARGER_ONE * pace * shapes.parameters / starter.parameters


def starter_pace(store: RunStore) -> float:
    """Of the starter with LoRA on this machine as it is now; of another one as long as this is not measured."""
    speed = speed_here(_home(store))
    return pace_with(speed, trainings_at_work(store)) if speed else STARTER_SECONDS_PER_MILLION / 1e6


def trainings_at_work(store: RunStore) -> int:
    """How many jobs that take the machine are worked on now."""
    return _at_work(store.root, int(time.monotonic() / A_MOMENT))


@functools.lru_cache(maxsize=4)
def _at_work(runs: Path, when: int) -> int:
    """A page asks several times for each change of its form."""
    store = RunStore(runs)
    others = [job for job in JobStore(_home(store) / "jobs").list() if job.needs == "machine"]
    return sum(job.is_alive() for job in [*store.list()[:MAY_WORK], *others])


def awaits_speed(store: RunStore) -> bool:
    """Is the speed of this machine not known yet, and one that a waiting worker measures?"""
    return here().kind == "cpu" and speed_here(_home(store)) is None


def _home(store: RunStore) -> Path:
    """Of the installation whose runs these are."""
    return store.root.parent


def _estimated_words(store: RunStore) -> str:
    if speed_here(_home(store)) is None:
        return "Times are of another computer, until this one is measured or has trained."
    if is_busy(trainings_at_work(store)):
        return "Times are by the speed of this machine, which others use now; alone it is quicker."
    return "Times are by the speed of this machine; after the first run they are that run's."


def _measured_words(measured: Pace) -> str:
    if measured.runs == 1:
        return "Times as measured here, in the last run of this model with this method."
    words = f"Times as measured here, in the fastest of {measured.runs} runs of this model with this method."
    slow = "The last one took longer: the machine was busy."
    return " ".join([words, slow]) if measured.newest_was_slow else words


def _as_costly(one: Recipe, other: Recipe) -> bool:
    """Do steps of both take about as long? The same model in the same precision, and the same method in the same
    variant, in as many processes: its names and switches (DoRA is one) change a step, its numbers hardly."""

    def variant(recipe: Recipe) -> dict[str, Any]:
        settings = recipe.method.model_dump()
        return {name: value for name, value in settings.items() if isinstance(value, str | bool)}

    is_shared_alike = _shared(one) == _shared(other)
    return is_shared_alike and one.base_model == other.base_model and variant(one) == variant(other)


def _shared(recipe: Recipe) -> tuple[int, int, str]:
    return recipe.launch.nodes, recipe.launch.processes, recipe.launch.share


def pace_measured(recipe: Recipe, store: RunStore, data_folder: Path) -> Pace | None:
    """From the runs with this model and method that have ended well, among the newest; None where there is none."""
    return pace_among(recipe, paces(store, data_folder, lambda one: _as_costly(one, recipe)))


def pace_among(recipe: Recipe, measured: Iterable[tuple[Recipe, float]]) -> Pace | None:
    """From those of the measured runs, newest first, whose steps take as long as the recipe's; None where none does."""
    found = [pace for one, pace in measured if _as_costly(one, recipe)]
    if not found:
        return None
    return Pace(min(found), len(found), found[0] > BUSY * min(found))


def pace_of_other_bases(recipe: Recipe, shapes: Shapes, store: RunStore, data_folder: Path) -> Pace | None:
    """Of the recipe, whose base never trained here, by the one of another size with which the same was done: as many
    times as long as it has more parameters. Only bases that are large enough to keep a GPU busy count.
    """

    def is_alike(one: Recipe) -> bool:
        on_this_base = one.model_copy(update={"base_model": recipe.base_model})
        has_its_precision = one.base_model.precision == recipe.base_model.precision
        return one.base_model.source != "starter" and has_its_precision and _as_costly(on_this_base, recipe)

    counted = []
    for one, pace in paces(store, data_folder, is_alike):
        sizes = sizes_of(one.base_model)
        if sizes and sizes.parameters >= QUICK_ENOUGH:
            counted.append(pace * shapes.parameters / sizes.parameters)
    return Pace(min(counted), len(counted), False) if counted else None


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
        yield earlier, status.seconds / max(1.0, work_of_training(earlier, examples, epochs))
