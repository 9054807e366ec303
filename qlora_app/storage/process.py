"""A process of this machine, named in a file so that it is not taken for a later one of the same number."""

from pathlib import Path

from .files import write_json
from .reading import read_json


class ProcessFile:
    """{pid, started} of one process. Written by whoever started it, read by anybody."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, pid: int) -> None:
        write_json(self.path, {"pid": pid, "started": process_start(pid)})

    def exists(self) -> bool:
        return self.path.exists()

    def written_at(self) -> float | None:
        """Seconds since the epoch; None where no process was named yet."""
        try:
            return self.path.stat().st_mtime
        except OSError:
            return None

    def is_alive(self) -> bool | None:
        """Is the named process the one that was started, and does it still run? None where the file names none."""
        known = read_json(self.path) or {}
        if "pid" not in known:
            return None
        pid, started = known["pid"], known.get("started")
        if not isinstance(pid, int) or not isinstance(started, int | float):
            return None
        return process_start(pid) == started


def process_start(pid: int) -> float | None:
    """When process `pid` was started; None if there is none, or only its remains."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except (psutil.Error, ValueError, OverflowError):  # a number that no process has
        return None
