"""Is bf16 faster than fp32 on this processor, for products of a model's own sizes? Measured once and remembered.

Processors with AMX multiply in bf16 several times faster, others with bf16 instructions not at all, and those without
hundreds of times slower; and a small model spends its time on everything but products. So a stand-in for one block with
its adapter is timed.
"""

import contextlib
import functools
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cards import Trial

TOKENS = 64  # enough for a product to be nearly as fast as it gets
WIDEST = 2048  # larger products are in the same proportion
RANK = 16
ROUNDS = 3
NAME = "model name"  # of the first processor in /proc/cpuinfo
HOPELESS = 4.0  # from here on nothing larger is tried: without instructions for it bf16 would take seconds


def trial_of(sizes: list[tuple[int, int]], kept: Path) -> Trial:
    """For a block whose linear layers have these (inputs, outputs): measured now, or read from the file `kept`.

    Measured anew with another processor, version of torch or sizes. A file that cannot be read or written
    costs the time of measuring again and nothing else.
    """
    import torch

    sizes = sorted({(min(inputs, WIDEST), min(outputs, WIDEST)) for inputs, outputs in sizes})
    instructions = os.environ.get("ONEDNN_MAX_CPU_ISA", "all")
    key = f"{_processor()} | {instructions} | torch {torch.__version__} | {sizes}"
    known = _read(kept)
    if key not in known:
        known[key] = list(measured(sizes))
        _write(kept, known)
    return Trial(*known[key])


def measured(sizes: list[tuple[int, int]]) -> Trial:
    """Both types in turn, the best of some rounds each. On one thread, whose time is its own however busy the machine
    is.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            small = _best([(256, 256)], 16)
            if small.bf16 > HOPELESS * small.fp32:
                return small
            return _best(sizes, TOKENS)
    finally:
        torch.set_num_threads(threads)


def _best(sizes: list[tuple[int, int]], tokens: int) -> Trial:
    import torch

    blocks = [_block(sizes, kind, tokens) for kind in (torch.float32, torch.bfloat16)]
    seconds: list[list[float]] = [[], []]
    for _ in range(ROUNDS + 1):
        for work, times in zip(blocks, seconds, strict=True):
            began = time.thread_time()
            work()
            times.append(time.thread_time() - began)
    fp32, bf16 = (max(1e-9, min(times[1:])) for times in seconds)  # the first round is for warming up
    return Trial(fp32=fp32, bf16=bf16)


def _block(sizes: list[tuple[int, int]], kind: Any, tokens: int) -> Callable[[], None]:
    """Forward and backward of linear layers with LoRA, and of as much around them as a block has (a norm and a gate for
    each).
    """
    import torch

    def numbers(*shape: int) -> Any:
        return torch.full(shape, 0.01, dtype=kind)

    layers = [(numbers(outputs, inputs), numbers(RANK, inputs), numbers(outputs, RANK)) for inputs, outputs in sizes]
    given = [(numbers(tokens, inputs), numbers(tokens, outputs)) for inputs, outputs in sizes]

    def work() -> None:
        for (weight, a, b), (x, gradient) in zip(layers, given, strict=True):
            wide = x.float()  # norms are computed in 32 bits whatever the type
            x = (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(kind)
            inside = x @ a.T
            y = torch.nn.functional.silu((x @ weight.T).addmm_(inside, b.T)) * gradient
            to_inside = y @ b
            (y @ weight).addmm_(to_inside, a)
            (y.T @ inside).float(), (to_inside.T @ x).float()

    return work


@functools.lru_cache(maxsize=1)
def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return f"{platform.processor()} {platform.machine()}"
    lines = [line.partition(":") for line in text.splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    every = facts.get("flags", facts.get("Features", "")).split()
    flags = [flag for flag in every if "bf16" in flag or "avx512" in flag]
    return " ".join([facts.get(NAME, platform.machine()), *sorted(flags)])


def _read(file: Path) -> dict[str, list[float]]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: times for key, times in known.items() if _is_trial(times)}


def _is_trial(times: object) -> bool:
    if not isinstance(times, list) or len(times) != 2:
        return False
    return all(isinstance(time, float) and 0 < time < 1e6 for time in times)


def _write(file: Path, known: dict[str, list[float]]) -> None:
    """Whole or not at all. Two at once lose one measurement, which is made again."""
    beside = file.with_name(f".{file.name}.{time.monotonic_ns()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(known, indent=1), encoding="utf-8")
        beside.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
