"""The command that says what to do with a recipe on this machine, before anything is downloaded or trained."""

import argparse
import json
from typing import Any

from rich.text import Text

from ..base_models import Facts
from ..base_models.shapes import shapes_of
from ..overrides import command_for, recipe_from
from ..planner import Plan, plan_here, planned
from ..presets import Presets
from ..recipe import Recipe
from ..runs import RunStore
from ..settings import Settings
from .command import DONE, NOT_DONE, add_command, add_recipe, stdout


def add_plan(commands: Any) -> None:
    add_recipe(add_command(commands, "plan", plan_command))


def plan_command(given: argparse.Namespace, settings: Settings) -> int:
    """Say whether a recipe fits this machine; and how it would: several GPUs, settings, a smaller base, with the time.
    Exit code 1 where it does not fit as it is.
    """
    settings.make_home()
    recipe = recipe_from(given.recipe, given.changes, settings)
    found = planned(recipe, settings)
    if given.json:
        print(json.dumps(found.to_json(recipe), ensure_ascii=False))
    else:
        out = stdout()
        for line in (found.sentence, *lines_of(found.plan, settings)):
            out.print(Text(line), soft_wrap=True)
    return NOT_DONE if found.level == "too large" else DONE


def lines_of(found: Plan | None, settings: Settings) -> list[str]:
    """The sentence, and the command of each way; empty where there is no plan."""
    if found is None:
        return []
    presets = Presets(settings.presets)
    ways = [f"{offer.does}: {command_for(offer.recipe, presets, needs_name=False)}" for offer in found.offers]
    return [str(found.words), *([str(found.basis)] if found.basis else []), *ways]


def plan_lines(recipe: Recipe, facts: Facts, settings: Settings) -> list[str]:
    """`lines_of` what this machine could do with a recipe."""
    shapes = shapes_of(facts.config, facts.parameters)
    return lines_of(plan_here(recipe, shapes, RunStore(settings.runs), settings.data), settings)
