"""Work on this machine: processes that outlive the page, one of them always warm."""

import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from .. import KEEP_MEMORY
from ..errors import UserError
from ..jobs import Job
from ..storage.files import open_for_writing
from .ending import end_process

WORKER = [sys.executable, "-m", "qlora_app.worker"]
LEAVES_WITHIN = 30.0  # seconds that a worker has to end after its last word
PACKAGE_PARENT = str(Path(__file__).parents[2])

Process = subprocess.Popen[bytes]


def launch(job: Job) -> Process:
    """Start a worker for `job` from cold, in a session of its own: closing the terminal or the page does not end it.

    Whenever this process is ended, the job waits, or has a worker: the start is taken by the worker itself. Raises
    OSError where the disk or the machine has no room; then no worker is left and the job stands as before.
    """
    with _prepared(job):
        worker = _cold(job)
        _hand_over(worker, job, lambda: job.request("start"))
    return worker


@contextlib.contextmanager
def _prepared(job: Job) -> Iterator[None]:
    """What is written in the folder of a job whose worker is sent meanwhile.

    Raises OSError where nothing can be written, before any process is started for it; nothing is left then.
    """
    engine = job.launch_file.engine()
    if engine is not None and engine.is_there:
        raise UserError(
            "launch.elsewhere",
            "{id} may still be worked on by {engine} as job {number}, so it is not begun here. Stop it first. If that "
            "job is surely gone, delete launch.json in the folder of {id}.",
            id=job.id,
            engine=engine.title,
            number=engine.id,
        )
    # A worker that cannot write the log would die of it without a word.
    os.close(open_for_writing(job.log))
    try:
        job.launch_file.clear()
        yield
    except BaseException:
        job.launch_file.forget()
        raise


def _cold(job: Job, device: str = "") -> Process:
    with os.fdopen(open_for_writing(job.log), "ab") as log:
        return _waiting_worker("--asked", into=log, device=device)


def _waiting_worker(how: str, into: IO[bytes] | int, device: str = "") -> Process:
    """A worker that waits for the name of a job folder on its standard input, and goes home at the end of that."""
    seen = {"CUDA_VISIBLE_DEVICES": device} if device else {}
    return subprocess.Popen(
        [*WORKER, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if how == "--standby" else into,
        stderr=into,
        start_new_session=True,
        close_fds=True,
        env=_environment() | seen,
    )


def _hand_over(worker: Process, job: Job, ask: Callable[[], None] = lambda: None, device: str = "") -> None:
    """Give a job to a worker that waits for one: it is named in launch.json, then told. `ask` comes between: a wish to
    start that is left earlier would have the queue send another.
    """
    into = _pipe(worker.stdin)
    try:
        job.launch_file.write(worker.pid, device)
        ask()
        with contextlib.suppress(BrokenPipeError):  # it died meanwhile, and the job still waits
            into.write(f"{job.folder}\n".encode())
            into.flush()
    finally:
        with contextlib.suppress(BrokenPipeError):
            into.close()


class Standby:
    """A worker that has imported everything and waits for the name of a job folder on its standard input."""

    def __init__(self) -> None:
        self.process: Process = _waiting_worker("--standby", into=subprocess.DEVNULL)

    @property
    def is_usable(self) -> bool:
        return self.process.poll() is None

    def wait_until_ready(self) -> bool:
        """Block until it has imported everything; False if it died instead."""
        return _pipe(self.process.stdout).readline() == b"READY\n"

    def work_on(self, job: Job) -> None:
        """Hand it the job. If it is still importing, it reads the name when it is done."""
        _hand_over(self.process, job)

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

    def start(self, job: Job, cold: bool = False, device: str = "") -> None:
        """`cold`: not by the warm one, which failed before. `device`: the only GPU it is to see; the warm one has seen
        all of them.
        """
        with _prepared(job):
            standby = None if cold or device else self._warm_one(job)
            worker = standby or _cold(job, device)
            _hand_over(worker, job, device=device)
        self._at_work.append((job, worker))

    def stop(self, job: Job) -> None:
        job.request("stop")

    def is_alive(self, job: Job) -> bool | None:
        return job.is_alive() or bool(job.launch_file.is_alive())

    def sync(self, job: Job) -> None:
        """The worker writes on this disk."""

    def _warm_one(self, job: Job) -> Process | None:
        """The standby, which is nobody else's now; None where it is not the one to take the job."""
        if job.needs == "little" or not self.has_standby:
            return None
        standby, self._standby = self._standby, None
        assert standby is not None
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
        """Take note of workers that ended; returns the jobs whose workers, started here, have not ended yet.

        One that has said its last word and does not end, as a library may make it, is ended: others wait for it.
        """
        for job, worker in self._at_work:
            if worker.poll() is not None:
                _keep_exit_code(job, worker)
            elif _should_have_left(job):
                end_process(worker.pid)
        self._at_work = [(job, worker) for job, worker in self._at_work if worker.returncode is None]
        return [job for job, _ in self._at_work]

    def wait_until_ready(self) -> bool:
        """Block until the standby has imported everything; False when there is none. For tests and measurements."""
        return self._standby is not None and self._standby.wait_until_ready()

    def close(self) -> None:
        """End the idle standby. Workers go on."""
        if self._standby:
            self._standby.dismiss()


def _should_have_left(job: Job) -> bool:
    """Has the worker that was sent to it said its last word long ago, and let go of the lock?"""
    try:
        said_at = (job.folder / "status.json").stat().st_mtime
    except OSError:
        return False
    was_sent_before = said_at >= (job.launch_file.written_at() or math.inf)
    if not was_sent_before or time.time() - said_at < LEAVES_WITHIN:
        return False
    return job.last_word().has_ended and not job.is_asked("start") and not job.is_alive()


def _keep_exit_code(job: Job, worker: Process) -> None:
    """What a worker ended by the system cannot say itself."""
    if worker.returncode < 0:
        with contextlib.suppress(OSError):  # deleted meanwhile, or the disk is full: then only the reason is not known
            job.launch_file.note_exit(worker.pid, worker.returncode)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "it was opened with the process"
    return pipe


def _environment() -> dict[str, str]:
    """The app's own, with the package findable from any working directory, and memory that is kept between steps."""
    paths = [PACKAGE_PARENT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**KEEP_MEMORY, **os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
