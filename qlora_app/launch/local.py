"""Work on this machine: processes that outlive the page, one of them always warm."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from .. import KEEP_MEMORY
from ..jobs import Job

WORKER = [sys.executable, "-m", "qlora_app.worker"]
PACKAGE_PARENT = str(Path(__file__).parents[2])

Process = subprocess.Popen[bytes]


def launch(job: Job) -> Process:
    """Start a worker for `job` from cold, in a session of its own: closing the terminal or the page does not end it."""
    job.log.touch(mode=0o600)
    with open(job.log, "ab") as log:
        worker = subprocess.Popen(
            [*WORKER, str(job.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
            env=_environment(),
        )
    job.launch_file.write(worker.pid)
    return worker


class Standby:
    """A worker that has imported everything and waits for the name of a job folder on its standard input."""

    def __init__(self) -> None:
        self.process: Process = subprocess.Popen(
            [*WORKER, "--standby"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=True,
            env=_environment(),
        )

    @property
    def is_usable(self) -> bool:
        return self.process.poll() is None

    def wait_until_ready(self) -> bool:
        """Block until it has imported everything; False if it died instead."""
        return _pipe(self.process.stdout).readline() == b"READY\n"

    def work_on(self, job: Job) -> None:
        """Hand it the job. If it is still importing, it reads the name when it is done."""
        job.launch_file.write(self.process.pid)
        into = _pipe(self.process.stdin)
        into.write(f"{job.folder}\n".encode())
        into.close()

    def dismiss(self) -> None:
        """An end of input tells a waiting worker to go home; one that has a job is not disturbed."""
        _pipe(self.process.stdin).close()


class LocalLauncher:
    """Workers of this machine. What needs torch gets the warm one, if there is one; what needs little is started cold,
    which is quick, and leaves the warm one to others.
    """

    name = "local"

    def __init__(self) -> None:
        self._standby: Standby | None = None
        self._at_work: list[tuple[Job, Process]] = []

    def start(self, job: Job) -> None:
        self._at_work.append((job, self._hand_over(job) or launch(job)))

    def stop(self, job: Job) -> None:
        job.request("stop")

    def is_alive(self, job: Job) -> bool | None:
        return job.is_alive() or bool(job.launch_file.is_alive())

    def sync(self, job: Job) -> None:
        """The worker writes on this disk."""

    def _hand_over(self, job: Job) -> Process | None:
        """The standby, which has the job now; None where it is not the one to take it."""
        if job.needs == "little" or not self.has_standby:
            return None
        standby, self._standby = self._standby, None
        assert standby is not None
        standby.work_on(job)
        return standby.process

    # ---- of this process: what it has started, and what it keeps warm

    @property
    def has_standby(self) -> bool:
        return self._standby is not None and self._standby.is_usable

    def keep_warm(self) -> None:
        """Have a worker import everything ahead, if none does yet."""
        if not self.has_standby:
            self._standby = Standby()

    def reap(self) -> list[Job]:
        """Take note of workers that ended; returns the jobs whose workers, started here, have not ended yet."""
        self._at_work = [(job, worker) for job, worker in self._at_work if worker.poll() is None]
        return [job for job, _ in self._at_work]

    def wait_until_ready(self) -> bool:
        """Block until the standby has imported everything; False when there is none. For tests and measurements."""
        return self._standby is not None and self._standby.wait_until_ready()

    def close(self) -> None:
        """End the idle standby. Workers go on."""
        if self._standby:
            self._standby.dismiss()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "it was opened with the process"
    return pipe


def _environment() -> dict[str, str]:
    """The app's own, with the package findable from any working directory, and memory that is kept between steps."""
    paths = [PACKAGE_PARENT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**KEEP_MEMORY, **os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
