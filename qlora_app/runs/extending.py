"""A finished run that goes on: a new run that takes over its newest checkpoint, optimizer and curve included, with more
steps before it. The finished one stays as it is.
"""

import math
import shutil
from pathlib import Path

from ..errors import Problem, UserError
from ..preflight import ready
from ..recipe import Recipe
from ..settings import Settings
from ..storage.files import append_line
from .checkpoints import newest_complete
from .curve import Curve
from .events import event_row
from .rows import keep_until
from .run import Run
from .store import RunStore

TAKEN = ("base.json", "compute.json", "task.json", "metrics.jsonl", "samples.jsonl", "asked.jsonl", "events.jsonl")


def extended(run: Run, store: RunStore, settings: Settings, epochs: float = 0.0, steps: int = 0) -> Run:
    """A new run, not started yet, that goes on where `run` ended, for so many more epochs or steps.

    Raises UserError where it has not ended, has no checkpoint, its base is another by now, or data and settings do not
    pass the check before a start.
    """
    status, saved = run.status(), newest_complete(run.checkpoints)
    if status.state != "done":
        raise UserError(
            "extend.not_done", "{id} is {state}; only what is done can be extended.", id=run.id, state=status.state
        )
    if saved is None:
        raise UserError(
            "extend.no_checkpoint",
            "{id} has no checkpoint to go on from. A new run can begin with its adapter: training.start_from={id}",
            id=run.id,
        )
    if (epochs > 0) == (steps > 0):
        raise UserError("extend.how_far", "Say how far it is to go on: so many epochs, or so many steps.")
    run.check_base()
    recipe = run.recipe()
    if recipe.method.schedules_itself:
        raise UserError(
            "extend.schedules_itself",
            "{method} has planned its steps to the end, so it cannot be extended. Begin a longer run.",
            method=recipe.method.title(),
        )
    longer = _longer(recipe, status.step, status.epoch, epochs, steps)
    longer = ready(longer, settings).recipe
    training = longer.training.model_copy(update={"extends": run.id})
    name = f"{recipe.title} · extended"
    made = longer.model_copy(update={"training": training, "name": name})
    return store.create(made, lambda new: _take_over(run, saved, new))


def _longer(recipe: Recipe, step: int, done: float, epochs: float, steps: int) -> Recipe:
    """With so many more epochs or steps, counted from the last step it made, after `done` epochs: it may have ended
    early.
    """
    values = recipe.model_dump(mode="json")
    training = values["training"]
    if epochs:
        training["epochs"], training["max_steps"] = round((done or recipe.training.epochs) + epochs, 4), 0
    else:
        of_an_epoch = step / (done or recipe.training.epochs)
        training["max_steps"] = step + steps
        training["epochs"] = max(recipe.training.epochs, math.ceil((step + steps) / of_an_epoch) + 1)
    return Recipe.from_dict(values)


def _take_over(run: Run, saved: Path, new: Run) -> None:
    """What was said of the other run is known to the new one, whose budget begins where its checkpoint was saved."""
    shutil.copytree(saved, new.checkpoints / saved.name)
    for name in TAKEN:
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, new.folder / name)
    step = int(saved.name.rpartition("-")[2])
    curve = Curve()
    keep_until(step, new.folder / "metrics.jsonl", curve.add)
    seconds = new.first_and_last_loss()[1].get("seconds", 0.0)
    words = Problem(
        "event.extended",
        "Goes on from {run} after step {step:,}, with its curve and what happened on its way.",
        run=run.id,
        step=step,
    )
    append_line(new.folder / "events.jsonl", event_row(step, seconds, curve.tokens, words))
