"""Processes of a training on this machine, which whoever starts them watches and ends."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Problem
from ..hardware import accelerators, usable_cores
from ..runs import Run
from ..storage.files import open_for_writing
from .meeting import Network, variables

NO_MEMORY = 12  # the exit code of one that had too little memory
LOOK_EVERY = 0.5  # seconds
_OF_LOG = 400  # characters
_PACKAGE_PARENT = str(Path(__file__).parents[2])


class Dead(NamedTuple):
    """A process that ended otherwise than well."""

    rank: int
    code: int
    last_line: str

    def words(self, size: int) -> Problem:
        return Problem(
            "ranks.died",
            "Process {rank} of {size} ended with exit code {code}, and the training with it. Its last line: {last} "
            "All of it is in {log}. What was saved is kept; Resume goes on from there.",
            rank=self.rank + 1,
            size=size,
            code=self.code,
            last=self.last_line,
            log=log_name(self.rank),
        )


def devices_for(count: int) -> list[str]:
    """The GPUs of so many processes; none where there are too few."""
    devices = accelerators()
    return devices[:count] if len(devices) >= count else []


def own_devices(count: int) -> list[str]:
    """The same, of which this process sees the first from now on. To be asked before torch looks at any."""
    devices = devices_for(count)
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[0]
    return devices


class Processes:
    """Those that one program starts on its machine, of which `each` share a training. The worker starts one fewer, for
    it is itself the first.
    """

    def __init__(self, run: Run, each: int, devices: Sequence[str]) -> None:
        """devices: the GPU of each process; none on a CPU."""
        self.run, self.each, self.devices = run, each, devices
        self._started: dict[int, subprocess.Popen[bytes]] = {}
        self._copies: Path | None = None

    @property
    def threads(self) -> int:
        """Of each."""
        return max(1, usable_cores() // self.each)

    def start(self, ranks: range, size: int, port: int, network: Network, task: Mapping[str, Any]) -> None:
        """So many of the `size` processes. task: recipe, most_at_once, and resume_from, the name of a checkpoint."""
        self._copies = Path(tempfile.mkdtemp(prefix="ranks-"))  # they are killed, and then remove nothing
        saved = task["resume_from"]
        told = {
            **task,
            "folder": str(self.run.folder),
            "resume_from": str(self.run.checkpoints / saved) if saved else "",
            "copies": str(self._copies),
        }
        for rank in ranks:
            self._started[rank] = self._process(rank, variables(rank, size, port, network), told)

    def dead(self) -> Dead | None:
        """The first that ended otherwise than well; None where there is none."""
        for rank, process in self._started.items():
            if process.poll():
                return Dead(rank, process.returncode, _last_line(log_of(self.run, rank)))
        return None

    def end(self) -> None:
        for process in self._started.values():
            process.kill()
            process.wait()
        self._started.clear()
        if self._copies is not None:
            shutil.rmtree(self._copies, ignore_errors=True)

    def kill(self) -> None:
        """From another thread, where this process is about to end itself."""
        for process in list(self._started.values()):
            process.kill()

    def _process(self, rank: int, where: dict[str, str], told: dict[str, Any]) -> subprocess.Popen[bytes]:
        seen = {"CUDA_VISIBLE_DEVICES": self.devices[rank % self.each]} if self.devices else {}
        paths = [_PACKAGE_PARENT, *filter(None, [os.environ.get("PYTHONPATH")])]
        more = {"OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": os.pathsep.join(paths)}
        log = open_for_writing(log_of(self.run, rank), os.O_WRONLY | os.O_TRUNC)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "qlora_app.train.rank"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **where, **more, **seen},
            )
        finally:
            os.close(log)
        assert process.stdin is not None, "it was opened with the process"
        with contextlib.suppress(BrokenPipeError):  # it died meanwhile, which is noticed
            process.stdin.write(json.dumps(told).encode() + b"\n")
            process.stdin.flush()  # left open: its end tells that this process has ended
        return process


def log_of(run: Run, rank: int) -> Path:
    """What the process of this number printed, counted from 0."""
    return run.folder / log_name(rank)


def log_name(rank: int) -> str:
    return f"log.rank{rank}.txt"


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][-_OF_LOG:] if lines else "-"
