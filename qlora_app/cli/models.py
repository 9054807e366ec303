"""Base models in a terminal: those on this machine, those a search finds, one described."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from rich.table import Table

from .. import hardware
from ..base_models import (
    Facts,
    ModelChoice,
    facts_of,
    facts_of_folder,
    folder_of,
    kept_models,
    local_models,
    models_below,
    search,
)
from ..base_models.shapes import shapes_of
from ..errors import Problem, UserError
from ..fits import verdict
from ..recipe import Recipe
from ..settings import Settings
from .command import DONE, add_command, stdout
from .planning import plan_lines


def rows_of(words: str, settings: Settings) -> list[dict[str, Any]]:
    """What `models WORDS` lists: without words what is here, with an id or a
    folder that one, else what the Hub finds.
    """
    if not words:
        broken = [(folder, problem) for folder, problem in models_below(settings.models) if problem]
        return [*map(_row, models_here(settings)), *(_broken(folder, problem) for folder, problem in broken)]
    if chosen := named(words):
        recipe = Recipe(base_model=chosen)
        facts = facts_of(chosen, settings.token)
        level, sentence = fits_here(recipe, facts)
        return [
            _known(chosen, facts)
            | {
                "here": level,
                "summary": facts.summary(),
                "fit": "\n".join([sentence, *plan_lines(recipe, facts, settings)]),
            }
        ]
    return [
        {
            "model": hit.id,
            "where": "Hub",
            "parameters": hit.parameters,
            "licence": hit.licence,
            "gated": hit.is_gated,
            "downloads": hit.downloads,
            "summary": hit.summary(),
        }
        for hit in search(words, settings.token)
    ]


def models_here(settings: Settings) -> list[ModelChoice]:
    """Everything that can be trained without a download."""
    folders = [ModelChoice(source="folder", id=str(folder)) for folder in local_models(settings.models)]
    return [ModelChoice(), *folders, *kept_models()]


def named(words: str) -> ModelChoice | None:
    """The one model these words name: a folder by its path, a Hub model by owner/name.

    None if they are to be searched for.
    """
    if (folder := Path(os.path.expanduser(words))).is_dir():
        return ModelChoice(source="folder", id=str(folder.resolve()))
    choice = ModelChoice(source="hub", id=words)
    if "/" in words and not choice.problems():
        return choice
    return None


def fits_here(recipe: Recipe, facts: Facts) -> tuple[str, str]:
    """("fits", "tight", "too large" or "") and the sentence for it, on this machine as it is now."""
    return verdict(recipe, shapes_of(facts.config, facts.parameters), hardware.here())


def _row(choice: ModelChoice) -> dict[str, Any]:
    try:  # a Hub model that is here is looked at where it lies: whether there is a newer one can wait until it is used
        facts = facts_of_folder(folder_of(choice))
    except UserError as error:
        return {"model": choice.id, "where": choice.source, "summary": str(error), "here": ""}
    return _known(choice, facts) | {"summary": facts.summary(), "here": fits_here(Recipe(base_model=choice), facts)[0]}


def _broken(folder: Path, problem: Problem) -> dict[str, Any]:
    return {"model": str(folder), "where": "folder", "summary": str(problem), "here": ""}


def _known(choice: ModelChoice, facts: Facts) -> dict[str, Any]:
    return {
        "model": choice.id or "starter",
        "where": choice.source,
        "family": facts.family,
        "parameters": facts.parameters,
        "context": facts.context,
        "dtype": facts.dtype,
        "chat_template": facts.has_template,
        "licence": facts.licence,
        "gated": facts.is_gated,
        "commit": facts.commit,
        "bytes_to_download": facts.missing,
    }


def add_models(commands: Any) -> None:
    models = add_command(commands, "models", models_command)
    models.add_argument(
        "words", metavar="WORDS", nargs="*", help="words to search the Hub for, or one owner/name or folder to look at"
    )


def models_command(given: argparse.Namespace, settings: Settings) -> int:
    """List the base models on this machine, search the Hub, or look at one model and whether it fits here."""
    rows = rows_of(" ".join(given.words), settings)
    if given.json:
        print(json.dumps(rows, ensure_ascii=False))
    elif not rows:
        print("The Hub knows no model of that name that writes text and comes as safetensors. Try fewer words.")
    else:
        table = Table("model", "here", "what is known of it", box=None, pad_edge=False)
        for row in rows:
            table.add_row(row["model"], row.get("here", ""), "\n".join(filter(None, (row["summary"], row.get("fit")))))
        stdout().print(table)
    return DONE
