"""Several GPUs of one machine: how a recipe could use them, as one choice that can be taken. Only what a start would
not refuse is offered. No GPU was to be had when this was written: what is said of memory is planned, and of time
nothing was measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .base_models.shapes import Shapes
from .errors import Problem
from .hardware import Machine
from .hardware_fit import ENOUGH
from .memory import gigabytes, needed_here, verdict
from .place import Place
from .preflight import not_divided
from .recipe import Recipe

IN_MAIN_MEMORY = 0.9  # of it, at most, while every process still has the whole base there


@dataclass(frozen=True)
class Plan:
    """A place to train at, and the sentence for it."""

    launch: Place
    words: Problem


def plan(recipe: Recipe, shapes: Shapes | None, machine: Machine, main_memory: float) -> Plan | None:
    """For a recipe that one GPU of several holds: data parallel on all; for one that is too large: FSDP on as few as
    hold it. None where neither can be, or the recipe says already how many.

    machine: one of its GPUs, and how many there are; main_memory: bytes of the machine's own.
    """
    is_open = machine.kind == "cuda" and machine.devices > 1 and recipe.launch == Place()
    if shapes is None or not is_open:
        return None
    if verdict(recipe, shapes, machine)[0] in ENOUGH:
        return _parallel(recipe, machine)
    return _divided(recipe, shapes, machine, main_memory)


def _parallel(recipe: Recipe, machine: Machine) -> Plan | None:
    places = list(_places(recipe, machine, "ddp"))
    if not places:
        return None
    return Plan(
        places[-1],
        Problem(
            "plan.parallel",
            "{count} GPUs can share each step (data parallel). At best that takes 1/{count} of the time; it was "
            "not measured.",
            count=places[-1].processes,
        ),
    )


def _divided(recipe: Recipe, shapes: Shapes, machine: Machine, main_memory: float) -> Plan | None:
    whole = needed_here(recipe, shapes, machine)
    for launch in _places(recipe, machine, "fsdp"):
        so = recipe.model_copy(update={"launch": launch})
        held = launch.processes * max(whole.weights, whole.read)
        if not_divided(so) or verdict(so, shapes, machine)[0] not in ENOUGH or held > IN_MAIN_MEMORY * main_memory:
            continue
        return Plan(
            launch,
            Problem(
                "plan.divided",
                "This recipe needs {whole} on one GPU. Divided among {count} of {devices} by FSDP2 it needs about "
                "{each} on each, and {main} of main memory while it is loaded. How long it takes was not measured.",
                whole=gigabytes(whole.total),
                count=launch.processes,
                devices=machine.devices,
                each=gigabytes(needed_here(so, shapes, machine).total),
                main=gigabytes(held),
            ),
        )
    return None


def _places(recipe: Recipe, machine: Machine, share: str) -> Iterator[Place]:
    """From two processes to one for each GPU, as far as a step can be divided among them."""
    for count in range(2, machine.devices + 1):
        place = Place(processes=count, share=share)  # type: ignore[arg-type]  # one of its words
        if not place.problems(recipe.training.batch_size, machine.devices, count):
            yield place
