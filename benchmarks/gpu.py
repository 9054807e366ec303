"""What training costs on a GPU: time, tokens and memory of LLaMA's shapes in NF4 against bf16 and int8, the starter,
resume, chat.

    make gpu                                          # under eight minutes on one GPU; adds a row a stage to RESULTS.md
    python benchmarks/gpu.py --results OUT/RESULTS.md # into a copy of that file, on a machine that is given back
    afterwards python benchmarks/gpu.py --tiny                   # tiny shapes, also without a GPU, to see that it runs

Nothing is downloaded. The models have LLaMA's shapes: their files are holes, which read as zeros and take no room on
the disk; opened and quantized by the worker's own code, all frozen numbers are then drawn anew where they lie, since
products of zeros are faster. Each group of stages is a process with a time of its own, and each row is written as soon
as it is known: a run that is cut off leaves what it had, and a stage that fails is a row with its error.
"""

import argparse
import contextlib
import gc
import itertools
import json
import os
import queue
import random
import resource
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from measuring import RESULTS, ROOT, add_tokenizer, record, synchronize, used_by_others
from overhead import Stopwatch

from qlora_app import KEEP_MEMORY
from qlora_app import doctor as machine
from qlora_app.base_models import ModelChoice
from qlora_app.base_models.shapes import shapes_of
from qlora_app.memory import need, tokens_of_a_step
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore
from qlora_app.train.callbacks import MetricsCallback
from qlora_app.train.setup import TrainingSetup, prepare
from qlora_app.train.trainer import build_trainer
from qlora_app.training_data import DatasetChoice, import_file

LLAMA = {
    "1B": (2048, 5632, 22),
    "7B": (4096, 11008, 32),
    "65B": (8192, 22016, 80),
}  # hidden, ffn, layers; 1B is TinyLlama's
TINY = (128, 256, 2)
STEPS = 6
GB = 1e9
WHOLE = 450  # seconds for everything
GROUPS = {"card": 60, "7B": 170, "workers": 150, "1B": 120, "65B": 150}  # seconds at the most, in this order
COLUMNS = ("measured", "ms a step", "tokens/s", "allocated GB", "taken GB", "said GB", "said / taken", "besides")
SPREAD = 0.035  # of a block of NF4 weights: their largest, so that they are about as large as a model's own

Row = dict[str, str]


# ---- models and data


def make_shape(folder: Path, hidden: int, ffn: int, layers: int) -> Path:
    """A LLaMA of that shape in one safetensors file whose weights are a hole: read as zeros, stored as nothing."""
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = hidden // 64 if layers < 32 else hidden // 128
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        vocab_size=32000 if hidden > 128 else 8192,
        max_position_embeddings=2048,
        architectures=["LlamaForCausalLM"],
    )
    with torch.device("meta"):
        weights = LlamaForCausalLM(config).state_dict()
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, weight in weights.items():
        begin, end = end, end + 2 * weight.numel()
        header[name] = {"dtype": "BF16", "shape": list(weight.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    folder.mkdir(parents=True)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    config.save_pretrained(folder)
    return add_tokenizer(folder)


def draw_anew(model: torch.nn.Module) -> None:
    """Random numbers into everything frozen, in place: 4-bit and 8-bit codes with their scales, and what is not
    quantized.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            continue
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            parameter.data.random_(0, 256)
            _draw_scales(state)
        elif parameter.dtype == torch.int8:
            parameter.data.random_(-127, 128)
            if getattr(parameter, "SCB", None) is not None:
                parameter.SCB.fill_(2 * SPREAD)
        elif parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.02)
        else:
            parameter.data.fill_(1.0)  # of a norm


def _draw_scales(state: Any) -> None:
    """The largest value of each block of 64 weights, itself quantized or not."""
    if state.nested:
        state.absmax.random_(0, 256)
        state.state2.absmax.fill_(SPREAD / 4)
        state.offset.fill_(SPREAD)
    else:
        state.absmax.fill_(SPREAD)


def make_data(home: Path, mixed: bool) -> DatasetChoice:
    """Conversations longer than any length allowed, so that each is cut to exactly that; or mixed, mostly short, as
    people's are.
    """
    draw = random.Random(0)
    lengths = [min(300, round(draw.lognormvariate(3.2, 0.8))) if mixed else 600 for _ in range(96)]
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Tell me story {n}."},
                {"role": "assistant", "content": "Once upon a time. " * length},
            ]
        }
        for n, length in enumerate(lengths)
    ]
    name = "mixed.jsonl" if mixed else "long.jsonl"
    (home / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DatasetChoice(source="file", id=import_file(home / name, home / "data", name))


# ---- one measurement


def recipe_for(model: Path, home: Path, asked: dict[str, Any]) -> Recipe:
    """The preset `asked` names with that model, and what else is asked changed; nothing measured or saved meanwhile."""
    recipe = Presets().load(asked.get("preset", "guanaco-7b"))
    base = (
        recipe.base_model.model_dump() | {"source": "folder", "id": str(model), "revision": ""} | asked.get("base", {})
    )
    none = {
        "max_steps": STEPS,
        "batch_size": 1,
        "evaluations": 0,
        "samples": 0,
        "checkpoints": 0,
        "scored_questions": 0,
    }
    return recipe.model_copy(
        update={
            "base_model": ModelChoice(**base),
            "dataset": make_data(home, asked.get("mixed", False)),
            "training": recipe.training.model_copy(update=none | asked.get("training", {})),
        }
    )


def trained(model: Path, **asked: Any) -> Row:
    """A few steps of that recipe by the worker's own code in this process."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        os.environ["QLORA_APP_HOME"] = folder
        recipe = recipe_for(model, Path(folder), asked)
        _start_counting()
        job = prepare(held.enter_context(RunStore(Path(folder) / "runs").create(recipe).hold()), recipe)
        draw_anew(job.model)
        watch, reporter = Stopwatch(), MetricsCallback(job.out, [], 0)
        build_trainer(job, reporter, [watch]).train()
        tokens = reporter.tokens / STEPS
        row = {"ms a step": f"{watch.a_step:.0f}", "tokens/s": f"{1000 * tokens / watch.a_step:.0f}"} | _memory(job)
        row["besides"] = f"{tokens:.0f} tokens a step, {job.micro_batch} examples at once"
        return row


def _start_counting() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _memory(job: TrainingSetup) -> Row:
    """The peak in tensors, of the whole process, and what the page would have said."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    tokens = max(job.micro_batch * job.recipe.training.max_length, tokens_of_a_step(job.recipe, 1))
    said = need(job.recipe, shapes_of(job.model.config.to_dict()), kind, tokens).total
    if kind == "cpu":
        allocated, taken = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    else:
        synchronize()
        free, total = torch.cuda.mem_get_info()
        allocated = torch.cuda.max_memory_allocated()
        taken = torch.cuda.max_memory_reserved() + (
            total - free - torch.cuda.memory_reserved()
        )  # with what the driver holds
    return {
        "allocated GB": f"{allocated / GB:.2f}",
        "taken GB": f"{taken / GB:.2f}",
        "said GB": f"{said / GB:.2f}",
        "said / taken": f"{said / taken:.2f}",
    }


def card() -> Row:
    """The card, and whether a 4-bit layer computes what it should on it."""
    seen = machine.try_out()
    gpu = seen["gpu"] or {}
    words = f"compute {gpu.get('capability')}, bf16 {'yes' if gpu.get('bf16') else 'no'}, " if gpu else "no GPU, "
    errors = f"NF4 layer off by {seen['forward_error']:.1%} forwards, {seen['backward_error']:.1%} backwards"
    versions = ", ".join(f"{name} {version(name)}" for name in ("transformers", "peft", "bitsandbytes"))
    return {"besides": f"{words}torch {seen['torch']}, CUDA {seen['cuda']}, {versions}, {errors}"}


def chat(model: Path, tokens: int) -> Row:
    """Tokens a second of one answer, by the model as the chat opens it."""
    from qlora_app.inference.session import ChatSession

    _start_counting()
    session = ChatSession.open(ModelChoice(source="folder", id=str(model)))
    draw_anew(session.model)
    ids = torch.randint(6, 500, (1, 64), device=session.model.device)
    asked = {"attention_mask": torch.ones_like(ids), "use_cache": True, "do_sample": False, "pad_token_id": 0}
    seconds = []
    for count in (4, tokens):  # the first one is for warming up
        began = time.perf_counter()
        session.model.generate(ids, min_new_tokens=count, max_new_tokens=count, **asked)
        synchronize()
        seconds.append(time.perf_counter() - began)
    return {"tokens/s": f"{tokens / seconds[-1]:.1f}", "besides": f"one answer of {tokens} tokens after a prompt of 64"}


# ---- whole workers


def worked(run: Run, until: int | None = None) -> Run:
    """A worker of its own on that run, to its end, or asked to stop behind step `until`. Raises RuntimeError with what
    it said.
    """
    environment = {**KEEP_MEMORY, **os.environ, "HF_HUB_OFFLINE": "1"}
    with open(run.folder / "said.txt", "w+") as said:
        worker = subprocess.Popen(
            [sys.executable, "-m", "qlora_app.worker", str(run.folder)],
            cwd=ROOT,
            env=environment,
            stdout=said,
            stderr=said,
        )
        run.launch_file.write(worker.pid)
        while worker.poll() is None:
            if until and len(run.metrics()[0]) >= until:
                run.request("stop")
                until = None
            time.sleep(0.02)
        said.seek(0)
        if worker.returncode:
            raise RuntimeError(f"{run.status().sentence} {said.read()[-500:]}")
    return run


def starter_run(tiny: bool) -> Row:
    """The run that a newcomer starts, whole."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QLORA_APP_HOME"] = folder
        recipe = Presets().load("starter")
        if tiny:
            few = {"max_steps": STEPS, "scored_questions": 2, "samples": 0, "evaluations": 1, "checkpoints": 1}
            recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=few)})
        began = time.perf_counter()
        run = worked(RunStore(Path(folder) / "runs").create(recipe))
        seconds, rows, proof = (
            time.perf_counter() - began,
            [row for row in run.metrics()[0] if "loss" in row],
            run.proof(),
        )
        steps = [1000 * (after["seconds"] - before["seconds"]) for before, after in itertools.pairwise(rows[1:])]
        right = proof["heldout"]["exact_match"]["after"]
        return {
            "ms a step": f"{statistics.median(steps):.0f}",
            "tokens/s": f"{rows[-1]['tokens_per_second']}",
            "allocated GB": f"{max(row['memory_mb'] for row in rows) * 2**20 / GB:.2f}",
            "besides": f"{len(rows)} steps, {seconds:.0f} s from a cold start, first loss after "
            f"{proof['seconds']['to_first_loss']} s, "
            f"{right:.0%} right",
        }


def resume(tiny: bool) -> Row:
    """A run that was stopped and resumed against one that was not: losses of every step, and every byte of the
    adapter.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QLORA_APP_HOME"] = folder
        store, recipe = RunStore(Path(folder) / "runs"), Presets().load("starter")
        steps = {
            "max_steps": 8 if tiny else 60,
            "evaluations": 0,
            "samples": 0,
            "scored_questions": 0,
            "checkpoints": 4,
        }
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=steps)})
        whole, parts = worked(store.create(recipe)), worked(store.create(recipe), until=steps["max_steps"] // 4)
        stopped = parts.status().step
        worked(parts)
        losses = [{row["step"]: row["loss"] for row in run.metrics()[0] if "loss" in row} for run in (whole, parts)]
        apart = max(abs(loss - losses[1][step]) for step, loss in losses[0].items())
        files = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (whole, parts)]
        return {
            "besides": f"stopped at step {stopped} of {steps['max_steps']}; losses apart by {apart:g}, "
            f"adapters {'the same to the last bit' if files[0] == files[1] else 'not the same'}"
        }


# ---- stages


def stages(group: str, models: dict[str, Path], tiny: bool) -> dict[str, Callable[[], Row]]:
    """What a group measures: {its name in the table: how}, in order."""
    model = models.get(group)
    at_once = {"batch_size": 4, "packing": True, "max_length": 512}

    def steps(
        base: dict[str, Any] | None = None, mixed: bool = False, preset: str = "guanaco-7b", **training: Any
    ) -> Callable[[], Row]:
        shorter = {"max_length": 64} if tiny else {}
        return lambda: trained(model, base=base or {}, mixed=mixed, preset=preset, training=training | shorter)

    if group == "card":
        return {"the card": card}
    if group == "workers":
        return {"the starter's default run": lambda: starter_run(tiny), "stopped and resumed": lambda: resume(tiny)}
    if group == "65B":
        return {"65B, Guanaco's recipe (published: 45 GB)": steps(preset="guanaco-65b")}
    if group == "7B":
        return {
            "7B, Guanaco's recipe (published: 6.9 GB)": steps(),
            "7B, four examples at once, checkpointed": steps(**at_once, gradient_checkpointing="on"),
            "7B, four examples at once, not checkpointed": steps(**at_once, gradient_checkpointing="off"),
            "7B, paged 8-bit optimizer": steps(optimizer="paged_adamw_8bit"),
            "7B, chat": lambda: chat(model, 8 if tiny else 64),
        }
    many = at_once | {"batch_size": 16, "gradient_checkpointing": "off"}
    return {
        "1B in NF4": steps(**at_once),
        "1B in bf16": steps({"precision": "bf16"}, **at_once),
        "1B in int8": steps({"precision": "int8"}, **at_once),
        "1B in NF4, computed in fp16": steps({"compute_type": "fp16"}, **at_once),
        "1B in NF4, computed in fp32": steps({"compute_type": "fp32"}, **at_once),
        "1B, mixed lengths, packed": steps(mixed=True, **many),
        "1B, mixed lengths, padded": steps(mixed=True, **many | {"packing": False}),
    }


def measure(group: str, folder: Path, tiny: bool) -> None:
    """In a process of its own: print each row of a group as a line of JSON. Whatever fails is a row too."""
    models = {group: make_shape(folder / group, *(TINY if tiny else LLAMA[group]))} if group in LLAMA else {}
    for name, run in stages(group, models, tiny).items():
        try:
            row = run()
        except Exception as error:  # a stage must not take the others with it
            row = {"besides": f"failed: {type(error).__name__}: {error}"}
        print(json.dumps({"measured": name} | row), flush=True)


def rows_of(group: str, seconds: float, tiny: bool) -> Iterator[Row]:
    """The rows of a group as they come; for what is not there when its time is over, a row that says so."""
    missing = list(stages(group, {}, tiny))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        asked = [sys.executable, __file__, "--group", group, "--folder", folder, *["--tiny"] * tiny]
        process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True)
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=lambda: [lines.put(line) for line in (*process.stdout, "")], daemon=True)
        reader.start()
        end, why = time.monotonic() + seconds, ""
        while missing and not why:
            try:
                line = lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                why = f"not measured: the {seconds:.0f} s for this part were over"
                break
            if not line:
                said.seek(0)
                why = f"not measured: the process ended with code {process.wait()}: {said.read().strip()[-300:]}"
            elif line.startswith('{"measured"'):
                row = json.loads(line)
                missing.remove(row["measured"])
                yield row
        _end(process)
        yield from ({"measured": name, "besides": why} for name in missing)


def _end(process: subprocess.Popen) -> None:
    """It and the workers that it started, which are in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def whole_row(row: Row) -> Row:
    """With every column of the table, on one line."""
    return {name: " ".join(row.get(name, "").replace("|", "/").split())[:400] for name in COLUMNS}


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--tiny", action="store_true", help="tiny shapes, also without a GPU, to see that it runs")
    ask.add_argument("--only", nargs="*", choices=list(GROUPS), default=list(GROUPS), help="these parts alone")
    ask.add_argument(
        "--results", type=Path, help="a copy of RESULTS.md to write into; with --tiny nothing is written without it"
    )
    ask.add_argument("--seconds", type=float, default=WHOLE, help="for everything; four times as many with --tiny")
    ask.add_argument("--group", help=argparse.SUPPRESS)
    ask.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.group:
        measure(given.group, given.folder, given.tiny)
        return
    if not torch.cuda.is_available() and not given.tiny:
        print("There is no GPU here, so nothing is measured.")
        return
    results, keep = given.results or RESULTS, bool(given.results) or not given.tiny
    if not results.exists():
        shutil.copy(RESULTS, results)
    others, most = used_by_others(), 4 if given.tiny else 1  # a CPU that others use too may take longer
    end = time.monotonic() + given.seconds * most
    for group in given.only:
        for row in rows_of(group, min(most * GROUPS[group], end - time.monotonic()), given.tiny):
            row = whole_row(row)
            if group == "card":
                row["besides"] += f", others use {others:.0f} % of the cores"
            print(" | ".join(row.values()), flush=True)
            if keep:  # whatever others do on the cores: what is measured is the GPU
                record("gpu", row, others=0.0, results=results)


if __name__ == "__main__":
    main()
