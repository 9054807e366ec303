"""What the benchmarks share: a machine in words, whether it is busy, the app, a model of a given size, a line in
RESULTS.md.
"""

import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("RESULTS.md")
BUSY = 20  # per cent of all cores that others may use while we measure
sys.path.insert(0, str(ROOT))

import qlora_app  # noqa: E402, F401  its settings of other libraries hold before they are imported


def machine() -> str:
    """Kind of machine, not its name: cores, processor, GPU."""
    processor = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        processor = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            processor,
        )
    gpu = ""
    if shutil.which("nvidia-smi"):
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True
        )
        gpu = ", " + asked.stdout.splitlines()[0] if asked.returncode == 0 and asked.stdout else ""
    return f"{os.cpu_count()} cores, {processor}{gpu}, Python {platform.python_version()}"


def used_by_others() -> float:
    """Per cent of all cores in use during this second. To be asked before anything of ours runs."""
    return psutil.cpu_percent(interval=1.0)


def interleaved(rounds: int, **measures: Callable[[], float]) -> dict[str, list[float]]:
    """Each measure once a round, in turn: what slows the machine down for a while slows all of them. Returns all
    values, in order.
    """
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            values[name].append(measure())
    return values


def synchronize() -> None:
    """Wait until the GPU, if there is one, has done what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratio(above: list[float], below: list[float]) -> float:
    """The middle of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def spread(values: list[float], form: str = "{:.2f}") -> str:
    """Middle, smallest and largest."""
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def record(section: str, figures: dict[str, str], others: float, keep: bool = True, results: Path = RESULTS) -> None:
    """Add a line to the table of a section of RESULTS.md, unless others were using the machine or it was a quick look
    only.

    Raises ValueError where the table has other columns than date, machine and these: its words explain these and no
    others.
    """
    before, heading, rest = results.read_text(encoding="utf-8").partition(f"\n## {section}\n")
    mine, following, after = rest.partition("\n## ")
    lines = mine.rstrip().splitlines()
    if f"| date | machine | {' | '.join(figures)} |" not in lines:
        raise ValueError(f"{results.name} has no table for {section} with the columns {', '.join(figures)}.")
    if others > BUSY or not keep:
        why = "It was a quick look" if not keep else f"Others used {others:.0f} % of the machine"
        print(f"{why}: nothing is added to {results.name}.")
        return
    lines.append(f"| {date.today()} | {machine()} | {' | '.join(figures.values())} |")
    results.write_text(before + heading + "\n".join(lines) + "\n" + following + after, encoding="utf-8")


def seconds_until(happened: Callable[[], object], most: float = 300) -> float:
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > most:
            raise TimeoutError(f"nothing happened for {most} seconds")
        time.sleep(0.005)
    return time.monotonic() - began


class App:
    """`python app.py` in a home of its own, on a port that nobody uses."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        environment = os.environ | {
            "QLORA_APP_HOME": str(home),
            "QLORA_APP_PORT": str(self.port),
            "HF_HUB_OFFLINE": "1",
        }
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # who ends a measurement ends with it what it has started
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("app.py ended by itself; `python app.py` says why")
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


def make_model(folder: Path, hidden: int = 1024, layers: int = 4) -> Path:
    """A LLaMA of random weights with the starter's tokenizer, in a folder. How fast it learns says nothing, how fast it
    is does.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    from qlora_app.base_models import ModelChoice, load_tokenizer

    tokenizer = load_tokenizer(ModelChoice())
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        vocab_size=len(tokenizer),
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    logging.disable_progress_bar()
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return add_tokenizer(folder)


def add_tokenizer(folder: Path) -> Path:
    """The starter's, beside a model made from a configuration."""
    from qlora_app import starter

    for file in Path(starter.BASE).iterdir():
        if file.name.startswith(("tokenizer", "chat_template")):
            shutil.copy(file, folder)
    return folder
