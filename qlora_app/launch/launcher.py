"""What the queue and the commands ask of a place where jobs are worked on."""

from collections.abc import Sequence
from typing import Protocol

from ..jobs import Job


class Launcher(Protocol):
    """One place. It knows a job's folder and never its kind; what it must remember lies in the job's launch.json."""

    name: str

    def start(self, job: Job, cold: bool = False, device: str = "") -> None:
        """Have a worker take the job. Returns at once; launch.json is there by then. The worker itself takes the wish
        to start. `cold`: not by one that waits ready, which failed before. `device`: the only accelerator it sees.
        """

    def stop(self, job: Job) -> None:
        """Have the worker end: the step is finished and saved. Returns at once."""

    def is_alive(self, job: Job) -> bool | None:
        """Is a worker at it, or on its way? None where the place does not answer: unknown is never failed."""

    def sync(self, job: Job) -> None:
        """Bring what the worker has written into the job's folder; nothing to do where the disk is shared."""


class EngineLauncher(Launcher, Protocol):
    """A place where another program works, which may take long to answer, or never does. What it said last stands in a
    job's launch.json; `engines.py` sees to it that nobody waits for it.
    """

    def look_at(self, jobs: Sequence[Job]) -> None:
        """Ask once how all of these stand, and note it in each one's launch.json: `note_engine`. What waits there and
        is to end is taken back.
        """

    def end(self, job: Job) -> None:
        """At once; what was saved is kept. Raises UserError where the engine does not do it."""

    def stop(self, job: Job) -> None:
        job.request("stop")  # the next look hands it on, or takes back what has not begun

    def is_alive(self, job: Job) -> bool | None:
        self.look_at([job])
        engine = job.launch_file.engine()
        if engine is None:
            return False
        return None if engine.state == "unknown" else engine.is_there
