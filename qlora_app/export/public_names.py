"""What a run is called where others read it. Its id and its title are made of its data and its base, whose names may
tell what they are about: of what is somebody's own neither leaves this machine.
"""

import hashlib
import re

from ..runs import Run
from ..runs.labels import labels_of

MINUTE = re.compile(r"\d{4}-\d\d-\d\d-\d{4}-")  # with which an id begins that this app gave


PUBLIC = ("starter", "hub")  # where data and bases come from whose names anybody may read


def _is_open(run: Run) -> bool:
    recipe = run.recipe()
    return recipe.dataset.source in PUBLIC and recipe.base_model.source in PUBLIC


def public_title(run: Run) -> str:
    """As somebody named it afterwards; else its title, or where that would name what is somebody's own, its base."""
    if name := labels_of(run).name:
        return name
    if _is_open(run):
        return run.title
    base = run.base_model()
    return f"{base.title} adapter" if base.source in PUBLIC else "An adapter"


def public_id(run: Run) -> str:
    """The run's id, or where that would name what is somebody's own, its minute and a mark that only its id gives."""
    if _is_open(run):
        return run.id
    made = MINUTE.match(run.id)
    return f"{made[0] if made else 'run-'}{hashlib.sha256(run.id.encode()).hexdigest()[:8]}"
