"""How much of this machine is in use now, and how much of it by one process. What cannot be known is left out."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from .hardware import main_memory, usable_cores
from .storage.files import write_json
from .storage.reading import read_json
from .storage.typed import filled

FILE = "usage.json"  # in a job's folder, while its worker measures
EVERY = 2.0  # seconds
OLD_AFTER = 10.0  # seconds
GROUPS = Path("/sys/fs/cgroup")
_SHORTEST = 0.2  # seconds over which a processor's use means anything
Known = TypeVar("Known")


@dataclass(frozen=True)
class Usage:
    """Of the machine, or of the container that limits it; `process_`: of the worker's process alone. Shares from 0 to
    1, memory in bytes.
    """

    cpu: float | None = None  # of the cores it may use
    process_cpu: float | None = None
    memory: float | None = None
    memory_total: float | None = None
    process_memory: float | None = None
    gpu: float | None = None
    gpu_memory: float | None = None
    gpu_memory_total: float | None = None
    process_gpu_memory: float | None = None
    temperature: float | None = None  # of the GPU, degrees Celsius
    power: float | None = None  # of the GPU, watts
    power_limit: float | None = None

    def to_json(self) -> dict[str, float]:
        """What is known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class UsageMeter:
    """Measures again and again. `gpu`: the UUID of the one that is looked at; the first that CUDA may see where none is
    named. Of one that the driver does not know by it, as a part of a divided card, nothing is told.
    """

    def __init__(self, pid: int, gpu: str = "", groups: Path = GROUPS) -> None:
        import psutil

        self._psutil, self._process, self._groups = psutil, psutil.Process(pid), groups
        self._cores, self._mine = usable_cores(groups), _own_cores()
        self._gpu = _Gpu.find(gpu, pid)
        self._seen = self._cpu_times()

    def read(self) -> Usage:
        """As it is now. The use of the processor is that since the last reading."""
        cpu, process_cpu = self._cpu()
        memory = main_memory()
        with contextlib.suppress(self._psutil.Error):  # it has just ended
            resident = own_memory(self._process.memory_info())
            figures = self._gpu.figures() if self._gpu else {}
            used = memory.total - memory.free
            return Usage(cpu, process_cpu, used, memory.total, resident, **figures)
        return Usage()

    def _cpu(self) -> tuple[float | None, float | None]:
        """(share of all cores in use, share of them that the process uses) since the last reading."""
        before, now = self._seen, self._cpu_times()
        seconds = now[0] - before[0]
        if seconds < _SHORTEST:
            return None, None
        self._seen = now
        all, mine = ((now[place] - before[place]) / (seconds * self._cores) for place in (1, 2))
        return min(1.0, max(0.0, all)), min(1.0, max(0.0, mine))

    def _cpu_times(self) -> tuple[float, float, float]:
        """(now, processor seconds used so far on the cores that count, by the process)"""
        mine = 0.0
        with contextlib.suppress(self._psutil.Error):
            times = self._process.cpu_times()
            mine = times.user + times.system
        limited = _used_by_group(self._groups) if self._cores < len(self._mine) else None
        return time.monotonic(), self._used_by_all() if limited is None else limited, mine

    def _used_by_all(self) -> float:
        every = self._psutil.cpu_times(percpu=True)
        return sum(_busy(one) for number, one in enumerate(every) if number in self._mine)


class _Gpu:
    """One GPU as NVIDIA's library (NVML) sees it."""

    def __init__(self, nvml: ModuleType, handle: Any, pid: int) -> None:
        self._nvml, self._handle, self._pid = nvml, handle, pid

    @classmethod
    def find(cls, uuid: str, pid: int) -> "_Gpu | None":
        """None where there is none that may be used, or no driver."""
        name = uuid or os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
        if not name:
            return None
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception:  # whatever is wrong with a driver, a training does not depend on being measured
            return None
        with contextlib.suppress(pynvml.NVMLError, ValueError):
            if name.isdecimal():
                return cls(pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(name)), pid)
            return cls(pynvml, pynvml.nvmlDeviceGetHandleByUUID(name), pid)
        return None

    def figures(self) -> dict[str, float | None]:
        """What the driver tells of it, by the names of Usage; older and divided cards do not tell all."""
        nvml, handle = self._nvml, self._handle
        memory = self._told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        return {
            "gpu": self._told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100),
            "gpu_memory": float(memory.used) if memory else None,
            "gpu_memory_total": float(memory.total) if memory else None,
            "process_gpu_memory": self._told(self._of_process),
            "temperature": self._told(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
            "power": self._told(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            "power_limit": self._told(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
        }

    def _of_process(self) -> float | None:
        """None where the driver knows it by another number, as in a container."""
        running = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        found = next((one.usedGpuMemory for one in running if one.pid == self._pid), None)
        return None if found is None else float(found)

    def _told(self, ask: Callable[[], Known]) -> Known | None:
        try:
            return ask()
        except self._nvml.NVMLError:
            return None


@contextlib.contextmanager
def kept_in(folder: Path, gpu: str = "") -> Iterator[None]:
    """Meanwhile the usage of machine and process stands in the folder, measured by a thread of its own: a driver that
    hangs holds up nothing else. Only for the worker of the job in that folder.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_measure, args=(folder, gpu, ended), name="usage", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)
        with contextlib.suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


def _measure(folder: Path, gpu: str, ended: threading.Event) -> None:
    meter = UsageMeter(os.getpid(), gpu)
    while not ended.wait(EVERY):
        figures = {name: round(value, 4) for name, value in meter.read().to_json().items()}
        if not ended.is_set():
            with contextlib.suppress(OSError):  # a full disk: then it is not known for a while
                write_json(folder / FILE, {"at": time.monotonic(), **figures}, lasting=False)


def usage_in(folder: Path) -> Usage | None:
    """What the worker of a job measured last; None where that is long ago, or nothing is known."""
    kept = read_json(folder / FILE) or {}
    at = kept.pop("at", None)
    if not isinstance(at, (int, float)) or not 0 <= time.monotonic() - at <= OLD_AFTER:
        return None
    usage = filled(Usage, kept)
    return usage if usage.to_json() else None


def _busy(times: Any) -> float:
    """Seconds that a core was busy. That of guests is in that of the user already."""
    idle = times.idle + getattr(times, "iowait", 0.0)
    return float(sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))


def own_memory(info: Any) -> float:
    """Of a process, without what it shares with the files it has opened: the system counts those as free."""
    return max(0.0, float(info.rss - getattr(info, "shared", 0)))  # only Linux tells it


def _own_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _used_by_group(groups: Path) -> float | None:
    """Processor seconds of the container; None where it does not say."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = dict(line.split() for line in (groups / "cpu.stat").read_text().splitlines())
        return int(lines["usage_usec"]) / 1e6
    return None
