"""How fast are LLaMA-Factory and plain TRL at the same work?  make peers

The same base in NF4, the same rows of mixed lengths, the same rank and batch, each tool as it comes. LLaMA-Factory has
an environment of its own in the user's cache, made the first time; TRL runs in ours. Each is launched from cold, ours
by the standby too. Prints examples a second and seconds from launch to the end of the first step, and adds them, with
date and machine, to RESULTS.md.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from measuring import make_model, record, seconds_until, used_by_others

from qlora_app.launch.local import launch
from qlora_app.launch.queue import Supervisor
from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore
from qlora_app.training_data import DatasetChoice, import_file

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "guanaco-workshop" / "peers"
LLAMA_FACTORY, TRL = "0.9.5", "1.16.0"
UNMATCHED = {
    "torch",
    "torchaudio",
    "torchvision",
}  # torch is ours; the others need builds made for it, and text needs neither
ROWS, LENGTH, BATCH, RANK = 160, 512, 8, 16


@dataclass(frozen=True)
class Pace:
    """What was seen of one training from outside."""

    to_first_step: float  # seconds from launch
    examples_a_second: float  # from the second step on


def follow(began: float, steps_done: Callable[[], int], steps: int) -> Pace:
    times = {}
    for step in (1, 2, steps):
        seconds_until(lambda step=step: steps_done() >= step)
        times[step] = time.monotonic()
    return Pace(times[1] - began, BATCH * (steps - 2) / (times[steps] - times[2]))


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


# ---- the work


def make_rows(home: Path) -> None:
    """Answers as long as people's are: most are short, some very long (log-normal, about 40 tokens in the middle)."""
    chance = random.Random(0)
    lengths = [min(45, max(1, round(chance.lognormvariate(1.4, 0.8)))) for _ in range(ROWS)]  # sentences of nine tokens
    rows = [
        {
            "instruction": f"Tell me story number {n}.",
            "input": "",
            "output": " ".join(["Once upon a time there was a lamp."] * length),
        }
        for n, length in enumerate(lengths)
    ]
    (home / "rows.json").write_text(json.dumps(rows))


def ours(home: Path, model: Path, steps: int) -> Recipe:
    data = DatasetChoice(source="file", id=import_file(home / "rows.json", home / "data", "rows.json"))
    return Recipe.from_dict(
        {
            "base_model": {"source": "folder", "id": str(model), "precision": "nf4", "compute_type": "fp32"},
            "dataset": data.model_dump(),
            "method": {"rank": RANK, "alpha": 2 * RANK, "dropout": 0.0},
            "training": {
                "max_steps": steps,
                "batch_size": BATCH,
                "learning_rate": 1e-3,
                "scheduler": "constant",
                "optimizer": "adamw_torch",
                "max_length": LENGTH,
                "evaluations": 0,
                "samples": 0,
                "checkpoints": 0,
                "scored_questions": 0,
            },
        }
    )


def by_us_cold(store: RunStore, recipe: Recipe) -> Pace:
    run, began = store.create(recipe), time.monotonic()
    worker = launch(run)
    pace = follow(began, lambda: len(run.metrics()[0]), recipe.training.max_steps)
    worker.wait()
    return _checked(run, pace)


def by_us_warm(store: RunStore, recipe: Recipe) -> Pace:
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        supervisor.wait_until_ready()
        run, began = store.create(recipe), time.monotonic()
        run.request("start")
        supervisor.wake()
        pace = follow(began, lambda: len(run.metrics()[0]), recipe.training.max_steps)
        seconds_until(lambda: run.status().has_ended)
        return _checked(run, pace)
    finally:
        supervisor.close()


def _checked(run: Run, pace: Pace) -> Pace:
    if run.status().state != "done":
        raise RuntimeError(f"{run.status().sentence}\n{run.log_tail()}")
    return pace


# ---- theirs


def outside(command: list[str], log: Path, steps: int, **environment: str) -> Pace:
    """Another program that adds a line to `log` at each step."""
    theirs = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env=theirs | {"HF_HUB_OFFLINE": "1"} | environment
        )

        def steps_done() -> int:
            done = lines_in(log)
            if process.poll() is not None and done < steps:
                said.seek(0)
                raise RuntimeError(
                    f"{' '.join(command)} ended with {process.returncode}:\n{said.read().decode()[-3000:]}"
                )
            return done

        try:
            return follow(began, steps_done, steps)
        finally:
            process.terminate()
            process.wait()


def install_llama_factory() -> Path:
    """Its Python, in an environment of its own with our torch's version. Made once; takes minutes."""
    python = CACHE / "llama-factory" / "bin" / "python"
    done = CACHE / f"llama-factory-{LLAMA_FACTORY}"
    if not done.exists():
        print(
            f"Installing LLaMA-Factory {LLAMA_FACTORY} into {CACHE}; this takes a few minutes the first time.",
            flush=True,
        )
        shutil.rmtree(CACHE / "llama-factory", ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        _pip(python, f"torch=={version('torch').partition('+')[0]}", f"bitsandbytes=={version('bitsandbytes')}")
        _pip(python, "--no-deps", f"llamafactory=={LLAMA_FACTORY}")
        ask = "from importlib.metadata import requires; print('\\n'.join(requires('llamafactory')))"
        needed = subprocess.run(
            [str(python), "-c", ask], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        _pip(
            python,
            *(line for line in needed if "extra ==" not in line and re.split(r"[<>=!; ]", line)[0] not in UNMATCHED),
        )
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = subprocess.run([str(python), "-c", where], capture_output=True, text=True, check=True).stdout.strip()
        Path(packages, "torchaudio.py").touch()  # it is imported before anybody knows whether there is sound
        done.touch()
    return python


def install_trl() -> Path:
    """A folder with TRL alone; all it needs is there already."""
    folder = CACHE / f"trl-{TRL}"
    if not folder.exists():
        _pip(Path(sys.executable), "--no-deps", "--target", str(folder), f"trl=={TRL}")
    return folder


def _pip(python: Path, *what: str) -> None:
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", *what], check=True)


def by_llama_factory(home: Path, model: Path, steps: int) -> Pace:
    python, folder = install_llama_factory(), home / "llama-factory"
    folder.mkdir()
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": str(home / "rows.json")}}))
    config = {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": str(model),
        "quantization_bit": 4,
        "quantization_method": "bnb",
        "quantization_type": "nf4",
        "double_quantization": True,
        "finetuning_type": "lora",
        "lora_rank": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "lora_target": "all",
        "dataset": "rows",
        "dataset_dir": str(folder),
        "template": "empty",
        "cutoff_len": LENGTH,
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": 1,
        "max_steps": steps,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "flash_attn": "sdpa",
        "disable_gradient_checkpointing": True,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [str(python), "-m", "llamafactory.cli", "train", str(folder / "config.yaml")]
    return outside(command, folder / "out" / "trainer_log.jsonl", steps)


def by_trl(home: Path, model: Path, steps: int) -> Pace:
    environment = {"PYTHONPATH": os.pathsep.join([str(install_trl()), str(Path(__file__).parents[1])])}
    asked = {"home": str(home), "model": str(model), "steps": steps, "log": str(home / "trl.log")}
    return outside([sys.executable, __file__, "--trl", json.dumps(asked)], home / "trl.log", steps, **environment)


def train_with_trl(asked: dict[str, Any]) -> None:
    """What its documentation shows: SFTTrainer with a quantized model and a LoRA configuration."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Log(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            with open(asked["log"], "a", encoding="utf-8") as log:
                log.write("step\n")

    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(
        asked["model"],
        quantization_config=four_bit,
        dtype=torch.float32,
        device_map={"": "cpu"},
        trust_remote_code=False,
    )
    rows = json.loads((Path(asked["home"]) / "rows.json").read_text())
    chats = [
        {"messages": [{"role": "user", "content": r["instruction"]}, {"role": "assistant", "content": r["output"]}]}
        for r in rows
    ]
    settings = SFTConfig(
        output_dir=str(Path(asked["home"]) / "trl"),
        max_steps=asked["steps"],
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=1,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        max_length=LENGTH,
        gradient_checkpointing=False,
    )
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    SFTTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(chats),
        peft_config=lora,
        callbacks=[Log()],
        processing_class=AutoTokenizer.from_pretrained(asked["model"], trust_remote_code=False),
    ).train()


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--steps", type=int, default=ROWS // BATCH)
    ask.add_argument(
        "--quick", action="store_true", help="a few steps of a small model, to see that it runs; nothing is recorded"
    )
    ask.add_argument("--trl", help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.trl:
        train_with_trl(json.loads(given.trl))
        return
    install_llama_factory(), install_trl()
    others, steps = used_by_others(), 4 if given.quick else given.steps
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["QLORA_APP_HOME"] = folder
        model = make_model(home / "model", hidden=128 if given.quick else 1024)
        make_rows(home)
        store, recipe = RunStore(home / "runs"), ours(home, model, steps)
        paces = {
            "ours cold": by_us_cold(store, recipe),
            "LLaMA-Factory": by_llama_factory(home, model, steps),
            "TRL": by_trl(home, model, steps),
            "ours warm": by_us_warm(store, recipe),
        }
    record("peers", figures(paces), others, keep=not given.quick)


def figures(paces: dict[str, Pace]) -> dict[str, str]:
    """Columns of RESULTS.md."""
    for name, pace in paces.items():
        print(
            f"{name}: {pace.examples_a_second:.2f} examples/s, first step done {pace.to_first_step:.1f} s after the "
            f"launch"
        )
    theirs = [paces[name] for name in ("LLaMA-Factory", "TRL")]
    speed = paces["ours cold"].examples_a_second / max(pace.examples_a_second for pace in theirs)
    start = paces["ours warm"].to_first_step / min(pace.to_first_step for pace in theirs)
    print(f"ours / their best: {speed:.2f} in examples a second, {start:.2f} in seconds to the first step")
    named = {"ours": paces["ours cold"]} | paces
    return (
        {f"{name}, examples/s": f"{named[name].examples_a_second:.2f}" for name in ("ours", "LLaMA-Factory", "TRL")}
        | {"ours / their best": f"{speed:.2f}"}
        | {f"{name}, s": f"{pace.to_first_step:.1f}" for name, pace in paces.items()}
    )


if __name__ == "__main__":
    main()
