"""How a job stands: what its worker says of it, in figures and in a sentence for people."""

from dataclasses import dataclass, field
from typing import Literal, get_args

State = Literal["queued", "starting", "running", "stopping", "done", "stopped", "failed", "interrupted"]
STATES: tuple[State, ...] = get_args(State)
ACTIVE: tuple[State, ...] = ("starting", "running", "stopping")
RESUMABLE: tuple[State, ...] = ("stopped", "failed", "interrupted")
ENDED: tuple[State, ...] = ("done", *RESUMABLE)


@dataclass(frozen=True)
class Status:
    """What the worker last said of a job. As read by Job.status(), `state` is corrected by the lock.

    "interrupted" is never written: a reader concludes it where the status says running and nobody holds the lock.
    """

    state: State = "queued"
    step: int = 0  # how much is done: steps, rows or bytes
    total: int = 0  # of how much; 0 while that is not known
    sentence: str = ""  # for people: what is happening, or what went wrong and what to do
    seconds: float = 0.0  # of work, without pauses
    seconds_left: float | None = None
    warnings: list[str] = field(default_factory=list)
    # Of a worker that has been silent, or long at one thing: a sentence that says for how long. Read, never written.
    silence: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def progress(self) -> float | None:
        """From 0 to 1; None while the total is not known."""
        return self.step / self.total if self.total else None
