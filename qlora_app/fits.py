"""Will a recipe fit this machine, in a sentence; and the fewest changes with which it would. Only such changes are
named as the recipe's method can do with its base.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .base_models.shapes import Shapes
from .errors import Problem
from .formatting import gigabytes
from .hardware import Machine
from .memory import AT_MOST, FEWEST_TOKENS, level_of, loaded_bytes, needed_here
from .recipe import Recipe

SMALL_RANK = 8  # with which an adapter takes little memory
SHORTER = (2048, 1024, FEWEST_TOKENS)  # tokens of the longest examples, as far as they have to be shortened
LOSING = {"saving.shorter", "saving.rank"}  # with these less is learned


def verdict(recipe: Recipe, shapes: Shapes | None, machine: Machine) -> tuple[str, str]:
    """("fits", "tight" or "too large"; "" if it cannot be said) and the sentence for it."""
    if shapes is None:
        return "", "What it needs cannot be estimated for this family of models."
    needed, level = needed_here(recipe, shapes, machine), level_of(recipe, shapes, machine)
    about = gigabytes(needed.total)
    has = f"{gigabytes(machine.total)} {machine.name}"
    free = gigabytes(machine.free)
    # What must be free, and for which examples: shorter ones take less.
    length = f"{recipe.training.max_length:,}"
    if level == "fits":
        return level, (
            f"Fits: training needs about {about} free with examples of {length} tokens; this machine has {has}, "
            f"{free} of it free."
        )
    if level == "tight" and needed.total <= AT_MOST * machine.total:
        return level, (
            f"Tight: training needs about {about} free with examples of {length} tokens, and of {has} {free} are free "
            "now. Close what else uses it before the start."
        )
    if level == "tight":
        return level, (
            f"Tight: training needs about {about} free with examples of {length} tokens, and this machine has {has}. "
            "It goes because the paged optimizer puts part of itself into main memory, which takes longer."
        )
    instead = _remedy_words(recipe, shapes, machine)
    if needed.unpageable <= AT_MOST * machine.total:
        return level, (
            f"Does not fit: while it is loaded, each of {recipe.launch.count(machine.devices)} processes has the whole "
            f"base in main memory, {gigabytes(loaded_bytes(recipe, shapes, machine))} together, and this machine has "
            f"{gigabytes(machine.main_memory)}. {instead}"
        )
    return level, (
        f"Does not fit: training needs about {about} free with examples of {length} tokens, because "
        f"{needed.largest()}, and this machine has {has}. {instead}"
    )


# ---- what would make it fit


class Saving(NamedTuple):
    """One change that takes less memory."""

    words: Problem
    group: str  # of the recipe
    values: dict[str, Any]  # of settings of the group


def remedy(recipe: Recipe, shapes: Shapes, machine: Machine) -> tuple[Recipe, list[Problem]] | None:
    """(the recipe with the fewest changes with which it would fit, the changes); None where all are not enough."""
    taken: list[Saving] = []
    for saving in _savings(recipe, shapes, machine.kind):
        taken.append(saving)
        if level_of(_with(recipe, taken), shapes, machine) != "too large":
            break
    else:
        return None
    for saving in list(taken):
        others = [one for one in taken if one is not saving]
        if level_of(_with(recipe, others), shapes, machine) != "too large":
            taken = others
    return _with(recipe, taken), [saving.words for saving in taken]


def harmless(changes: Sequence[Problem]) -> bool:
    """Is as much learned from with them, by as large an adapter?"""
    return not {change.code for change in changes} & LOSING


def _with(recipe: Recipe, savings: list[Saving]) -> Recipe:
    for saving in savings:
        group = getattr(recipe, saving.group).model_copy(update=saving.values)
        recipe = recipe.model_copy(update={saving.group: group})
    return recipe


def _remedy_words(recipe: Recipe, shapes: Shapes, machine: Machine) -> str:
    found = remedy(recipe, shapes, machine)
    if found is None:
        return "Choose a smaller model, or a larger machine."
    return f"It would fit with {_listed([str(words) for words in found[1]])}."


def _savings(recipe: Recipe, shapes: Shapes, kind: str) -> Iterator[Saving]:
    """What takes less memory, cheapest first, of what the recipe has not and its method can do."""
    return (one for one in _all_savings(recipe, kind) if _is_open(one, recipe, shapes))


def _is_open(saving: Saving, recipe: Recipe, shapes: Shapes) -> bool:
    group = getattr(recipe, saving.group)
    if all(getattr(group, name) == value for name, value in saving.values.items()):
        return False
    if "gradient_checkpointing" in saving.values:
        return recipe.method.supports_checkpointing
    precision = saving.values.get("precision")
    return not precision or not recipe.method.problems(precision, shapes.family, recipe.task_name)


def _all_savings(recipe: Recipe, kind: str) -> Iterator[Saving]:
    training, method = recipe.training, recipe.method
    if kind == "cpu" and recipe.launch.processes > 1:
        alone = {"processes": 1, "share": "ddp"}  # one holds the base whole
        yield Saving(Problem("saving.one_process", "one process"), "launch", alone)
    if training.micro_batch:
        at_once = Problem("saving.at_once", "as many examples at once as fit")
        yield Saving(at_once, "training", {"micro_batch": 0})
    nf4 = {"precision": "nf4", "double_quantization": True}
    yield Saving(Problem("saving.nf4", "a base in 4-bit NF4"), "base_model", nf4)
    again = Problem("saving.checkpointing", "gradient checkpointing on")
    yield Saving(again, "training", {"gradient_checkpointing": "on"})
    yield Saving(Problem("saving.optimizer", "an 8-bit optimizer"), "training", {"optimizer": "paged_adamw_8bit"})
    for length in SHORTER:
        if length < training.max_length:
            words = Problem("saving.shorter", "examples of at most {length:,} tokens", length=length)
            yield Saving(words, "training", {"max_length": length})
    small = method.with_rank_at_most(SMALL_RANK)
    smaller = {name: getattr(small, name) for name in type(method).model_fields}
    yield Saving(Problem("saving.rank", "a rank of {rank}", rank=SMALL_RANK), "method", smaller)


def _listed(words: list[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
