"""How fast this machine trains, as a waiting worker has measured it once (train/calibrate.py) and the page reads it.

It is measured in processor time of one thread, so that it does not depend on what else was running meanwhile.
"""

import functools
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from .hardware import here, usable_cores
from .storage.files import replace_file

FILE = "speed.json"  # in the home
VERSION = 1  # of what is measured
# Of a step of the starter, what several threads do not share: so much of the time stays however many there are.
# Measured on two cores (benchmarks/RESULTS.md, estimates).
ALONE = 0.85
QUIET_LOAD = 0.5  # of the load average, which the start of the app itself makes
MOST_SLOWED = 8.0  # times as long, however busy the machine is: it will not stay so
BUSY = 1.25  # times as long, from which on that is said


class Speed(NamedTuple):
    """Of one thread of this machine."""

    pace: float  # seconds for each character that the starter learns from


def speed_here(home: Path) -> Speed | None:
    """As it was measured on this machine, in this home; None where it is not known yet."""
    file = home / FILE
    try:
        written = file.stat().st_mtime_ns
    except OSError:
        return None
    pace = _read(file, written).get(machine_key())
    return Speed(pace) if pace else None


def keep(home: Path, speed: Speed) -> None:
    """For the next start. Raises OSError where it cannot be written."""
    file = home / FILE
    known = _read(file, file.stat().st_mtime_ns) if file.is_file() else {}
    replace_file(file, json.dumps({**known, machine_key(): speed.pace}, indent=1))


def machine_key() -> str:
    """What a speed depends on: another processor, other threads or another torch are measured anew."""
    return _key(os.environ.get("OMP_NUM_THREADS", ""), os.environ.get("ONEDNN_MAX_CPU_ISA", ""))


def pace_with(speed: Speed, own: int = 0, load: float | None = None) -> float:
    """Seconds for each character with all threads of a training, beside what else runs here now.

    own: trainings of this installation among that: a new one waits for their end, so they do not slow it down. load:
    processes that want to run beside it; as the system says where none is given.
    """
    threads, cores = _threads(), usable_cores()
    alone = speed.pace * (ALONE + (1 - ALONE) / threads)
    return alone * slowed(threads, cores, _beside(own) if load is None else load)


def slowed(threads: int, cores: int, load: float) -> float:
    """How many times as long it takes where others want the same cores: each gets its share."""
    return min(MOST_SLOWED, max(1.0, (load + threads) / cores))


def is_busy(own: int = 0) -> bool:
    """Do others than these own trainings take so much of this machine now that a training takes much longer?"""
    return slowed(_threads(), usable_cores(), _beside(own)) > BUSY


def _beside(own: int) -> float:
    """What the system has to do beside so many own trainings."""
    return max(0.0, _others() - own * _threads())


def _others() -> float:
    """What the system had to do in the last minute, beside what the app's own start takes."""
    try:
        return max(0.0, os.getloadavg()[0] - QUIET_LOAD)
    except OSError:
        return 0.0


def _threads() -> int:
    """As torch counts them."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(given), usable_cores()) if given.isdecimal() and int(given) else usable_cores()


@functools.lru_cache(maxsize=4)
def _key(threads: str, instructions: str) -> str:
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    said = [processor(), f"{usable_cores()} cores", f"threads {threads or 'all'}", instructions or "every ISA"]
    return " | ".join([*said, f"torch {torch}", here().kind, f"v{VERSION}"])


@functools.lru_cache(maxsize=1)
def processor() -> str:
    """Its name, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.processor()} {platform.machine()}".strip()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


@functools.lru_cache(maxsize=2)
def _read(file: Path, written: int) -> dict[str, float]:
    """What fits of the file; nothing where it is damaged."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: pace for key, pace in known.items() if isinstance(pace, float) and 0 < pace < 1}
