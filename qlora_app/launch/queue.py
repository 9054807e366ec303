"""Start what waits: of those that need the machine one for each accelerator, the light ones beside them."""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Problem, UserError
from ..hardware import accelerators
from ..jobs import Job, JobStore
from ..jobs.job import NEEDS, Needs
from ..runs import RunStore
from ..settings import Settings
from ..storage.disk import cannot_begin
from ..storage.reading import is_short_of_means
from ..sweep import Sweeps
from . import places
from .engines import Engines
from .line import in_line
from .local import LocalLauncher
from .moving import Jobs, Moving

LOOK_EVERY = 1.0  # seconds between looks at the queue when nobody wakes the supervisor
LONGEST_PAUSE = 60.0  # seconds until a job that could not be started is tried again
MOST_DEATHS = 3  # workers that ended before they began, after which the job is called failed

logger = logging.getLogger(__name__)
Overseer = Callable[[Sequence[Job]], None]


@contextlib.contextmanager
def unled(root: Path) -> Iterator[bool]:
    """False where an app starts what waits in this store; else none begins to before the end of the `with`."""
    lock = _open_lock(root)
    try:
        yield _is_mine(lock)
    finally:
        os.close(lock)


def queue_of(settings: Settings, runs: RunStore, *overseers: Overseer) -> "Supervisor":
    """Who looks after everything of an installation that waits: its runs, its other jobs, and its sweeps. overseers:
    who else is told what that is.
    """
    devices = accelerators()
    return Supervisor(
        runs,
        JobStore(settings.jobs),
        JobStore(settings.evaluations),
        overseers=[Sweeps(settings.sweeps, runs).look, *overseers],
        at_once=settings.runs_at_once or max(1, len(devices)),
        devices=devices,
    )


@contextlib.contextmanager
def working(settings: Settings, runs: RunStore) -> Iterator["Supervisor"]:
    """Meanwhile what waits is started from here, unless an open page does it. What was begun goes on afterwards."""
    supervisor = queue_of(settings, runs)
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.close()


class OwnQueue:
    """The queue of a machine as one sees it who may know of what lies below their own home, and of nothing else."""

    def __init__(self, supervisor: "Supervisor", home: Path) -> None:
        self._whole, self._home = supervisor, home

    @property
    def leads(self) -> bool:
        return self._whole.leads

    @property
    def at_once(self) -> int:
        return self._whole.at_once

    def is_own(self, job: Job) -> bool:
        return job.folder.is_relative_to(self._home)

    def moving(self) -> list[Job]:
        """What waits or is worked on of their own, newest first."""
        return [job for job in self._whole.moving() if self.is_own(job)]

    def every(self) -> list[Job]:
        """Also what is others': to tell when one's turn comes, and for nothing that is shown."""
        return self._whole.moving()

    def is_looking(self) -> bool:
        return self._whole.is_looking()

    def wake(self) -> None:
        self._whole.wake()


@dataclass(frozen=True)
class _Trouble:
    """Why a job could not be started, and when it is tried again."""

    said: str
    pause: float
    until: float  # as time.monotonic() says it


class Supervisor:
    """A thread of the app that starts queued jobs, reaps ended workers and keeps one standby. It never works itself.

    Only one supervisor leads a store: that of the app holding its lock. Others leave the queue alone.
    """

    def __init__(
        self,
        store: Jobs,
        *others: Jobs,
        overseers: Sequence[Overseer] = (),
        at_once: int = 1,
        devices: Sequence[str] = (),
    ) -> None:
        """The lock lies in the folder of the first store; all are looked after. overseers: told at every look what
        waits or is worked on, while this one leads; such as a sweep that stops its hopeless runs. at_once: so many
        jobs that need the machine; devices: its accelerators, of which each such job gets the least used one where
        several work at once, else all.
        """
        self.at_once = at_once
        self._devices = tuple(devices)
        self.stores = (store, *others)
        self._overseers = tuple(overseers)
        self.leads = False
        self.launcher = LocalLauncher()
        self._engines = Engines()
        self._last_error = ""  # the last trouble that was logged
        self._troubles: dict[Path, _Trouble] = {}  # of the jobs that could not be started, by their folders
        self._sent: dict[Path, int] = {}  # how often a worker was sent to a job that still waits
        self._all = Moving(self.stores)
        self._moving: list[Job] = []  # what waited or was worked on at the last look, newest first
        self._woken, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _open_lock(store.root)

    def look_after(self, settings: Settings, runs: RunStore) -> None:
        """From now on also another home, as that of somebody who trains beside the owner."""
        stores = (runs, JobStore(settings.jobs), JobStore(settings.evaluations))
        runs.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.leads:
            for store in stores:
                store.sweep()
        self.stores = (*self.stores, *stores)
        self._overseers = (*self._overseers, Sweeps(settings.sweeps, runs).look)
        self._all.add(stores)
        self._woken.set()

    def start(self) -> None:
        self._try_to_lead()
        self._thread.start()

    def wake(self) -> None:
        """Look at all jobs now."""
        self._all.look_anew()
        self._woken.set()

    def moving(self) -> list[Job]:
        """What waits or is worked on in any of the stores, newest first; also where another app leads."""
        return self._all.jobs()

    def close(self) -> None:
        """End the thread and the idle standby. Jobs go on."""
        self._closing.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.launcher.close()
        os.close(self._lock)

    def is_looking(self) -> bool:
        """Does its thread live? Without it nothing that waits is begun."""
        return self._thread.is_alive()

    def wait_until_ready(self) -> bool:
        """Block until the standby has imported everything; False when there is none. For tests and measurements."""
        return self.launcher.wait_until_ready()

    def _try_to_lead(self) -> None:
        if _is_mine(self._lock):
            self.leads = True
            for store in self.stores:
                store.sweep()
            self.launcher.keep_warm()

    def _loop(self) -> None:
        while not self._closing.is_set():
            try:
                if not self.leads:
                    self._try_to_lead()
                if self.leads:
                    self._look()
                    self._tell_overseers()
            except Exception as error:  # whatever is wrong with one job or the disk for a while, this thread must go on
                if str(error) != self._last_error:
                    logger.exception("The queue could not be looked after")
                self._last_error = str(error)
            self._woken.wait(LOOK_EVERY)
            self._woken.clear()

    def _look(self) -> None:
        """In their order, so that nobody is overtaken by one who came later.

        What needs little starts at once, and so does what somebody wants now. Of what needs torch one works at a time,
        beside the trainings.
        """
        at_work = self.launcher.reap()
        self._moving = moving = self._all.jobs()
        self._engines.look_at(moving)
        for job, error in self._engines.sent():
            self._note(job, error)
        self._sent = {job.folder: self._sent.get(job.folder, 0) for job in moving if job.is_asked("start")}
        self._troubles = {folder: one for folder, one in self._troubles.items() if folder in self._sent}
        needing: dict[Needs, list[Job]] = {needs: [] for needs in NEEDS}
        for job in in_line(moving):
            if _has_worker(job) or self._engines.is_sending(job) or not self._may_try(job):
                continue
            if job.needs == "little" or job.is_asked("now") or places.elsewhere_for(job):
                self._start(job)
            else:
                needing[job.needs].append(job)
        limits: dict[Needs, int] = {"torch": 1, "machine": self.at_once}
        for needs, most in limits.items():
            if needing[needs]:
                self._start_some(needing[needs], self._working(needs, at_work), most)
        if self.launcher.has_standby or needing["machine"] or at_work:
            return
        if not self._working("machine", []):
            # Not while something needs the machine: importing would take one of its cores for five seconds.
            self.launcher.keep_warm()

    def _tell_overseers(self) -> None:
        for told in self._overseers:
            told(self._moving)

    def _start_some(self, waiting: Sequence[Job], working: Sequence[Job], most: int) -> None:
        """The first ones that can be started; none is overtaken by one that needs fewer accelerators."""
        room = most - len(working)
        free = max(most, len(self._devices)) - sum(map(self._devices_of, working))
        for job in waiting:
            if room <= 0 or free < self._devices_of(job):
                return
            if self._start(job):
                room, free = room - 1, free - self._devices_of(job)

    def _working(self, needs: Needs, at_work: list[Job]) -> list[Job]:
        """The jobs with these needs that have a worker, also one of an earlier app or of the command line."""
        working = [*at_work, *(job for job in self._moving if _has_worker(job) and not places.is_elsewhere(job))]
        return list({job.folder: job for job in working if job.needs == needs}.values())

    def _devices_of(self, job: Job) -> int:
        """How many accelerators a job takes, one for each of its processes."""
        known = len(self._devices)
        return min(job.place().count(known), max(1, known)) if job.needs == "machine" else 1

    def _device_for(self, job: Job) -> str:
        """Which accelerators a job gets, with commas; "" for all: where there is one, and where one works at a time, so
        that a model that one cannot hold is spread over all of them.
        """
        if job.needs != "machine" or self.at_once == 1 or len(self._devices) < 2:
            return ""
        given = [other.launch_file.device().split(",") for other in self._moving if _has_worker(other)]
        used = Counter(device for devices in given for device in devices)
        return ",".join(sorted(self._devices, key=lambda device: used[device])[: self._devices_of(job)])

    def _may_try(self, job: Job) -> bool:
        trouble = self._troubles.get(job.folder)
        if trouble is not None and time.monotonic() < trouble.until:
            return False
        if self._sent.get(job.folder, 0) < MOST_DEATHS or cannot_begin(job.folder):
            return True
        self._give_up(job)
        return False

    def _start(self, job: Job) -> bool:
        """Send a worker to a job, or have an engine take it, which takes its time. False where that cannot be, or is
        not wanted any more: then it is another's turn.
        """
        if not job.is_asked("start"):
            return False
        is_second, elsewhere = self._sent.get(job.folder, 0) > 0, places.elsewhere_for(job)
        if elsewhere is not None:
            self._engines.send(elsewhere, job, cold=is_second)
            return True
        try:
            self.launcher.start(job, cold=is_second, device=self._device_for(job))
        except Exception as error:  # its folder or its log, say: nothing that others should wait for
            self._note(job, error)
            return False
        self._note(job)
        return True

    def _note(self, job: Job, error: BaseException | None = None) -> None:
        """Remember that a worker was sent, or could not be. Then the job goes on waiting and is tried again after a
        pause, longer each time. So is one whose worker ended before it took the start.
        """
        if error is None:
            job.take("now")
            times = self._sent.get(job.folder, 0)
            pause = max(LOOK_EVERY * times, LOOK_EVERY)
            self._sent[job.folder] = times + 1
            self._troubles[job.folder] = _Trouble("", pause, time.monotonic() + pause)
            return
        before = self._troubles.get(job.folder)
        if before is None or str(error) != before.said:
            logger.error("%s could not be started, and goes on waiting", job.folder, exc_info=error)
        pause = min(2 * before.pause, LONGEST_PAUSE) if before else LOOK_EVERY
        self._troubles[job.folder] = _Trouble(str(error), pause, time.monotonic() + pause)
        job.say_why_it_waits(
            Problem("job.cannot_start", "It cannot be started yet ({reason}), and is tried again.", reason=error)
        )

    def _give_up(self, job: Job) -> None:
        """Say of a job that no worker lives long enough to begin it."""
        self._forget(job)
        if not job.take("start"):
            return
        with job.hold() as out:
            out.begin(job.last_word(), "")
            out.end(
                "failed",
                Problem(
                    "job.never_began",
                    "The program ended {times} times before it began. The log has its last lines. Mend what they say, "
                    "then press Resume.",
                    times=MOST_DEATHS,
                ),
            )

    def _forget(self, job: Job) -> None:
        self._sent.pop(job.folder, None)
        self._troubles.pop(job.folder, None)


def _has_worker(job: Job) -> bool:
    """Is a worker at it, or on its way? False also of a job that cannot be read; True where that cannot be told for a
    while.
    """
    try:
        return job.is_alive() or job.is_on_its_way() or places.look(job) is not False
    except OSError as error:
        return is_short_of_means(error)


def _open_lock(root: Path) -> int:
    try:
        return os.open(root / ".app.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(
            "queue.no_lock",
            "{file} cannot be opened ({reason}). Delete it, and start again.",
            file=root / ".app.lock",
            reason=error.strerror,
        ) from error


def _is_mine(lock: int) -> bool:
    """Take the lock, unless another app has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
