"""What a run came from: the run it goes on from, or the adapter it began with."""

from typing import Literal, NamedTuple

from .recipes import recipe_of
from .run import Run

How = Literal["extends", "start_from"]


class Origin(NamedTuple):
    """extends: it went on from that run's checkpoint. start_from: it began with that adapter: a run's, or a folder."""

    how: How
    named: str


def origin_of(run: Run) -> Origin | None:
    """None for a run that began with nothing but its base."""
    recipe = recipe_of(run)
    if recipe is None:
        return None
    if recipe.training.extends:
        return Origin("extends", recipe.training.extends)
    if recipe.training.start_from:
        return Origin("start_from", recipe.training.start_from)
    return None
