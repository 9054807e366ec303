"""`python -m qlora_app.other_adapters.unpickle PICKLE TARGET`: the tensors of a pickle as safetensors.

torch takes tensors only (`weights_only`), and this process has bounds of memory and time: whatever the file makes of
it, no other one is harmed.
"""

import os
import resource
import sys
from pathlib import Path

SECONDS = 240  # of a processor
MEMORY = 8  # times the file, beside what torch has


def main(pickle: str, target: str) -> None:
    import torch
    from safetensors.torch import save_file

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY * Path(pickle).stat().st_size + 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    tensors = torch.load(pickle, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(isinstance(one, torch.Tensor) for one in tensors.values()):
        raise SystemExit("it holds something else than tensors by their names")
    save_file({str(name): tensor.contiguous().clone() for name, tensor in tensors.items()}, target, {"format": "pt"})


if __name__ == "__main__":
    main(*sys.argv[1:3])
