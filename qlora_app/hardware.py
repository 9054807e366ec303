"""What this machine has: the memory a training can use, and the cores of it."""

import functools
import math
import os
import platform
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

IPV4 = socket.AF_INET
REMEMBERED = 3.0  # seconds, of what the machine has free


@dataclass(frozen=True)
class Machine:
    """What a training can use here, in bytes."""

    kind: str  # "cuda" or "cpu"
    total: float
    free: float
    devices: int = 1  # GPUs that are as large as the first, whose memory is told; 1 where they are not all alike
    main_memory: float = math.inf  # beside the GPUs, through which a base is loaded

    @property
    def name(self) -> str:
        if self.kind == "cuda":
            return "GPU"
        return "memory"


def here() -> Machine:
    """What this machine has: its first GPU's memory, else its own (a container's, inside one)."""
    return _here(int(time.monotonic() / REMEMBERED))


def main_memory() -> Machine:
    """This machine's own memory, whether it has a GPU or not (a container's, inside one)."""
    return _main_memory(int(time.monotonic() / REMEMBERED))


@functools.lru_cache(maxsize=1)
def _here(when: int) -> Machine:
    gpu, main = _gpu(), _main_memory(when)
    return replace(gpu, main_memory=main.total) if gpu else main


@functools.lru_cache(maxsize=1)
def _main_memory(when: int) -> Machine:
    import psutil

    memory = psutil.virtual_memory()
    total, used = _container(Path("/sys/fs/cgroup"))
    return Machine("cpu", min(memory.total, total), max(0.0, min(memory.available, total - used)))


def _gpu() -> Machine | None:
    """Asked of its driver: loading torch here would take gigabytes and a piece of the GPU."""
    if not (program := shutil.which("nvidia-smi")) or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = chosen.split(",") if chosen else known_accelerators() or ("0",)
    try:
        total, free = (float(number) * 2**20 for number in _asked(program, devices[0], "memory.total,memory.free")[0])
        alike = _alike(program, tuple(devices))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return Machine("cuda", total, free, alike)


@functools.lru_cache(maxsize=4)
def _alike(program: str, devices: tuple[str, ...]) -> int:
    """How many GPUs these are, where all have as much memory; else 1. Asked once: they do not change."""
    if len(devices) == 1:
        return 1
    totals = _asked(program, ",".join(devices), "memory.total")
    return len(devices) if len(totals) == len(devices) and len({total for (total,) in totals}) == 1 else 1


def _asked(program: str, devices: str, what: str) -> list[list[str]]:
    """What the driver answers of GPUs, a row each. Raises OSError and SubprocessError."""
    output = subprocess.run(
        [program, f"--id={devices}", f"--query-gpu={what}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        timeout=5,
        check=True,
    ).stdout
    return [line.split(",") for line in output.splitlines()]


def processor() -> tuple[set[str], str]:
    """The instructions it knows, empty where that is not known, and its name."""
    try:
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    except OSError:
        return set(), platform.processor() or "unknown"
    output = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    return set(output.get("flags", output.get("Features", "")).split()), output.get(
        "model name", platform.processor() or platform.machine()
    )


def accelerators() -> list[str]:
    """The GPUs of this machine, as CUDA_VISIBLE_DEVICES names each; asked of the driver once, at a start."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not (program := shutil.which("nvidia-smi")) or chosen in ("", "-1"):
        return []
    if chosen is not None:
        return chosen.split(",")
    try:
        listed = subprocess.run(
            [program, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split()


@functools.lru_cache(maxsize=1)
def known_accelerators() -> tuple[str, ...]:
    """The same, asked once: a form asks often, and GPUs do not come and go."""
    return tuple(accelerators())


def has_slurm() -> bool:
    """Are a cluster's commands here?"""
    return shutil.which("sbatch") is not None


def own_addresses() -> dict[str, str]:
    """{IPv4 address: its interface} of this machine, loopback too; of those that are up."""
    import psutil

    up = {name for name, seen in psutil.net_if_stats().items() if seen.isup}
    found = [
        (one.address, name) for name, every in psutil.net_if_addrs().items() for one in every if one.family == IPV4
    ]
    return {address: name for address, name in found if name in up}


def may_be_shared() -> bool:
    """Can several processes train together here: on GPUs, or, where there is none, on cores?"""
    devices = len(known_accelerators())
    return devices > 1 or (not devices and usable_cores() > 1)


def _container(groups: Path) -> tuple[float, float]:
    """(limit, used) of the control group this process is in; no limit outside of a container."""
    try:
        limit = float((groups / "memory.max").read_text())
        cache = dict(line.split() for line in (groups / "memory.stat").read_text().splitlines()).get(
            "inactive_file", "0"
        )
        return limit, float((groups / "memory.current").read_text()) - float(cache)
    except (OSError, ValueError):  # "max", or there is none
        return float("inf"), 0.0


def usable_cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores this process may use; a container often gets fewer than the machine has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (groups / "cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # "max", or there is no limit
        return cores
