"""The other processes of a training, as its worker has them started, watches them and ends them.

The worker is the first of them, as torchrun's would be, and tells the others what torchrun would. It starts them itself
since a run has one worker whose lock is its proof of life: a stop, a last word and a warm start are then the same for
one process and for many. Those of other machines are started by `join.py` there.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from ..errors import Problem, Stopped, UserError
from ..jobs.failures import is_out_of_memory
from ..place import Place
from ..recipe import Recipe
from ..runs import RunWriter
from .failures import NotANumber
from .nodes import Nodes
from .processes import LOOK_EVERY, NO_MEMORY, Dead, Processes
from .world import World, joined, open_store

LEAVES_WITHIN = 20.0  # seconds in which the others must notice by themselves that one has died


class Ranks:
    """All processes but the first."""

    def __init__(self, out: RunWriter, place: Place, devices: Sequence[str] = ()) -> None:
        """place: with the number of processes of each node. devices: the GPU of each process of this machine, the first
        one's too; none on a CPU.
        """
        self.out, self.size = out, place.nodes * place.processes
        self.here = Processes(out.run, place.processes, devices)
        self.others = Nodes(out, place)
        self._over = threading.Event()

    @contextlib.contextmanager
    def at_work(self, recipe: Recipe, resume_from: Path | None, most_at_once: int) -> Iterator[Callable[[], World]]:
        """Meanwhile they train beside this one, which joins them once it is ready; afterwards there are none.

        Raises UserError where one of them dies, MemoryError where it had too little memory.
        """
        if self.size == 1:
            yield World
            return
        network = self.others.network
        store, threads = open_store(network.address), torch.get_num_threads()
        task = {
            "recipe": recipe.model_dump(mode="json"),
            "resume_from": resume_from.name if resume_from else "",
            "most_at_once": most_at_once,
        }
        watch = threading.Thread(target=self._watch, name="ranks", daemon=True)
        self._over.clear()
        try:
            self.here.start(range(1, self.here.each), self.size, store.port, network, task)
            self.others.start(self.size, store.port, task)
            watch.start()
            torch.set_num_threads(self.here.threads)
            with contextlib.ExitStack() as world:
                yield lambda: world.enter_context(joined(World(0, self.size), store.port, store, network))
        except Exception as error:
            self._blame(error)
            raise
        finally:
            self._over.set()
            torch.set_num_threads(threads)
            self.here.end()
            self.others.rest()

    def _dead(self) -> Dead | Problem | None:
        """A process that ended otherwise than well, or the words for a machine that has gone; None where there is
        none.
        """
        return self.here.dead() or self.others.dead()

    def _blame(self, error: Exception) -> None:
        """What this process failed with is the end of another one, if one has died."""
        if isinstance(error, UserError | Stopped | NotANumber) or is_out_of_memory(error):
            return
        # A connection breaks a moment before its process is gone, and that is told over the network.
        until = time.monotonic() + (LEAVES_WITHIN if self.others.count else LOOK_EVERY * 4)
        while (dead := self._dead()) is None and time.monotonic() < until:
            time.sleep(0.05)
        if dead is None:
            return
        if isinstance(dead, Dead) and dead.code == NO_MEMORY:
            raise MemoryError("out of memory in another process") from error
        raise UserError.of(self._words(dead)) from error

    def _words(self, dead: Dead | Problem) -> Problem:
        return dead if isinstance(dead, Problem) else dead.words(self.size)

    def _watch(self) -> None:
        """End this process where another one has died and this one waits for it for ever."""
        while not self._over.wait(LOOK_EVERY):
            dead = self._dead()
            if dead is None or self._over.wait(LEAVES_WITHIN):
                continue
            words = self._words(dead)
            print(f"failed: {words}", flush=True)
            self.out.end("failed", words)
            self.here.kill()
            os._exit(1)
