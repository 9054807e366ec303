"""The presets as a list in a terminal."""

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import UserError
from ..hardware_fit import (
    asks_for,
    by_size,
    fit,
    here_in_words,
    smallest_card,
)
from ..overrides import PROGRAM, recipe_from
from ..presets import Presets
from ..settings import Settings
from .command import DONE, add_command, add_recipe, stdout


def list_presets(presets: Presets, as_json: bool, out: Console) -> None:
    """Print each preset with what it asks for and whether it fits here; for scripts one list of JSON."""
    usable, broken = presets.all()
    rows: list[dict[str, Any]] = []
    for name in by_size(usable):
        recipe = usable[name]
        rows.append(
            {
                "preset": name,
                "name": recipe.title,
                "note": recipe.note,
                "base_model": recipe.base_model.id or "starter",
                "own": presets.is_own(name),
                "gpu_gb": smallest_card(recipe),
                "here": fit(recipe)[0],
            }
        )
    if as_json:
        mistakes = [{"preset": name, "mistake": text} for name, text in broken.items()]
        print(json.dumps(rows + mistakes, ensure_ascii=False))
        return
    table = Table("preset", "asks for", "this machine", "what it is for", box=None, pad_edge=False)
    for row in rows:
        recipe = usable[row["preset"]]
        table.add_row(row["preset"], asks_for(recipe), here_in_words(recipe), recipe.note or recipe.title)
    for name, text in broken.items():
        table.add_row(name, "", "broken", text)
    out.print(table)


def add_presets(commands: Any) -> None:
    presets = add_command(commands, "presets", presets_command)
    add_recipe(presets, nargs="?")
    presets.add_argument("--save", metavar="NAME", help="keep the recipe, with its changes, as a preset of your own")


def presets_command(given: argparse.Namespace, settings: Settings) -> int:
    """List the presets, show one whole, or save one of your own."""
    presets = Presets(settings.presets)
    if given.recipe is None:
        if given.save:
            raise UserError(
                "preset.which_recipe",
                "Which recipe is to be saved as {name}? Give a preset or a file: {program} presets starter --save NAME",
                name=given.save,
                program=PROGRAM,
            )
        list_presets(presets, given.json, stdout())
        return DONE
    recipe = recipe_from(given.recipe, given.changes, settings)
    if given.save:
        settings.make_home()
        name = presets.save(given.save, recipe)
        given.screen.print(Text(f"Saved in {presets.path(name)}. Train it: {PROGRAM} train {name}"), soft_wrap=True)
    if given.json:
        print(json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False))
    else:
        print(recipe.to_yaml().rstrip())
    return DONE
