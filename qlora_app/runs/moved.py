"""A run that is resumed elsewhere than it was begun. What it learns stays as its recipe has it."""

from ..hardware import known_accelerators, usable_cores
from ..jobs import Job
from ..preflight import refuse
from .run import Run


def shared_by(job: Job, processes: int | None, nodes: int | None = None) -> None:
    """From its next start on so many processes of so many nodes share each step; None: as many as before, 0 processes:
    one for each GPU. Raises UserError where that cannot be here.
    """
    place = job.place()
    given = {"processes": processes, "nodes": nodes}
    place = place.model_copy(update={name: value for name, value in given.items() if value is not None})
    if not place.divides(place.world(len(known_accelerators()))):  # one alone holds the base whole
        place = place.model_copy(update={"share": "ddp"})
    if isinstance(job, Run):
        step = job.recipe().training.batch_size
        refuse(place.problems(step, len(known_accelerators()), usable_cores()))
    job.move_to(place)
