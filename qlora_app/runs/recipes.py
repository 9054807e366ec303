"""The recipe of a run, read once."""

import functools
from pathlib import Path

from ..errors import UserError
from ..recipe import Recipe
from .run import Run


def recipe_of(run: Run) -> Recipe | None:
    """None where the file cannot be read any more: the run is shown all the same."""
    try:
        return _recipe(run.folder, (run.folder / "recipe.yaml").stat().st_mtime_ns)
    except (OSError, UserError):
        return None


@functools.lru_cache(maxsize=500)
def _recipe(folder: Path, written: int) -> Recipe:
    return Run(folder).recipe()
