"""End a worker that does not follow a stop: it, what it started, and nothing else."""

import contextlib
import os
import signal
import time

from ..errors import Problem, UserError
from ..jobs import Job
from ..jobs.pulse import last_sign
from ..jobs.status import ACTIVE
from ..storage.process import process_start

PATIENCE = 10.0  # seconds until a process that was ended is gone; one that waits for a disk cannot be ended


def end_now(job: Job) -> None:
    """End the worker of a job at once, as the system would. What was saved is kept, and Resume goes on from there.

    Raises UserError where no process of it is known any more, or where the system cannot end it.
    """
    job.request("stop-now")  # also for one that comes right now
    pid = worker_of(job)
    if pid is None:
        if not job.status().is_active:
            return  # it has ended meanwhile
        raise UserError(
            "job.worker_unknown",
            "The process that works on {id} is not known on this machine, so it cannot be ended from here.",
            id=job.id,
        )
    end_process(pid)
    end = time.monotonic() + PATIENCE
    while job.is_alive() or process_start(pid) is not None:
        if time.monotonic() > end:
            raise UserError(
                "job.not_ended",
                "The system cannot end process {pid} yet: it waits for a disk or a device. It ends as soon as that "
                "answers.",
                pid=pid,
            )
        time.sleep(0.05)
    _have_the_last_word(job)


def worker_of(job: Job) -> int | None:
    """The process that works on a job, or is on its way to it; None where there is none that is surely it."""
    sign = last_sign(job.folder) if job.is_alive() else None
    return sign.pid if sign else job.launch_file.pid()


def end_process(pid: int) -> None:
    """Everything the process started goes with it. Its group is its own: a worker leads one."""
    import psutil

    with contextlib.suppress(psutil.Error, ProcessLookupError):
        children = psutil.Process(pid).children(recursive=True)
        leads_a_group = os.getpgid(pid) == pid
        os.kill(pid, signal.SIGKILL)
        if leads_a_group and pid != os.getpgrp():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()


def _have_the_last_word(job: Job) -> None:
    """Unless the worker had it, or another one came. Else the system would be said to have ended it."""
    with contextlib.suppress(OSError), job.hold() as out:
        out.status = job.last_word()
        if out.status.state in ("queued", *ACTIVE) and not job.is_asked("start"):
            out.end(
                "stopped",
                Problem(
                    "job.ended_by_force", "It was ended. What was saved before is kept; Resume goes on from there."
                ),
            )
        job.forget_stop()
