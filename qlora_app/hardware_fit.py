"""Which presets fit this machine, which card each of them asks for, and the nearest one that fits. Nobody is asked over
a network.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base_models import ModelChoice, describe_folder
from .base_models.shapes import Shapes, shapes_of
from .errors import UserError
from .fits import verdict
from .hardware import Machine, here
from .memory import need, needed_here
from .recipe import Recipe, read_yaml

CARDS = (8, 16, 24, 48, 80)  # GB that GPUs have
NO_GPU = "any computer"
QUICK_ENOUGH = 500_000_000  # parameters, with which a CPU learns from a thousand examples while one waits
ANY_COMPUTER = 6 * 2**30  # bytes that a laptop of 8 GB has to spare
ENOUGH = ("fits", "tight")  # of `fit`'s answers, those with which a run can begin
HERE = {"fits": "fits here", "tight": "tight here", "too large": "does not fit here", "": ""}
_KNOWN = Path(__file__).parent / "known_models.yaml"


def sizes_of(model: ModelChoice) -> Shapes | None:
    """The shapes of a model that lies on this machine or that a preset names; None for any other: only the Hub knows
    it.
    """
    if model.source == "hub":
        config = known_models().get(model.id)
        return shapes_of(config, config["parameters"]) if config else None
    try:
        return shapes_of(describe_folder(model.folder))
    except UserError:
        return None


@functools.lru_cache(maxsize=1)
def known_models() -> dict[str, dict[str, Any]]:
    """{Hub id: sizes and number of parameters}"""
    return read_yaml(_KNOWN)


def fit(recipe: Recipe, machine: Machine | None = None) -> tuple[str, str]:
    """("fits", "tight", "too large", or "" where it cannot be said) and the sentence for it."""
    return verdict(recipe, sizes_of(recipe.base_model), machine or here())


def memory_here(recipe: Recipe, machine: Machine | None = None) -> tuple[float, float] | None:
    """(bytes that training takes, bytes that are free); None where it cannot be said."""
    machine = machine or here()
    shapes = sizes_of(recipe.base_model)
    return (needed_here(recipe, shapes, machine).total, machine.free) if shapes else None


def smallest_card(recipe: Recipe) -> int | None:
    """The smallest GPU, in GB, that trains this; None where no single one does or nothing is known."""
    for size in CARDS:
        memory = size * 2**30
        if fit(recipe, Machine("cuda", memory, memory))[0] in ENOUGH:
            return size
    return None


def asks_for(recipe: Recipe) -> str:
    """What a machine must have, in words; empty where it is not known."""
    shapes = sizes_of(recipe.base_model)
    if shapes is None:
        return ""
    if shapes.parameters < QUICK_ENOUGH and need(recipe, shapes, "cpu").total < ANY_COMPUTER:
        return NO_GPU
    card = smallest_card(recipe)
    return f"GPU from {card} GB" if card else "several GPUs"


def here_in_words(recipe: Recipe, machine: Machine | None = None) -> str:
    """Whether this machine trains it, in words; empty where it cannot be said."""
    machine = machine or here()
    level = fit(recipe, machine)[0]
    words = HERE[level]
    is_slow = machine.kind == "cpu" and level in ENOUGH and asks_for(recipe) != NO_GPU
    return f"{words}, slow without a GPU" if is_slow else words


def by_size(presets: Mapping[str, Recipe]) -> list[str]:
    """Names, from the smallest model to the largest, what a fresh page shows first among equals; unknown sizes stand in
    front.
    """

    def place(name: str) -> tuple[int, bool, str]:
        return _parameters(presets[name]), name != "starter", name

    return sorted(presets, key=place)


def _parameters(recipe: Recipe) -> int:
    """Of its base model; 0 where they are not known."""
    shapes = sizes_of(recipe.base_model)
    return shapes.parameters if shapes else 0
