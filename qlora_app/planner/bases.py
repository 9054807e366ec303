"""A smaller base in place of one that is too large: of the same family where one is known that fits, else of the same
sort. Every setting that is somebody's own stays; the others are those suggested for the new base.
"""

import re
from collections.abc import Callable
from typing import Any

from ..base_models import ModelChoice
from ..base_models.families import family_named
from ..base_models.shapes import Shapes
from ..differs import recommended
from ..errors import UserError
from ..hardware import Machine
from ..hardware_fit import known_models, sizes_of
from ..presets import Presets, suggested
from ..recipe import Recipe

# Of an id, what models of several sizes share: "Qwen/Qwen3-32B" -> "Qwen/Qwen3", "huggyllama/llama-65b" ->
# "huggyllama/llama-". A number that more of a name or its end follows is a version, one with a letter behind it a size.
SERIES = re.compile(r"[^/]+/[A-Za-z-]+(?:\d+(?=[-.]|$))?")
NOBODY_WAITS = 990_000_000  # parameters, from which on a training without a GPU takes days
Starts = Callable[[Recipe, Shapes], bool]


def on_smaller_base(recipe: Recipe, shapes: Shapes, machine: Machine, starts: Starts) -> Recipe | None:
    """The recipe on the largest known base with which it starts, of its series, else of its architecture, else of its
    sort; None where there is none, or where the recipe goes on with an adapter, which fits one base only.
    """
    if recipe.training.start_from:
        return None
    for id in sorted(_smaller(shapes, machine), key=lambda id: _likeness(id, recipe, shapes), reverse=True):
        if recipe.method.layers_named() and known_models()[id]["model_type"] != shapes.family:
            continue  # whose layers have other names
        changed = on_base(recipe, id)
        sizes = sizes_of(changed.base_model) if changed else None
        if changed and sizes and starts(changed, sizes):
            return changed
    return None


def on_base(recipe: Recipe, id: str) -> Recipe | None:
    """The recipe on a model of the Hub: what is as suggested for its own base becomes what is suggested for that one.
    None where such a recipe cannot be.
    """
    model = ModelChoice(source="hub", id=id)
    new = suggested(model, recipe.dataset, recipe.method.name, recipe.preferences.trainer)
    own, before, after = (one.model_dump(mode="json") for one in (recipe, recommended(recipe), new))
    values = _following(own, before, after) | {"dataset": own["dataset"]}
    if recipe.method.name != new.method.name:  # the method stays, and settings of another are no advice for it
        values["method"] = own["method"]
    for name in ("name", "note"):
        if own[name] in {getattr(preset, name) for preset in Presets().all()[0].values()}:
            values[name] = ""  # of the preset, and no longer true
    try:
        return Recipe.from_dict(values)
    except UserError:
        return None


def _following(own: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Of `own` settings, those that are as suggested `before` as they are suggested now."""
    values: dict[str, Any] = {}
    for name, value in own.items():
        was, will = before.get(name), after.get(name)
        if isinstance(value, dict) and isinstance(was, dict) and isinstance(will, dict):
            values[name] = _following(value, was, will)
        else:
            values[name] = will if name in after and value == was else value
    return values


def _smaller(shapes: Shapes, machine: Machine) -> list[str]:
    """The ids of known models of the same sort with fewer parameters; without a GPU only such as one can wait for."""
    sort = family_named(shapes.family).kind
    most = shapes.parameters if machine.kind == "cuda" else min(shapes.parameters, NOBODY_WAITS)
    return [
        id
        for id, known in known_models().items()
        if known["parameters"] < most and family_named(known["model_type"]).kind == sort
    ]


def _likeness(id: str, recipe: Recipe, shapes: Shapes) -> tuple[bool, bool, bool, int]:
    known = known_models()[id]
    is_of_series = recipe.base_model.source == "hub" and _series(id) == _series(recipe.base_model.id)
    is_free = known["licence"] != "research only"
    return is_of_series, is_free, known["model_type"] == shapes.family, known["parameters"]


def _series(id: str) -> str:
    found = SERIES.match(id)
    return found[0].lower() if found else id
