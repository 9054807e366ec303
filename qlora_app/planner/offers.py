"""The ways to train a recipe that a machine does not hold, and how several GPUs shorten what one holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import hardware
from ..base_models import facts_of
from ..base_models.families import family_named
from ..base_models.shapes import Shapes, shapes_of
from ..choices import dotted_name, iter_settings, value_at
from ..errors import Problem
from ..fits import harmless, remedy, verdict
from ..hardware import Machine, usable_cores
from ..hardware_fit import ENOUGH, QUICK_ENOUGH, sizes_of
from ..memory import level_of
from ..place import Place
from ..preflight import check_on
from ..recipe import Recipe
from ..runs import RunStore
from ..settings import Settings
from . import words
from .bases import NOBODY_WAITS, on_smaller_base
from .times import Expected, expected

MOST_OFFERS = 3
WORTH = 600.0  # seconds that several GPUs must save at best, before they are offered where one is enough
TASKS = {"decoder": "chat", "encoder": "classification", "encoder-decoder": "text_to_text"}  # where nothing says which
Key = Literal["alone", "parallel", "divided", "settings", "base"]
TimeOf = Callable[[Recipe, Shapes], Expected | None]


@dataclass(frozen=True)
class Offer:
    """One way, as the whole recipe that takes it."""

    key: Key
    recipe: Recipe
    words: Problem
    does: Problem  # what a button says that takes it
    takes: Expected | None

    def settings(self, asked: Recipe) -> dict[str, Any]:
        """{dotted setting: value} that are not as in the recipe that was asked about."""
        found = {}
        for leaf, _ in iter_settings(Recipe):
            value = value_at(self.recipe, leaf, ...)
            if value not in (..., value_at(asked, leaf, ...)):
                found[dotted_name(leaf)] = value
        return found

    def to_json(self, asked: Recipe) -> dict[str, Any]:
        """{way, sentence, settings that differ from those asked about, seconds (least, most) or None, and what says
        so}.
        """
        return {
            "way": self.key,
            "sentence": str(self.words),
            "settings": self.settings(asked),
            "seconds": [round(self.takes.least), round(self.takes.most)] if self.takes else None,
            "by": str(self.takes.basis) if self.takes else "",
        }


@dataclass(frozen=True)
class Plan:
    """The sentence, and the ways it names: the first is the one to take."""

    words: Problem
    offers: tuple[Offer, ...]

    @property
    def basis(self) -> Problem | None:
        """What says how long it takes; None where nothing does."""
        return next((offer.takes.basis for offer in self.offers if offer.takes), None)


@dataclass(frozen=True)
class Planned:
    """Whether a recipe fits as it is, in a word and a sentence, and what to do."""

    level: str  # "fits", "tight", "too large"; "" where it cannot be said
    sentence: str
    plan: Plan | None

    def to_json(self, asked: Recipe) -> dict[str, Any]:
        """{fit, sentence, plan: a sentence, ways: as of Offer, the one to take first}."""
        ways = [offer.to_json(asked) for offer in self.plan.offers] if self.plan else []
        return {
            "fit": self.level,
            "sentence": self.sentence,
            "plan": str(self.plan.words) if self.plan else "",
            "ways": ways,
        }


def planned(recipe: Recipe, settings: Settings) -> Planned:
    """On this machine. The Hub is asked for a base that nobody here knows; raises UserError where that fails."""
    shapes, store, data = sizes_of(recipe.base_model), RunStore(settings.runs), settings.data
    if shapes is None:
        facts = facts_of(recipe.base_model, settings.token)
        shapes = shapes_of(facts.config, facts.parameters)
    level, sentence = verdict(recipe, shapes, hardware.here())
    return Planned(level, sentence, plan_here(recipe, shapes, store, data))


def plan_here(recipe: Recipe, shapes: Shapes | None, store: RunStore, data: Path) -> Plan | None:
    """On this machine, with times from what was measured on it. data: the folder of uploads."""
    machine = hardware.here()
    return plan(recipe, shapes, machine, lambda one, sizes: expected(one, sizes, store, data, machine))


def plan(
    recipe: Recipe, shapes: Shapes | None, machine: Machine, time_of: TimeOf = lambda recipe, shapes: None
) -> Plan | None:
    """What to do where the machine does not hold the recipe; where one of several GPUs does, how all could share its
    steps. None where there is nothing to do, and where it is trained elsewhere, or on several machines.
    """
    if shapes is None or recipe.launch.where != "here" or recipe.launch.nodes > 1:
        return None
    if level_of(recipe, shapes, machine) in ENOUGH:
        return _shared(recipe, shapes, machine, time_of)
    offers = tuple(_instead(recipe, shapes, machine, time_of))[:MOST_OFFERS]
    return Plan(words.too_large(recipe, shapes, machine, [one.words for one in offers]), offers) if offers else None


def would_start(recipe: Recipe, shapes: Shapes, machine: Machine) -> bool:
    """Does it fit, and does nothing that is known now speak against its start? The law of every offer."""
    task = recipe.task_name or TASKS[family_named(shapes.family).kind]
    problems = check_on(recipe, shapes.family, task) | _place_problems(recipe, machine)
    return not problems and level_of(recipe, shapes, machine) in ENOUGH


def _place_problems(recipe: Recipe, machine: Machine) -> dict[str, Problem]:
    devices = machine.devices if machine.kind == "cuda" else 0
    return recipe.launch.problems(recipe.training.batch_size, devices, usable_cores())


# ---- one GPU is enough


def _shared(recipe: Recipe, shapes: Shapes, machine: Machine, time_of: TimeOf) -> Plan | None:
    """All that a step can be divided among, where that saves enough to be worth it."""
    if not _has_several(machine) or recipe.launch.processes != 1:
        return None
    possible = [one for one in _at(recipe, machine, "ddp") if would_start(one, shapes, machine)]
    if not possible:
        return None
    shared = possible[-1]
    alone, together = time_of(recipe, shapes), time_of(shared, shapes)
    if alone is None and shapes.parameters < QUICK_ENOUGH:
        return None
    if alone is not None and together is not None and alone.most - together.least < WORTH:
        return None
    count = shared.launch.processes
    said = words.parallel(count, alone, together)
    return Plan(said, (Offer("parallel", shared, said, words.use_gpus(count), together),))


# ---- it is too large


def _instead(recipe: Recipe, shapes: Shapes, machine: Machine, time_of: TimeOf) -> Iterator[Offer]:
    """Every way, the one to take first: what changes least of what is learned, and without a GPU what is quick."""
    alone = recipe.model_copy(update={"launch": Place()})
    if recipe.launch != alone.launch and would_start(alone, shapes, machine):
        yield _offer("alone", alone, shapes, *words.one_process(machine), time_of)
        return
    is_here = not _place_problems(recipe, machine)  # else it came from a larger machine
    less, loses = _with_less(recipe if is_here else alone, shapes, machine, time_of)
    divided = _divided(recipe, shapes, machine, time_of)
    both = None if less or divided else _divided_with_less(recipe, shapes, machine, time_of)
    is_slow = machine.kind == "cpu" and shapes.parameters >= NOBODY_WAITS
    base = _on_smaller(alone, shapes, machine, time_of) if loses or is_slow else None
    order = [divided, less, both, base] if loses else [less, divided, both, base]
    if is_slow:
        order = [base, less]
    yield from (offer for offer in order if offer)


def _with_less(recipe: Recipe, shapes: Shapes, machine: Machine, time_of: TimeOf) -> tuple[Offer | None, bool]:
    """(with settings that take less memory, is less learned with them); True where no settings are enough."""
    found = remedy(recipe, shapes, machine)
    if found is None or not would_start(found[0], shapes, machine):
        return None, True
    changed, changes = found
    said, does = words.with_less(changes), words.use_settings(changes)
    return _offer("settings", changed, shapes, said, does, time_of), not harmless(changes)


def _on_smaller(recipe: Recipe, shapes: Shapes, machine: Machine, time_of: TimeOf) -> Offer | None:
    found = on_smaller_base(recipe, shapes, machine, lambda one, sizes: would_start(one, sizes, machine))
    sizes = sizes_of(found.base_model) if found else None
    if found is None or sizes is None:
        return None
    return _offer("base", found, sizes, words.smaller(found, sizes), words.use_base(found), time_of)


def _divided(recipe: Recipe, shapes: Shapes, machine: Machine, time_of: TimeOf) -> Offer | None:
    """The base divided among as few GPUs as hold it."""
    for one in _at(recipe, machine, "fsdp"):
        if would_start(one, shapes, machine):
            said, does = words.divided(one, shapes, machine), words.use_gpus(one.launch.processes)
            return _offer("divided", one, shapes, said, does, time_of)
    return None


def _divided_with_less(recipe: Recipe, shapes: Shapes, machine: Machine, time_of: TimeOf) -> Offer | None:
    """Both, where neither alone is enough."""
    for one in reversed(list(_at(recipe, machine, "fsdp"))):
        found = remedy(one, shapes, machine)
        if found and would_start(found[0], shapes, machine):
            said = words.divided_with_less(found[0], shapes, machine, found[1])
            return _offer("divided", found[0], shapes, said, words.use_gpus(one.launch.processes), time_of)
    return None


def _offer(key: Key, recipe: Recipe, shapes: Shapes, said: Problem, does: Problem, time_of: TimeOf) -> Offer:
    takes = time_of(recipe, shapes)
    return Offer(key, recipe, words.in_time(said, takes), does, takes)


def _has_several(machine: Machine) -> bool:
    return machine.kind == "cuda" and machine.devices > 1


def _at(recipe: Recipe, machine: Machine, share: Literal["ddp", "fsdp"]) -> Iterator[Recipe]:
    """The recipe in two processes, in three, up to one for each GPU."""
    most = machine.devices if machine.kind == "cuda" else 1
    for count in range(2, most + 1):
        place = recipe.launch.model_copy(update={"processes": count, "share": share})
        yield recipe.model_copy(update={"launch": place})
