"""Every method on the starter and its task, with the same budget: what it learns, what it costs, what it weighs.

    make methods                                 # the budget of the preset: minutes a method
    python benchmarks/methods.py --steps 4 lora  # a quick look, which records nothing

Each method is one run of the real worker in a process of its own, with the preset's data, batch and steps. Held-out questions are
those of the preset; the base is in NF4, or in 32 bit for methods that cannot read packed weights. Learning rates are LoRA's times
what the papers take more. The merge error is the relative difference of the logits before and after merging into that base.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import ROOT, record, used_by_others

from qlora_app.base_models import load_model, load_tokenizer
from qlora_app.methods import METHODS
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore

TIMES = {"ia3": 15, "vera": 10, "prefix": 5, "prompt": 15}  # the learning rate of LoRA, in their papers


def recipe_of(name: str, steps: int) -> Recipe:
    """The starter's preset with another method."""
    preset, method = Presets().load("starter"), next(m for m in METHODS if m.model_fields["name"].default == name)
    training = preset.training.model_copy(update={
        "learning_rate": min(1.0, preset.training.learning_rate * TIMES.get(name, 1)), "max_steps": steps, "samples": 0, "checkpoints": 0,
        "evaluations": 0})
    chosen = preset.method.model_dump() if name == "lora" else {"name": name}
    base = {"precision": "nf4" if "nf4" in method.precisions else "fp32"}
    return Recipe.from_dict(preset.model_dump() | {"method": chosen, "training": training.model_dump(), "base_model": base})


def train(run: Run) -> None:
    """One worker, cold. Raises RuntimeError with what it said if it does not finish."""
    ran = subprocess.run([sys.executable, "-m", "qlora_app.train", str(run.folder)], cwd=ROOT, capture_output=True, text=True,
                         env=os.environ | {"HF_HUB_OFFLINE": "1"})
    if ran.returncode:
        raise RuntimeError(f"{run.recipe().method.name}: {run.status().sentence}\n{ran.stderr[-2000:]}")


def merge_error(run: Run) -> float | None:
    """Relative difference of the logits of a held-out question, merged against not; None for what cannot be merged."""
    import torch

    recipe = run.recipe()
    model = recipe.method.load(load_model(recipe.base_model, quantize=not recipe.method.quantizes_itself), run.adapter).eval()
    if not hasattr(getattr(model, "base_model", None), "merge_and_unload"):
        return None
    ids = torch.tensor([load_tokenizer(recipe.base_model)("Where does Mira live? Mira lives on Orchard Lane.")["input_ids"]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        try:
            after = model.merge_and_unload()(input_ids=ids).logits
        except (NotImplementedError, ValueError, TypeError, AttributeError, RuntimeError):  # PEFT cannot merge it into this base
            return None
    return float((after - before).norm() / before.norm())


def figures_of(run: Run) -> dict[str, str]:
    """One row of the table."""
    recipe, proof = run.recipe(), json.loads((run.adapter / "proof.json").read_text())
    rows = [row for row in run.metrics()[0] if "loss" in row]
    steps = [b["seconds"] - a["seconds"] for a, b in itertools.pairwise(rows[1:])]
    weight = sum(file.stat().st_size for file in run.adapter.glob("*.safetensors"))
    error = merge_error(run)
    exact: dict[str, Any] = proof["heldout"]["exact_match"]
    return {"method": recipe.method.title(), "base": recipe.base_model.precision, "steps": str(len(rows)),
            "held-out exact match": f"{exact['after']:.0%}", "held-out loss": f"{proof['heldout']['loss']['after']:.3f}",
            "learned parameters": f"{proof['update']['parameters']:,}", "ms a step": f"{1000 * statistics.median(steps):.0f}",
            "peak memory": f"{max(row['memory_mb'] for row in rows)} MB", "on disk": f"{weight / 1e6:.2f} MB",
            "merge error": "cannot be merged" if error is None else f"{error:.1e}"}


def main() -> None:
    names = [method.model_fields["name"].default for method in METHODS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(names)}; all where none is named")
    parser.add_argument("--steps", type=int, default=0, help="fewer than the preset's, for a quick look")
    asked = parser.parse_args()
    if strange := set(asked.methods) - set(names):
        parser.error(f"there is no method {', '.join(strange)}")
    others = used_by_others()
    with tempfile.TemporaryDirectory() as home:
        os.environ["QLORA_APP_HOME"] = home
        for name in asked.methods or names:
            run = RunStore(Path(home) / "runs").create(recipe_of(name, asked.steps))
            train(run)
            figures = figures_of(run)
            print(json.dumps(figures), flush=True)
            record("methods", figures, others, keep=not asked.steps)


if __name__ == "__main__":
    main()
