"""Is what the page says of memory what a training takes?  make memory

Real workers train a step or two of models made from configurations: sizes, vocabularies, methods, precisions, lengths.
What each takes is read from the kernel (/proc/PID/status) a hundred times a second, what is its own and what is mapped
from files apart, and set against the estimate of `qlora_app/memory.py`. Prints the table and adds the smallest and the
largest ratio, with date and machine, to RESULTS.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measuring import ROOT, add_tokenizer, record

from qlora_app import KEEP_MEMORY
from qlora_app.base_models import facts_of_folder
from qlora_app.base_models.shapes import shapes_of
from qlora_app.memory import need
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.training_data import import_file

GB = 1e9
EVERY = 0.01  # seconds between two looks
NO_DROPOUT = {"name": "lora", "rank": 16, "dropout": 0.0}


@dataclass(frozen=True)
class Case:
    """A model made from its configuration and a recipe on it; every example is as long as allowed."""

    hidden: int
    layers: int
    vocabulary: int
    tied: bool = True
    stored: str = "bf16"  # in which type its files hold it
    precision: str = "nf4"
    method: dict[str, Any] = field(default_factory=lambda: dict(NO_DROPOUT))
    length: int = 512
    batch: int = 1
    packing: bool = True
    checkpointing: str = "off"
    compute_type: str = "fp32"  # said, so that the machine's own choice does not decide

    @property
    def title(self) -> str:
        """What differs from the usual, in a few words."""
        words = [
            f"{self.hidden} x {self.layers}",
            f"{self.vocabulary // 1000}k{'' if self.tied else ' untied'}",
            self.method["name"],
            f"{self.precision} of {self.stored}",
            f"{self.batch} x {self.length}",
        ]
        words += ["" if self.packing else "padded", "checkpointed" if self.checkpointing == "on" else ""]
        return ", ".join(filter(None, words))


QUICK = (
    Case(256, 2, 4096),
    Case(512, 4, 32000, length=256, precision="fp32"),
    Case(512, 4, 32000, tied=False, batch=2, length=256),
)
TABLE = (
    *QUICK,
    Case(256, 8, 4096, method=NO_DROPOUT | {"dropout": 0.05}),
    Case(512, 8, 32000),
    Case(512, 8, 32000, stored="fp32"),
    Case(512, 8, 32000, packing=False),
    Case(512, 8, 32000, length=1024, checkpointing="on"),
    Case(512, 4, 4096, length=2048),
    Case(256, 2, 152_000, length=256),
    Case(256, 2, 152_000, precision="bf16", compute_type="bf16"),
    Case(512, 6, 32000, method={"name": "ia3"}),
    Case(512, 6, 32000, method={"name": "adalora"}),
    Case(512, 6, 32000, method={"name": "meft"}),
    Case(512, 6, 32000, method={"name": "qalora"}, precision="bf16"),
    Case(512, 6, 32000, precision="int8"),
    Case(1024, 8, 32000, tied=False),
    Case(1024, 8, 32000, precision="fp32", stored="fp32"),
    Case(1024, 6, 152_000, length=256),
    Case(2048, 4, 32000, tied=False, length=256),
    Case(2048, 4, 32000, precision="bf16", compute_type="bf16", length=256),
)


@dataclass
class Taken:
    """Bytes a worker had at the most: its own, mapped from files, both at one moment."""

    own: int = 0
    mapped: int = 0
    both: int = 0

    def look(self, pid: int) -> None:
        """The kernel itself keeps the peak of both; a peak of one of them between two looks is missed.

        Raises OSError when there is no such process any more.
        """
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        sizes = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.startswith(("Rss", "VmHWM"))}
        if not sizes:  # it has ended, and nobody has asked how yet
            return
        self.own = max(self.own, sizes["RssAnon"] + sizes["RssShmem"])
        self.mapped = max(self.mapped, sizes["RssFile"])
        self.both = max(self.both, sizes["VmHWM"])


def make_model(case: Case, folder: Path) -> Path:
    """A LLaMA of that shape with random weights and the starter's tokenizer, which knows fewer words than the model has
    rows.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = LlamaConfig(
        hidden_size=case.hidden,
        intermediate_size=case.hidden * 11 // 4,
        num_hidden_layers=case.layers,
        num_attention_heads=case.hidden // 64,
        vocab_size=case.vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=case.tied,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype({"bf16": torch.bfloat16, "fp32": torch.float32}[case.stored])
    try:
        LlamaForCausalLM(config).save_pretrained(folder)
    finally:
        torch.set_default_dtype(before)
    return add_tokenizer(folder)


def recipe_of(case: Case, model: Path, home: Path) -> Recipe:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Tell me {n}."},
                {"role": "assistant", "content": "Once upon a time. " * 1000},
            ]
        }
        for n in range(24)
    ]
    (home / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    base = {"source": "folder", "id": str(model), "precision": case.precision, "compute_type": case.compute_type}
    training = {
        "max_steps": 2,
        "batch_size": case.batch,
        "evaluations": 1,
        "measured_examples": 2,
        "samples": 0,
        "checkpoints": 1,
        "scored_questions": 0,
        "max_length": case.length,
        "packing": case.packing,
        "optimizer": "adamw_torch",
        "gradient_checkpointing": case.checkpointing,
    }
    return Recipe.from_dict(
        {
            "base_model": base,
            "method": case.method,
            "training": training,
            "dataset": {"source": "file", "id": import_file(home / "long.jsonl", home / "data", "long.jsonl")},
        }
    )


def take(case: Case, folder: Path) -> tuple[Any, Taken]:
    """(what was estimated, what the worker took). Raises RuntimeError with what the run said if it does not finish."""
    model = make_model(case, folder / "model")
    recipe = recipe_of(case, model, folder)
    run = RunStore(folder / "runs").create(recipe)
    facts = facts_of_folder(model)
    estimate = need(recipe, shapes_of(facts.config, facts.parameters), "cpu")
    environment = {
        **KEEP_MEMORY,
        **os.environ,
        "QLORA_APP_HOME": str(folder),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    taken = Taken()
    with open(folder / "said.txt", "w+") as said:
        worker = subprocess.Popen(
            [sys.executable, "-m", "qlora_app.worker", str(run.folder)],
            cwd=ROOT,
            stdout=said,
            stderr=said,
            env=environment,
        )
        while worker.poll() is None:
            taken.look(worker.pid)
            time.sleep(EVERY)
        if worker.returncode:
            said.seek(0)
            raise RuntimeError(f"{case.title}: {run.status().sentence}\n{said.read()[-2000:]}")
    return estimate, taken


def ratios(estimate: Any, taken: Taken) -> tuple[float, float]:
    """Estimated against taken: with what is mapped from files, and the worker's own alone."""
    return estimate.total / taken.both, (estimate.total - estimate.mapped) / taken.own


def row(case: Case, estimate: Any, taken: Taken) -> str:
    whole, own = ratios(estimate, taken)
    return (
        f"| {case.title} | {estimate.total / GB:.2f} | {taken.both / GB:.2f} | {whole:.2f} | "
        f"{(estimate.total - estimate.mapped) / GB:.2f} | {taken.own / GB:.2f} | {own:.2f} |"
    )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--quick", action="store_true", help="the first three only; nothing is recorded")
    ask.add_argument("--only", type=int, nargs="*", help="these rows of the table, counted from 0; nothing is recorded")
    given, found, largest = ask.parse_args(), [], 0
    cases = QUICK if given.quick else [TABLE[place] for place in given.only] if given.only else TABLE
    print(
        "| model and recipe | said GB | taken GB | ratio | said without files | taken without files | ratio |\n|"
        + "---|" * 7
    )
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            estimate, taken = take(case, Path(folder))
        found.append(ratios(estimate, taken))
        print(row(case, estimate, taken), flush=True)
        largest = max(largest, taken.both)
    whole, own = zip(*found, strict=True)
    figures = {
        "trainings": str(len(found)),
        "said / taken": f"{min(whole):.2f} to {max(whole):.2f}",
        "said / taken, own": f"{min(own):.2f} to {max(own):.2f}",
        "largest, GB": f"{largest / GB:.1f}",
    }
    record("memory", figures, others=0.0, keep=cases is TABLE)  # memory is the same however busy the machine is


if __name__ == "__main__":
    main()
