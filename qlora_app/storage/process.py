"""A process of this machine, named in a file so that it is not taken for a later one of the same number."""

import contextlib
import functools
import os
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import Problem
from .files import write_json
from .reading import is_short_of_means, read_json

PROC = Path("/proc")
_MARK = re.compile(r"-(\d+)-(\d+)-")
ENGINES = {"slurm": "Slurm", "ray": "Ray", "hf_jobs": "Hugging Face Jobs"}  # other programs, as people call them
STOPPED = "T"  # the state of a process that somebody halted


@dataclass(frozen=True)
class Engine:
    """A job as another program works on it. state: queued, alive, ended, or unknown where it did not answer; said: its
    own word for it; attempt: how often a worker was sent to the job; store: the url by which its folder travels, ""
    where the disk is shared; has_begun: its worker has taken the wish to start; dollars: what it has cost so far;
    earlier: what the jobs before it cost.
    """

    name: str
    id: str
    state: str
    said: str = ""
    attempt: int = 0
    asked_at: float = 0.0  # seconds since the epoch
    store: str = ""
    has_begun: bool = False
    dollars: float = 0.0
    earlier: float = 0.0

    @property
    def spent(self) -> float:
        """Dollars of all."""
        return round(self.earlier + self.dollars, 4)

    def as_seen(self, state: str, said: str) -> "Engine":
        """As it is now."""
        return replace(self, state=state, said=said, asked_at=time.time())

    @property
    def is_there(self) -> bool:
        """Is it worked on, or may it be?"""
        return self.state != "ended"

    @property
    def title(self) -> str:
        return ENGINES.get(self.name, self.name)

    @property
    def silence(self) -> Problem:
        return Problem(
            "job.engine_unknown",
            "How it stands is not known: {engine} does not answer about job {id} ({said}).",
            engine=self.title,
            id=self.id,
            said=self.said,
        )

    @property
    def waits(self) -> Problem:
        return Problem(
            "job.engine_queued",
            "It waits in the queue of {engine} as job {id} ({said}).",
            engine=self.title,
            id=self.id,
            said=self.said,
        )


class ProcessFile:
    """{pid, started, boot, since, device, attempt} of one process, or an engine's job. Written by whoever started it,
    read by anybody.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, pid: int, device: str = "") -> None:
        """Name process `pid`, and the accelerator it was given, where there are several."""
        names = {"pid": pid, "started": process_start(pid), "boot": boot(), "since": time.monotonic()}
        write_json(self.path, names | self._kept_attempt() | ({"device": device} if device else {}))

    def write_engine(self, engine: Engine) -> None:
        """Name a job of another program instead of a process."""
        write_json(self.path, {"engine": asdict(engine), "attempt": engine.attempt})

    def note_engine(self, seen: Engine) -> None:
        """Keep how its job stands, unless another one was sent meanwhile."""
        now = self.engine()
        if now is not None and (now.id, now.attempt) == (seen.id, seen.attempt):
            self.write_engine(seen)

    def engine(self) -> Engine | None:
        """The job of another program that is named; None where it is a process of this machine."""
        known = self._known().get("engine")
        if not isinstance(known, dict):
            return None
        try:
            return Engine(**known)
        except TypeError:  # of another version
            return None

    def attempt(self) -> int:
        """How often a worker was sent: an earlier one may write no more. 0 where none was."""
        attempt = self._known().get("attempt")
        return attempt if isinstance(attempt, int) else 0

    def spent(self) -> float:
        """Dollars that all its jobs at other programs have cost so far."""
        engine, kept = self.engine(), self._known().get("spent")
        if engine is not None:
            return engine.spent
        return kept if isinstance(kept, float) else 0.0

    def write_attempt(self, attempt: int) -> None:
        """Name none, and how often a worker was sent so far, elsewhere."""
        write_json(self.path, {"attempt": attempt} | self._kept_costs())

    def _kept_attempt(self) -> dict[str, Any]:
        """One more where another program had it before: what that one started may write no more."""
        attempt = self.attempt() + (self.engine() is not None)
        return ({"attempt": attempt} if attempt else {}) | self._kept_costs()

    def _kept_costs(self) -> dict[str, float]:
        return {"spent": spent} if (spent := self.spent()) else {}

    def device(self) -> str:
        """The accelerator the process was given; empty where nobody chose one."""
        return str(self._known().get("device", ""))

    def clear(self) -> None:
        """Name none. Raises OSError where nothing can be written, before a process is started for it."""
        write_json(self.path, self._kept_attempt())

    def note_exit(self, pid: int, code: int) -> None:
        """Keep how process `pid` ended, where it is the one that is named."""
        known = self._known()
        if known.get("pid") == pid:
            write_json(self.path, known | {"exit": code})

    def exit_code(self) -> int | None:
        """How the named process ended, as Popen.returncode says it; None where nobody kept that."""
        code = self._known().get("exit")
        return code if isinstance(code, int) else None

    def pid(self) -> int | None:
        """The process that is named, if it is still that one and runs."""
        known = self._known()
        return known["pid"] if _is_the_same(known) else None

    def exists(self) -> bool:
        """Was a process ever named?"""
        return self.path.exists()

    def forget(self) -> None:
        """Take the name back: there is no such process."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def seconds(self) -> float:
        """How long ago it was named; 0.0 where that is not known."""
        since = self._known().get("since")
        return max(0.0, time.monotonic() - since) if isinstance(since, float) else 0.0

    def written_at(self) -> float | None:
        """Seconds since the epoch; None where no process was named yet."""
        try:
            return self.path.stat().st_mtime
        except OSError:
            return None

    def is_alive(self) -> bool | None:
        """Is the named process the one that was started, and does it still run? None where the file names none."""
        known = self._known()
        return _is_the_same(known) if "pid" in known else None

    def _known(self) -> dict[str, Any]:
        known = read_json(self.path)
        return known if isinstance(known, dict) else {}


def _is_the_same(known: dict[str, Any]) -> bool:
    pid, started = known.get("pid"), known.get("started")
    if not isinstance(pid, int) or started is None:
        return False
    if "boot" in known:
        return bool(known["boot"] == boot() and process_start(pid) == started)
    return bool(started_by_the_clock(pid) == started)  # written by an earlier version


def mark_of_mine() -> str:
    """Stands in the name of what this process makes for a while: `is_left_behind` tells whose end left it there."""
    return f"{os.getpid()}-{_hundredths(os.getpid())}"


def is_left_behind(name: str) -> bool:
    """Has the process ended whose mark stands in a name? False for a name without one."""
    mark = _MARK.search(name)
    return mark is not None and _hundredths(int(mark[1])) != int(mark[2])


def _hundredths(pid: int) -> int:
    return round(100 * (process_start(pid) or 0))


def process_start(pid: int) -> float | None:
    """When process `pid` was started, in seconds after the machine was; None if there is none, or only its remains.

    No clock that somebody sets goes into it.
    """
    if not PROC.is_dir():
        return started_by_the_clock(pid)
    found = process_state(pid)
    return None if found is None else found[1]


def process_state(pid: int) -> tuple[str, float] | None:
    """(its state as /proc writes it, when it was started); None if there is none, or only its remains."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        if is_short_of_means(error):
            raise
        return None
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return fields[0], int(fields[19]) / os.sysconf("SC_CLK_TCK")


@functools.cache
def boot() -> str:
    """Names the time since the machine was last started; empty where the system has no such name."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def started_by_the_clock(pid: int) -> float | None:
    """In seconds since the epoch, as psutil reckons it: another figure once somebody sets the clock."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except (psutil.Error, ValueError, OverflowError):  # a number that no process has
        return None
