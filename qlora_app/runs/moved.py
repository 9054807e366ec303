"""A run that is resumed elsewhere than it was begun. What it learns stays as its recipe has it."""

from ..hardware import known_accelerators, usable_cores
from ..jobs import Job
from ..preflight import refuse
from .run import Run


def shared_by(job: Job, processes: int) -> None:
    """From its next start on so many processes share each step; 0: one for each GPU. Raises UserError where that cannot
    be here.
    """
    place = job.place()
    place = place.model_copy(update={"processes": processes})
    if not place.divides(place.count(len(known_accelerators()))):  # one alone holds the base whole
        place = place.model_copy(update={"share": "ddp"})
    if isinstance(job, Run):
        step = job.recipe().training.batch_size
        refuse(place.problems(step, len(known_accelerators()), usable_cores()))
    job.move_to(place)
