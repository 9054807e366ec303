"""The recipe of a run, read to be shown: nothing that is chosen in it need be there any more, and what another version
wrote in it is named.
"""

import functools
from pathlib import Path
from typing import NamedTuple, Protocol

from ..errors import Problem, UserError, joined
from ..recipe import Recipe, read_yaml

MOST_NAMED = 5  # settings


class ReadRecipe(NamedTuple):
    """recipe: with the settings that can be read, the others at their defaults.
    problem: what is wrong with the others; None where the recipe is whole.
    """

    recipe: Recipe
    problem: Problem | None

    @property
    def whole(self) -> Recipe | None:
        """The recipe, if it says all that the file says."""
        return None if self.problem else self.recipe


def read_recipe(file: Path) -> ReadRecipe:
    """What a recipe file says; read once as long as it stays as it is."""
    try:
        return _read(file, file.stat().st_mtime_ns)
    except OSError as error:
        gone = Problem("run.recipe_gone", "The recipe cannot be read: {reason}.", reason=error.strerror)
        return ReadRecipe(Recipe(), gone)


@functools.lru_cache(maxsize=500)
def _read(file: Path, written: int) -> ReadRecipe:
    try:
        recipe, problems = Recipe.as_far_as_readable(read_yaml(file))
    except UserError as error:
        return ReadRecipe(Recipe(), error.problem)
    return ReadRecipe(recipe, _in_words(problems))


def _in_words(problems: dict[str, Problem]) -> Problem | None:
    if not problems:
        return None
    lines = [
        Problem("recipe.setting_line", "{setting}: {problem}", setting=name, problem=problem)
        for name, problem in problems.items()
    ]
    return Problem(
        "run.recipe_of_another_version",
        "The recipe has {count:,} settings that this version does not know, or that were changed by hand: {settings} "
        "The run is shown without them. To train on, mend the recipe, or open the run with the version that wrote it.",
        count=len(lines),
        settings=joined(lines[:MOST_NAMED], "; "),
    )


class _Run(Protocol):
    def read_recipe(self) -> ReadRecipe: ...


def recipe_of(run: _Run) -> Recipe | None:
    """None where the file cannot be read any more, or not all of it: the run is shown all the same."""
    return run.read_recipe().whole
