"""What 4-bit training costs on a GPU: time and memory against bf16, the Guanaco recipe at 7B and 65B, a spike of memory.  make gpu

The models have LLaMA's shapes and no knowledge: their weights are zeros, in files that take no room on the disk. They are opened
and trained by the worker's own code; every measurement has a process of its own. Prints ratios and adds them, with date and
machine, to RESULTS.md. Without a GPU it says so in one line.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from measuring import add_tokenizer, record, synchronize, used_by_others
from overhead import Stopwatch

from qlora_app.base_models import ModelChoice
from qlora_app.memory import need, shapes_of
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.train.job import prepare
from qlora_app.train.report import Reporter
from qlora_app.train.trainer import build_trainer
from qlora_app.training_data import DatasetChoice, import_file

LLAMA = {"1B": (2048, 5632, 22), "7B": (4096, 11008, 32), "65B": (8192, 22016, 80)}  # hidden, ffn, layers; 1B is TinyLlama's
TINY = (128, 256, 2)  # to see that it runs, on any machine
STEPS = 6
GB = 1e9


def make_shape(folder: Path, hidden: int, ffn: int, layers: int) -> Path:
    """A LLaMA of that shape in one safetensors file whose weights are a hole: read as zeros, stored as nothing."""
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = hidden // 64 if layers < 32 else hidden // 128
    config = LlamaConfig(hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers, num_attention_heads=heads,
                         vocab_size=32000 if hidden > 128 else 8192, max_position_embeddings=2048, architectures=["LlamaForCausalLM"])
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


def make_data(home: Path) -> DatasetChoice:
    """Conversations longer than any length allowed, so that each is cut to exactly that many tokens."""
    rows = [{"messages": [{"role": "user", "content": f"Tell me story {n}."}, {"role": "assistant", "content": "Once upon a time. " * 600}]}
            for n in range(64)]
    (home / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DatasetChoice(source="file", id=import_file(home / "long.jsonl", home / "data", "long.jsonl"))


def recipe_for(asked: dict[str, Any], home: Path) -> Recipe:
    """A preset with the model's shape, one example behind each step as in the paper's table, and nothing measured or saved."""
    recipe = Presets().load(asked["preset"])
    base = recipe.base_model.model_dump() | {"source": "folder", "id": asked["model"], "revision": "", "precision": asked["precision"]}
    none = {"max_steps": STEPS, "batch_size": 1, "evaluations": 0, "samples": 0, "checkpoints": 0, "scored_questions": 0,
            "optimizer": asked.get("optimizer", recipe.training.optimizer), "max_length": asked.get("length", recipe.training.max_length)}
    return recipe.model_copy(update={"base_model": ModelChoice(**base), "dataset": make_data(home),
                                     "method": recipe.method.model_copy(update={"rank": asked.get("rank", recipe.method.rank)}),
                                     "training": recipe.training.model_copy(update=none)})


def one(asked: dict[str, Any]) -> dict[str, float]:
    """Train a few steps in this process: milliseconds a step and bytes. `leave`: fill the GPU first so that only so many are free."""
    on_gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["QLORA_APP_HOME"] = folder
        recipe = recipe_for(asked, Path(folder))
        job = prepare(RunStore(Path(folder) / "runs").create(recipe), recipe)
        loaded = torch.cuda.memory_reserved() if on_gpu else 0
        ballast = _fill(asked["leave"]) if asked.get("leave") and on_gpu else None
        watch = Stopwatch()
        trainer = build_trainer(job, Reporter(job.run, [], 0), [watch])
        trainer.train()
        synchronize()
        states = [t for state in trainer.optimizer.state.values() for t in state.values() if torch.is_tensor(t)]
        paged = sum(t.nbytes for t in states if getattr(t, "is_paged", False))
        estimate = need(recipe, shapes_of(job.model.config.to_dict()), "cuda", recipe.training.max_length)
        filled = ballast.nbytes if ballast is not None else 0
        return {"ms": watch.a_step, "peak": (torch.cuda.max_memory_allocated() - filled if on_gpu else 0) + paged,
                "reserved": torch.cuda.max_memory_reserved() - loaded if on_gpu else 0,
                "states": sum(t.nbytes for t in states), "estimate": estimate.total}


def _fill(leave: int) -> torch.Tensor:
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0]
    return torch.empty(max(0, free - leave), dtype=torch.uint8, device="cuda")


def apart(**asked: Any) -> dict[str, float] | None:
    """`one` in a process of its own; None where the memory was not enough."""
    ended = subprocess.run([sys.executable, __file__, "--one", json.dumps(asked)], capture_output=True, text=True)
    if ended.returncode == 0:
        return json.loads(ended.stdout.splitlines()[-1])
    if "out of memory" in ended.stderr.lower():
        return None
    raise RuntimeError(f"{asked}\n{ended.stderr[-3000:]}")


def against_bf16(name: str, model: str) -> dict[str, str]:
    """Time and peak memory of a step in NF4, as a share of that in bf16."""
    nf4, bf16 = (apart(preset="guanaco-7b", model=model, precision=precision) for precision in ("nf4", "bf16"))
    if nf4 is None or bf16 is None:
        print(f"{name}: {'NF4' if nf4 is None else 'bf16'} does not fit on this GPU")
        return {f"{name}, NF4 / bf16 time": "", f"{name}, NF4 / bf16 memory": ""}
    time, memory = nf4["ms"] / bf16["ms"], nf4["peak"] / max(1.0, bf16["peak"])
    print(f"{name}: a step takes {nf4['ms']:.0f} ms in NF4, {bf16['ms']:.0f} in bf16, ratio {time:.2f}; "
          f"memory {nf4['peak'] / GB:.1f} and {bf16['peak'] / GB:.1f} GB, ratio {memory:.2f}")
    return {f"{name}, NF4 / bf16 time": f"{time:.2f}", f"{name}, NF4 / bf16 memory": f"{memory:.2f}"}


def guanaco(name: str, model: str) -> dict[str, str]:
    """Peak memory of the published recipe, paged optimizer included, beside what the page had estimated."""
    made = apart(preset=f"guanaco-{name.lower()}", model=model, precision="nf4")
    if made is None:
        print(f"Guanaco {name}: does not fit on this GPU")
        return {f"Guanaco {name} GB": "does not fit"}
    print(f"Guanaco {name}: {made['peak'] / GB:.1f} GB at the most, estimated {made['estimate'] / GB:.1f} GB, {made['ms']:.0f} ms a step")
    return {f"Guanaco {name} GB": f"{made['peak'] / GB:.1f}"}


def spike(model: str) -> dict[str, str]:
    """Room for all of a step but half of the optimizer's state: the paged one moves it out, the ordinary one must fail."""
    asked = {"preset": "guanaco-7b", "model": model, "precision": "nf4", "rank": 256}
    roomy = apart(**asked, optimizer="adamw_torch")
    if roomy is None:
        print("Spike: does not fit on this GPU even with room")
        return {"paged survives": "", "ordinary survives": ""}
    leave = int(roomy["reserved"] - roomy["states"] / 2)
    survived = {name: apart(**asked, optimizer=optimizer, leave=leave) is not None
                for name, optimizer in (("paged", "paged_adamw_32bit"), ("ordinary", "adamw_torch"))}
    print(f"Spike with {leave / GB:.2f} GB left for a step that takes {roomy['reserved'] / GB:.2f}: "
          + ", ".join(f"the {name} optimizer {'survives' if well else 'runs out of memory'}" for name, well in survived.items()))
    return {f"{name} survives": "yes" if well else "no" for name, well in survived.items()}


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--quick", action="store_true", help="tiny shapes, also without a GPU, to see that it runs; nothing is recorded")
    ask.add_argument("--one", help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.one:
        print(json.dumps(one(json.loads(given.one))))
        return
    if not torch.cuda.is_available() and not given.quick:
        print("There is no GPU here, so nothing is measured.")
        return
    others, figures = used_by_others(), {}
    with tempfile.TemporaryDirectory() as folder:
        models = {name: str(make_shape(Path(folder) / name, *(TINY if given.quick else shape))) for name, shape in LLAMA.items()}
        for name in ("1B", "7B"):
            figures |= against_bf16(name, models[name])
        for name in ("7B", "65B"):
            figures |= guanaco(name, models[name])
        figures |= spike(models["1B"])
    record("gpu", figures, others, keep=not given.quick)


if __name__ == "__main__":
    main()
