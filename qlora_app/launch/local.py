"""Train on this machine: worker processes that outlive the page, one run after another, with one worker always warm."""

import fcntl
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from .. import KEEP_MEMORY
from ..runs import Run, RunStore

WORKER = [sys.executable, "-m", "qlora_app.train"]
LOOK_EVERY = 1.0  # seconds between looks at the queue when nobody wakes the supervisor
PACKAGE_PARENT = str(Path(__file__).parents[2])

logger = logging.getLogger(__name__)


def launch(run: Run) -> subprocess.Popen:
    """Start a worker for `run` from cold, in a session of its own: closing the terminal or the page does not end it."""
    run.folder.joinpath("log.txt").touch(mode=0o600)
    with open(run.log, "ab") as log:
        worker = subprocess.Popen(
            [*WORKER, str(run.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
            env=_environment(),
        )
    run.launched(worker.pid)
    return worker


class Standby:
    """A worker that has imported everything and waits for the name of a run folder on its standard input."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
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
        return self.process.stdout.readline() == b"READY\n"

    def train(self, run: Run) -> None:
        """Hand it the run. If it is still importing, it reads the name when it is done."""
        run.launched(self.process.pid)
        self.process.stdin.write(f"{run.folder}\n".encode())
        self.process.stdin.close()

    def dismiss(self) -> None:
        """An end of input tells a waiting worker to go home; one that has a run is not disturbed."""
        self.process.stdin.close()


class Supervisor:
    """A thread of the app that starts queued runs, reaps ended workers and keeps one standby. It never trains.

    Only one supervisor leads a store: that of the app holding its lock. Others leave the queue alone.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.leads = False
        self._last_error = ""  # the last trouble that was logged
        self._standby: Standby | None = None
        self._workers: list[subprocess.Popen] = []
        self._woken, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(store.root / ".app.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def start(self) -> None:
        self._try_to_lead()
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        self._woken.set()

    def close(self) -> None:
        """End the thread and the idle standby. Runs go on."""
        self._closing.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        if self._standby:
            self._standby.dismiss()
        os.close(self._lock)

    def wait_until_ready(self) -> bool:
        """Block until the standby has imported everything; False when there is none. For tests and measurements."""
        return self._standby is not None and self._standby.wait_until_ready()

    def _try_to_lead(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        self.leads = True
        self._standby = Standby()

    def _loop(self) -> None:
        while not self._closing.is_set():
            try:
                if not self.leads:
                    self._try_to_lead()
                if self.leads:
                    self._look()
            except (
                Exception
            ) as error:  # whatever is wrong with one run or with the disk for a while, this thread must go on
                if str(error) != self._last_error:
                    logger.exception("The queue could not be looked after")
                self._last_error = str(error)
            self._woken.wait(LOOK_EVERY)
            self._woken.clear()

    def _look(self) -> None:
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        queue = [run for run in self.store.list() if run.is_asked("start")]
        if queue:
            if not self._is_busy():
                self._start(queue[-1])
        elif not self._workers and not (self._standby and self._standby.is_usable) and not self._is_busy():
            self._standby = Standby()  # not while a run trains: importing would take one of its cores for five seconds

    def _is_busy(self) -> bool:
        """Does any worker train, also one of an earlier app or of the command line?"""
        return bool(self._workers) or any(run.status().is_active for run in self.store.list())

    def _start(self, run: Run) -> None:
        standby, self._standby = self._standby, None
        if standby and standby.is_usable:
            standby.train(run)
            worker = standby.process
        else:
            worker = launch(run)
        self._workers.append(worker)
        run.take("start")  # after launch.json is there, so that no reader sees a run that neither waits nor starts


def _environment() -> dict[str, str]:
    """The app's own, with the package findable from any working directory, and memory that is kept between steps."""
    paths = [PACKAGE_PARENT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**KEEP_MEMORY, **os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
