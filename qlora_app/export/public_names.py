"""What a run is called where others read it. Its id and its title are made of its data, whose name may tell what it is
about: of data that are somebody's own neither leaves this machine.
"""

import hashlib

from ..runs import Run
from ..runs.labels import labels_of

MINUTE = len("2026-11-30-1755")  # of an id: when it was made


def _is_open(run: Run) -> bool:
    return run.recipe().dataset.source in ("starter", "hub")


def public_title(run: Run) -> str:
    """As somebody named it afterwards; else its title, or where that would name own data, its base."""
    if name := labels_of(run).name:
        return name
    return run.title if _is_open(run) else f"{run.base_model().title.rpartition('/')[2]} adapter"


def public_id(run: Run) -> str:
    """The run's id, or where that would name own data, its minute and a mark that only its id gives."""
    if _is_open(run):
        return run.id
    return f"{run.id[:MINUTE]}-{hashlib.sha256(run.id.encode()).hexdigest()[:8]}"
