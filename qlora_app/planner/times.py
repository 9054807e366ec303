"""How long a way to train takes, as far as anything that was measured on this machine tells; and what that is."""

from pathlib import Path
from typing import NamedTuple

from ..base_models.shapes import Shapes
from ..effort import Pace, measurement_here, pace_measured, pace_of_other_bases, seconds_at
from ..errors import Problem, UserError
from ..formatting import about
from ..hardware import Machine
from ..place import Place
from ..recipe import Recipe
from ..runs import RunStore

# What was measured with another base and is counted by parameters may be so many times too long or too short.
UNSURE = 1.5


class Expected(NamedTuple):
    """Seconds of a whole run, from the least to the most, and what says so."""

    least: float
    most: float
    basis: Problem

    def words(self) -> Problem:
        least, most = about(self.least), about(self.most)
        if least == most:
            return Problem("plan.about", "about {time}", time=most)
        return Problem("plan.from_to", "{least} to {most}", least=least, most=most)


def expected(recipe: Recipe, shapes: Shapes, store: RunStore, data: Path, machine: Machine) -> Expected | None:
    """data: the folder of uploads. None where nothing tells, and where the recipe's data cannot be read."""
    try:
        count = recipe.launch.count(machine.devices)
        if count == 1:
            return _alone(recipe, shapes, store, data, machine)
        return _together(recipe, shapes, store, data, machine)
    except (UserError, OSError):
        return None


def _together(recipe: Recipe, shapes: Shapes, store: RunStore, data: Path, machine: Machine) -> Expected | None:
    """Of several processes, each on a GPU: as they were measured together; else from what one takes."""
    count = recipe.launch.count(machine.devices)
    if measured := pace_measured(recipe, store, data):
        seconds = seconds_at(recipe, measured, store, data) or 0.0
        return Expected(seconds, seconds, _of_runs(measured))
    alone = recipe.model_copy(update={"launch": Place()})
    if machine.kind != "cuda" or (one := _alone(alone, shapes, store, data, machine)) is None:
        return None
    basis = Problem(
        "plan.by_one",
        "{one} Together {count} GPUs are taken to be from no quicker to {count} times as quick; that was not measured.",
        one=one.basis,
        count=count,
    )
    return Expected(one.least / count, one.most, basis)


def _alone(recipe: Recipe, shapes: Shapes, store: RunStore, data: Path, machine: Machine) -> Expected | None:
    if measurement_here(recipe, store):
        seconds = seconds_at(recipe, None, store, data) or 0.0
        return Expected(seconds, seconds, Problem("plan.by_measurement", "Times are as measured here."))
    measured = pace_measured(recipe, store, data)
    is_counted = machine.kind == "cpu" or recipe.base_model.source == "starter"
    if measured or is_counted:
        taken = seconds_at(recipe, measured, store, data, shapes if machine.kind == "cpu" else None)
        by_speed = Problem("plan.by_speed", "Times are by the speed of this machine.")
        return Expected(taken, taken, _of_runs(measured) if measured else by_speed) if taken is not None else None
    other = pace_of_other_bases(recipe, shapes, store, data)
    if other is None:
        return None
    guessed = seconds_at(recipe, other, store, data) or 0.0
    basis = Problem(
        "plan.by_other_base", "Times are by runs of another base here, counted by parameters: a rough guess."
    )
    return Expected(guessed / UNSURE, guessed * UNSURE, basis)


def _of_runs(measured: Pace) -> Problem:
    return Problem("plan.by_runs", "Times are by {count} of the last runs of this base here.", count=measured.runs)
