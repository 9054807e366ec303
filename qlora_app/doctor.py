"""What this machine can do: everything training rests on, tried out, with advice for what is not good.

What runs compiled code is tried in a process of its own: on a processor that lacks an instruction it would end this
one.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import __version__, hardware
from .base_models import models_below
from .base_models.cards import Card, compute_type
from .errors import UserError
from .formatting import gigabytes
from .hardware import usable_cores
from .hub.last_sent import last_sent
from .presets import Presets
from .settings import Settings
from .space import has_zero_gpu, persistent_storage, space_name

GOOD, LIMITED, BROKEN = "good", "limited", "broken"
PINS = Path(__file__).parent.parent / "requirements.txt"
NEEDED = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "gradio")
KERNELS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX512-BF16",
    "amx_bf16": "AMX-BF16",
    "asimd": "NEON",
    "bf16": "BF16",
}
LONGEST_WAIT = 3.0  # seconds for the network
LONGEST_SILENCE = 3600.0  # seconds since runs were sent to the Hub; it is looked for changes every five minutes
LONGEST_TRIAL = 300.0  # seconds; it takes eight, but a busy machine or a cold disk may be slow
ROOM_FOR_RUNS, ROOM_FOR_MODELS = 1e9, 10e9  # bytes
NF4_ERROR = 0.2  # rounding to NF4 changes the output of a layer by 0.09; a kernel that computes wrongly, by far more


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. "limited" works with less than it could; with "broken" nothing can be trained."""

    name: str
    level: str
    value: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, the quick things first. The last ones take some seconds."""
    yield from looked_at(settings)
    yield _network()
    yield from tried_out()


def looked_at(settings: Settings) -> Iterator[Finding]:
    """What a look tells at once: nobody is asked over a network, and nothing is tried."""
    yield _versions()
    yield _system()
    yield _processor()
    yield _main_memory()
    yield _home(settings)
    if space_name():
        yield _space(settings)
    yield _models_and_presets(settings)
    yield _downloads()


def can_train(findings: list[Finding]) -> bool:
    return all(finding.level != BROKEN for finding in findings)


def _versions() -> Finding:
    """The libraries against the versions this app was tested with."""
    pinned, here = _pins(), {}
    for name in NEEDED:
        try:
            here[name] = version(name)
        except PackageNotFoundError:
            return Finding(
                "Versions", BROKEN, f"{name} is not installed.", "Install everything: pip install -r requirements.txt"
            )
    value = ", ".join(
        [
            f"Guanaco Workshop {__version__}",
            f"Python {platform.python_version()}",
            *(f"{n} {v}" for n, v in here.items()),
        ]
    )
    other = [name for name, found in here.items() if name in pinned and found.split("+")[0] != pinned[name]]
    if other:
        named = ", ".join(f"{name} {pinned[name]}" for name in other)
        return Finding(
            "Versions", LIMITED, value, f"It was tested with {named}. Install them: pip install -r requirements.txt"
        )
    return Finding("Versions", GOOD, value)


def _pins() -> dict[str, str]:
    """{library: version} of requirements.txt, as far as it is for this Python; empty
    where the app was installed without it.
    """
    from packaging.requirements import Requirement

    lines = PINS.read_text(encoding="utf-8").splitlines() if PINS.exists() else []
    asked = [Requirement(line) for line in lines if "==" in line and not line.startswith("#")]
    return {
        one.name: str(one.specifier).removeprefix("==") for one in asked if one.marker is None or one.marker.evaluate()
    }


def _system() -> Finding:
    value = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if platform.system() not in ("Linux", "Darwin"):
        return Finding(
            "System", BROKEN, value, "Runs rest on file locks that only Linux and macOS have. On Windows use WSL 2."
        )
    return Finding("System", GOOD, value)


def _processor() -> Finding:
    """Name, usable cores, and the instructions that decide how fast a CPU learns."""
    flags, name = hardware.processor()
    kernels = [words for flag, words in KERNELS.items() if flag in flags]
    cores = usable_cores()
    usable = f"{cores} usable core" if cores == 1 else f"{cores} usable cores"
    value = ", ".join([f"{name}, {usable}", *kernels])
    if flags and platform.machine() in ("x86_64", "AMD64") and "avx2" not in flags:
        advice = "Without AVX2 a CPU learns several times more slowly. Train on another machine."
        return Finding("Processor", LIMITED, value, advice)
    if cores < 2:
        return Finding(
            "Processor", LIMITED, value, "With one core the page waits while a model learns. Give it two or more."
        )
    return Finding("Processor", GOOD, value)


def _main_memory() -> Finding:
    import psutil

    found, all_of_it = hardware.here(), psutil.virtual_memory()
    total, free = (found.total, found.free) if found.kind == "cpu" else (all_of_it.total, all_of_it.available)
    value = f"{gigabytes(total)}, {gigabytes(free)} of it free"
    if free < 1e9:
        return Finding(
            "Memory",
            BROKEN,
            value,
            "Even the starter needs about 1 GB. Close other programs, or give the container more.",
        )
    if free < 4e9:
        return Finding(
            "Memory", LIMITED, value, "Enough for the starter and models of some hundred million parameters."
        )
    return Finding("Memory", GOOD, value)


def _home(settings: Settings) -> Finding:
    """Can runs be kept where they are to be kept?"""
    try:
        settings.make_home()
        free = shutil.disk_usage(settings.home).free
    except (UserError, OSError) as error:
        return Finding("Home", BROKEN, str(settings.home), str(error))
    value = f"{settings.home}, {gigabytes(free)} free"
    if free < ROOM_FOR_RUNS:
        advice = "A run stops when the disk is full. Make room, or set QLORA_APP_HOME to another disk."
        return Finding("Home", LIMITED, value, advice)
    return Finding("Home", GOOD, value)


def _space(settings: Settings) -> Finding:
    """What outlives the sleep of a Space, and what it computes with."""
    name, keeps = space_name(), "Resume goes on with a training that its sleep or a restart ended."
    if has_zero_gpu():
        value = f"{name}, on ZeroGPU"
        return Finding("Space", LIMITED, value, "It lends a GPU for seconds only, so trainings run on the processor.")
    if storage := persistent_storage():
        return Finding("Space", GOOD, f"{name}, runs lie on {storage}", keeps)
    if settings.keep_runs:
        return _kept(settings, name, keeps)
    return Finding(
        "Space",
        LIMITED,
        f"{name}, nothing outlives a restart",
        "Runs are gone when it sleeps or is built anew. Give it storage at /data in its settings, or set "
        "QLORA_APP_KEEP_RUNS to a private dataset repository.",
    )


def _kept(settings: Settings, name: str, keeps: str) -> Finding:
    """Were the runs sent to their repository, and lately?"""
    sent, place = last_sent(settings), settings.keep_runs
    look = "Look at what the terminal says of it, and at QLORA_APP_KEEP_RUNS and QLORA_APP_HUB_TOKEN."
    if sent is None:
        return Finding("Space", LIMITED, f"{name}, nothing was sent to {place} yet", look)
    when = f"{datetime.fromtimestamp(sent, timezone.utc):%Y-%m-%d %H:%M} UTC"
    value = f"{name}, runs were last sent to {place} at {when}"
    is_late = time.time() - sent > LONGEST_SILENCE
    return Finding("Space", LIMITED, value, look) if is_late else Finding("Space", GOOD, value, keeps)


def _models_and_presets(settings: Settings) -> Finding:
    """What lies in the home and cannot be used."""
    models, (usable, broken) = models_below(settings.models), Presets(settings.presets).all()
    problems = [f"{folder.name}: {problem}" for folder, problem in models if problem]
    problems += [f"{name}: {problem}" for name, problem in broken.items()]
    whole = sum(problem is None for _, problem in models)
    value = f"{whole:,} of {len(models):,} own models, {len(usable):,} of {len(usable) + len(broken):,} presets"
    if problems:
        return Finding("Models and presets", LIMITED, f"{value} can be used", " ".join(problems[:3]))
    return Finding("Models and presets", GOOD, value)


def _downloads() -> Finding:
    """Where models of the Hub are kept, which may be another disk."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE)
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    value = f"{folder}, {gigabytes(free)} free"
    if not os.access(there, os.W_OK):
        return Finding("Downloads", LIMITED, value, "This folder cannot be written to. Set HF_HOME to one that can.")
    if free < ROOM_FOR_MODELS:
        advice = "A model of 7 billion parameters is a download of 13 GB. Make room, or set HF_HOME."
        return Finding("Downloads", LIMITED, value, advice)
    return Finding("Downloads", GOOD, value)


def _network() -> Finding:
    """One short question to the Hub.

    It is asked in a thread, because looking up a name has no time limit of its own.
    """
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    advice = "The starter, local folders and models that are already here can be trained all the same."
    if HF_HUB_OFFLINE:
        return Finding("Network", LIMITED, "switched off by HF_HUB_OFFLINE", advice)
    answer: list[str] = []
    asking = threading.Thread(target=lambda: answer.append(_ask(ENDPOINT)), daemon=True)
    asking.start()
    asking.join(LONGEST_WAIT)
    problem = answer[0] if answer else f"no answer within {LONGEST_WAIT:g} seconds"
    if problem:
        return Finding("Network", LIMITED, f"{ENDPOINT} cannot be reached: {problem}", advice)
    return Finding("Network", GOOD, f"{ENDPOINT} answers")


def _ask(address: str) -> str:
    """What is wrong with an address; "" when somebody answers there, whatever the answer is."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=LONGEST_WAIT):
            return ""
    except urllib.error.HTTPError:
        return ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def tried_out() -> Iterator[Finding]:
    """The GPU, bf16 and a 4-bit layer, as the process that tried them saw them."""
    try:
        ended = subprocess.run(
            [sys.executable, "-m", f"{__package__}.doctor"],
            capture_output=True,
            text=True,
            timeout=LONGEST_TRIAL,
            cwd=Path(__file__).parents[1],
        )
        seen = json.loads(ended.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        yield Finding(
            "4-bit layer",
            BROKEN,
            f"no result after {LONGEST_TRIAL:g} seconds",
            "Look at what else this machine is doing.",
        )
        return
    except (ValueError, IndexError):
        last = (ended.stderr.strip().splitlines() or [f"it ended with code {ended.returncode}"])[-1]
        yield Finding(
            "4-bit layer", BROKEN, last[:300], "Install torch and bitsandbytes again: pip install -r requirements.txt"
        )
        return
    yield gpu_finding(seen)
    if not seen["gpu"]:
        yield bf16_finding(seen["bf16_time"])
    yield layer_finding(seen)


def gpu_finding(seen: dict[str, Any]) -> Finding:
    """Is there a GPU, and can this torch use it?"""
    if gpu := seen["gpu"]:
        value = f"{gpu['name']}, {gigabytes(gpu['memory'])}, CUDA {gpu['cuda']}, compute capability {gpu['capability']}"
        if not gpu["bf16"]:
            major, _, minor = gpu["capability"].partition(".")
            decided = compute_type(Card(gpu["name"], (int(major), int(minor)), gpu["memory"]))
            return Finding("GPU", LIMITED, value, f"{decided.why} Leave base_model.compute_type at auto.")
        return Finding("GPU", GOOD, value)
    if shutil.which("nvidia-smi") and hardware.here().kind == "cuda":
        built = "built without CUDA"
        if seen["cuda"]:
            built = f"built for CUDA {seen['cuda']}"
        return Finding(
            "GPU",
            LIMITED,
            f"there is one, but torch {seen['torch']} is {built} and does not see it",
            "Install torch again without PIP_EXTRA_INDEX_URL, and check that the driver is as new as that CUDA.",
        )
    return Finding(
        "GPU",
        LIMITED,
        "none",
        "The starter takes a minute or two here, a model of a billion parameters hours. Larger ones want an NVIDIA "
        "GPU.",
    )


def bf16_finding(times: float) -> Finding:
    """`times`: how long a bf16 matrix product takes on this CPU, in those of fp32."""
    if times > 1:
        return Finding(
            "bf16 on the CPU",
            LIMITED,
            f"{times:.1f} times as slow as fp32, for want of AMX or other quick instructions",
            "Leave base_model.compute_type at auto, which computes in fp32 here.",
        )
    return Finding("bf16 on the CPU", GOOD, f"{1 / times:.1f} times as fast as fp32")


def layer_finding(seen: dict[str, Any]) -> Finding:
    """Does a 4-bit layer compute what it should, forwards and backwards?"""
    worst = max(
        (seen["forward_error"], seen["backward_error"]), key=lambda error: float("inf") if error != error else error
    )
    if not worst < NF4_ERROR:  # also where it is not a number
        return Finding(
            "4-bit layer",
            BROKEN,
            f"computes wrongly: its result is off by {worst:.0%}, and rounding explains 9%",
            "Install bitsandbytes again: pip install -r requirements.txt. Until then train with "
            "base_model.precision=fp32.",
        )
    return Finding("4-bit layer", GOOD, f"forward and backward agree with 32-bit to {worst:.0%}, which is the rounding")


def try_out() -> dict[str, Any]:
    """What torch and bitsandbytes do here, in figures. Loads both."""
    import torch
    from bitsandbytes.nn import Linear4bit

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain = torch.nn.Linear(256, 128, bias=False)
    layer = Linear4bit(256, 128, bias=False, compute_dtype=torch.float32, quant_type="nf4", compress_statistics=True)
    layer.load_state_dict(plain.state_dict())
    plain, layer = plain.to(device), layer.to(device)
    inputs, wanted = torch.randn(64, 256, device=device, requires_grad=True), torch.randn(64, 128, device=device)
    outputs = [part(inputs) for part in (plain, layer)]
    gradients = [torch.autograd.grad(output, inputs, wanted)[0] for output in outputs]
    forward, backward = (float((b - a).detach().norm() / a.detach().norm()) for a, b in (outputs, gradients))
    gpu = None
    if device == "cuda":
        facts = torch.cuda.get_device_properties(0)
        gpu = {
            "name": facts.name,
            "memory": facts.total_memory,
            "cuda": torch.version.cuda,
            "capability": f"{facts.major}.{facts.minor}",
            "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
        }
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "gpu": gpu,
        "forward_error": forward,
        "backward_error": backward,
        "bf16_time": _product_time(torch.bfloat16) / _product_time(torch.float32),
    }


def _product_time(kind: Any) -> float:
    """Seconds of a matrix product on the CPU at the size of a small model's layer; the best of five."""
    import time

    import torch

    a, b = torch.randn(512, 1024).to(kind), torch.randn(1024, 1024).to(kind)
    seconds = []
    for _ in range(6):  # the first one is for warming up
        began = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


if __name__ == "__main__":
    print(json.dumps(try_out()))
