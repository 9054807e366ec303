"""The other processes of a training, as its worker starts them, watches them and ends them.

The worker is the first of them, as torchrun's would be, and tells the others what torchrun would. It starts them itself
since a run has one worker whose lock is its proof of life: a stop, a last word and a warm start are then the same for
one process and for many.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import Problem, Stopped, UserError
from ..hardware import accelerators, usable_cores
from ..jobs.failures import is_out_of_memory
from ..recipe import Recipe
from ..runs import Run, RunWriter
from ..storage.files import open_for_writing
from .failures import NotANumber
from .world import World, joined, open_store, variables

NO_MEMORY = 12  # the exit code of one that had too little memory
LOOK_EVERY = 0.5  # seconds
LEAVES_WITHIN = 20.0  # seconds in which the others must notice by themselves that one has died
_OF_LOG = 400  # characters

Process = subprocess.Popen[bytes]


def own_devices(count: int) -> list[str]:
    """The GPUs of `count` processes, of which this one sees the first from now on; none where there are too few.
    To be asked before torch looks at any.
    """
    devices = accelerators()
    if count == 1 or len(devices) < count:
        return []
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[0]
    return devices[:count]


class Ranks:
    """All processes but the first."""

    def __init__(self, out: RunWriter, size: int, devices: Sequence[str] = ()) -> None:
        """devices: the GPU of each process, the first one's too; none on a CPU."""
        self.out, self.size, self.devices = out, size, devices
        self.processes: list[Process] = []
        self._over = threading.Event()

    @contextlib.contextmanager
    def at_work(self, recipe: Recipe, resume_from: Path | None, most_at_once: int) -> Iterator[Callable[[], World]]:
        """Meanwhile they train beside this one, which joins them once it is ready; afterwards there are none.

        Raises UserError where one of them dies, MemoryError where it had too little memory.
        """
        if self.size == 1:
            yield World
            return
        store, threads = open_store(), torch.get_num_threads()
        copies = tempfile.mkdtemp(prefix="ranks-")  # they are killed, and then remove nothing
        told = {
            "folder": str(self.out.folder),
            "recipe": recipe.model_dump(mode="json"),
            "resume_from": str(resume_from or ""),
            "most_at_once": most_at_once,
            "copies": copies,
        }
        watch = threading.Thread(target=self._watch, name="ranks", daemon=True)
        self._over.clear()
        try:
            self.processes = [self._started(World(rank, self.size), store.port, told) for rank in range(1, self.size)]
            watch.start()
            torch.set_num_threads(self._threads())
            with contextlib.ExitStack() as world:
                yield lambda: world.enter_context(joined(World(0, self.size), store.port, store))
        except Exception as error:
            self._blame(error)
            raise
        finally:
            self._over.set()
            torch.set_num_threads(threads)
            for process in self.processes:
                process.kill()
                process.wait()
            shutil.rmtree(copies, ignore_errors=True)

    def _threads(self) -> int:
        return max(1, usable_cores() // self.size)

    def _started(self, world: World, port: int, told: dict[str, Any]) -> Process:
        seen = {"CUDA_VISIBLE_DEVICES": self.devices[world.rank]} if self.devices else {}
        threads = {"OMP_NUM_THREADS": str(self._threads())}
        log = open_for_writing(log_of(self.out.run, world.rank), os.O_WRONLY | os.O_TRUNC)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "qlora_app.train.rank"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **variables(world, port), **threads, **seen},
            )
        finally:
            os.close(log)
        assert process.stdin is not None, "it was opened with the process"
        with contextlib.suppress(BrokenPipeError):  # it died meanwhile, which is noticed
            process.stdin.write(json.dumps(told).encode() + b"\n")
            process.stdin.flush()  # left open: its end tells that this process has ended
        return process

    def _dead(self) -> tuple[int, int] | None:
        """(number, exit code) of the first that ended otherwise than well; None where there is none."""
        for rank, process in enumerate(self.processes, start=1):
            if process.poll():
                return rank, process.returncode
        return None

    def _blame(self, error: Exception) -> None:
        """What this process failed with is the end of another one, if one has died."""
        if isinstance(error, UserError | Stopped | NotANumber) or is_out_of_memory(error):
            return
        until = time.monotonic() + LOOK_EVERY * 4  # a connection breaks a moment before its process is gone
        while (dead := self._dead()) is None and time.monotonic() < until:
            time.sleep(0.05)
        if dead is None:
            return
        if dead[1] == NO_MEMORY:
            raise MemoryError("out of memory in another process") from error
        raise UserError.of(self._words(*dead)) from error

    def _words(self, rank: int, code: int) -> Problem:
        last = _last_line(log_of(self.out.run, rank))
        return Problem(
            "ranks.died",
            "Process {rank} of {size} ended with exit code {code}, and the training with it. Its last line: {last} "
            "All of it is in {log}. What was saved is kept; Resume goes on from there.",
            rank=rank + 1,
            size=self.size,
            code=code,
            last=last,
            log=log_of(self.out.run, rank).name,
        )

    def _watch(self) -> None:
        """End this process where another one has died and this one waits for it for ever."""
        while not self._over.wait(LOOK_EVERY):
            dead = self._dead()
            if dead is None or self._over.wait(LEAVES_WITHIN):
                continue
            words = self._words(*dead)
            print(f"failed: {words}", flush=True)
            self.out.end("failed", words)
            for process in self.processes:
                process.kill()
            os._exit(1)


def log_of(run: Run, rank: int) -> Path:
    """What the process of this number printed, counted from 0."""
    return run.folder / f"log.rank{rank}.txt"


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][-_OF_LOG:] if lines else "-"
