"""Guanaco Workshop: point-and-click fine-tuning of language models, with the proof that it worked."""

import importlib
import logging
import os
import sys
import types
from typing import Any

__version__ = "0.1.0"

# Read when torch is first loaded, which every module of this package does later. An idle OpenMP thread spins for long
# by default: two busy processes on the same cores (a training and a chat) then slow each other down five-fold and more.
# Without spinning the threads of a small model fall asleep at every operation, and a training alone takes twice as
# long. So: briefly, then asleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # GNU's runtime, torch's on Linux; the line above is for the others
# For processes that train: glibc gives each larger tensor back to the system and takes it again, page by page, in the
# next operation. The very largest, such as the logits of a large vocabulary, it may: kept, they leave holes that
# nothing else fits into, and a step took up to twice the memory. Read when a process starts, so it goes into the
# environment of those that are started.
GIVEN_BACK = 2**27  # bytes of a tensor, from which on
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(GIVEN_BACK),
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_TOP_PAD_": "67108864",
}
# Terminals and logs are read by people: on some processors bitsandbytes advises to install kernels from the network, at
# import.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


# ---- from Python: `import qlora_app; qlora_app.train("starter")`. What is offered lies in api.py, which is imported
# when it is first asked for: the workers and the commands need none of it. Four of the names are those of rooms as
# well, so these modules are made callable when they are imported: `qlora_app.train` is the room, and called it trains.
OFFERED = (
    *("Run", "Sweep", "ask", "compare", "evaluate", "judge", "merge", "plan", "ratings", "run", "runs", "sweep"),
    "train",
)


def _offered(name: str) -> Any:
    return getattr(importlib.import_module(f"{__name__}.api"), name)


class _Room(types.ModuleType):
    """A room whose name is also that of something offered."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        return _offered(self.__name__.rpartition(".")[2])(*given, **named)


class _Package(types.ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if name in OFFERED and isinstance(value, types.ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name in OFFERED:
            return _offered(name)
        raise AttributeError(name, name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *OFFERED})


sys.modules[__name__].__class__ = _Package
