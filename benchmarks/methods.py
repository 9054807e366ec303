"""Every method on the starter and its task, with the same budget: what it learns, what it costs, what it weighs.

    make methods                                   # about ten minutes; fills RESULTS.md, docs/methods.md
                                                   # and what the page shows of it
    python benchmarks/methods.py --steps 4 lora    # a quick look, which records nothing

Each method is one run of the real worker in a process of its own, with the preset's data and batch, its own default
settings and the learning rate the app suggests for it. The base is in NF4, or in 32 bit for methods that cannot read
packed weights. The merge error is the relative difference of the logits before and after merging into that base; of
QA-LoRA, relative to what was learned.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any

import yaml
from measuring import BUSY, ROOT, record, used_by_others

from qlora_app.base_models import load_model, load_tokenizer
from qlora_app.methods import METHODS
from qlora_app.methods.measured import FILE
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore

STEPS = 300  # a quarter of the preset's: enough to tell the methods apart, and fourteen of them end within ten minutes
PAGE, PICTURE = ROOT / "docs" / "methods.md", ROOT / "docs" / "methods.svg"
BEGIN, END = "<!-- measured by benchmarks/methods.py -->", "<!-- end of what was measured -->"
SHOWN = (
    "method",
    "held-out exact match",
    "held-out loss",
    "learned parameters",
    "learning rate",
    "ms a step",
    "peak memory",
    "on disk",
    "merge error",
)
ROW, LEFT, WIDE = 26, 150, 320  # of the picture: height of a row, where bars begin, how long a whole one is


def recipe_of(name: str, steps: int) -> Recipe:
    """The starter's preset with another method and the learning rate that suits it."""
    preset, method = (
        Presets().load("starter").suiting(name),
        next(m for m in METHODS if m.model_fields["name"].default == name),
    )
    training = preset.training.model_copy(update={"max_steps": steps, "samples": 0, "checkpoints": 0, "evaluations": 0})
    chosen = preset.method.model_dump() if name == "lora" else {"name": name}
    base = {"precision": "nf4" if "nf4" in method.precisions else "fp32"}
    return Recipe.from_dict(
        preset.model_dump() | {"method": chosen, "training": training.model_dump(), "base_model": base}
    )


def train(run: Run) -> None:
    """One worker, cold. Raises RuntimeError with what it said if it does not finish."""
    ran = subprocess.run(
        [sys.executable, "-m", "qlora_app.worker", str(run.folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    if ran.returncode:
        raise RuntimeError(f"{run.recipe().method.name}: {run.status().sentence}\n{ran.stderr[-2000:]}")


def merge_error(run: Run) -> float | None:
    """Relative difference of the logits of a held-out question, merged against not; None for what cannot be merged."""
    import torch

    recipe = run.recipe()
    model = recipe.method.load(
        load_model(recipe.base_model, quantize=not recipe.method.quantizes_itself), run.adapter
    ).eval()
    if not hasattr(getattr(model, "base_model", None), "merge_and_unload"):
        return None
    ids = torch.tensor(
        [load_tokenizer(recipe.base_model)("Where does Mira live? Mira lives on Orchard Lane.")["input_ids"]]
    )
    with torch.no_grad():
        before = model(input_ids=ids).logits
        try:
            after = model.merge_and_unload()(input_ids=ids).logits
        except Exception:  # PEFT says in many ways that it cannot merge into this base
            return None
    return float((after - before).norm() / before.norm())


def figures_of(run: Run) -> dict[str, str]:
    """One row of the table."""
    recipe, proof = run.recipe(), json.loads((run.adapter / "proof.json").read_text())
    rows = [row for row in run.metrics()[0] if "loss" in row]
    steps = [b["seconds"] - a["seconds"] for a, b in itertools.pairwise(rows[1:])]
    weight = sum(file.stat().st_size for file in run.adapter.glob("*.safetensors"))
    error = proof["method"].get("merge_error") or merge_error(run)  # QA-LoRA measures its own at the end of every run
    exact: dict[str, Any] = proof["heldout"]["exact_match"]
    return {
        "name": recipe.method.name,
        "method": recipe.method.title(),
        "base": recipe.base_model.precision,
        "steps": str(len(rows)),
        "learning rate": f"{recipe.training.learning_rate:g}",
        "held-out exact match": f"{exact['after']:.0%}",
        "held-out loss": f"{proof['heldout']['loss']['after']:.3f}",
        "learned parameters": f"{proof['update']['parameters']:,}",
        "ms a step": f"{1000 * statistics.median(steps):.0f}",
        "peak memory": f"{max(row['memory_mb'] for row in rows)} MB",
        "on disk": f"{weight / 1e6:.2f} MB",
        "merge error": "cannot be merged" if error is None else f"{error:.1e}",
    }


def table(rows: list[dict[str, str]]) -> str:
    """The table of docs/methods.md, best first."""
    lines = [f"| {' | '.join(SHOWN)} |", "|---" * len(SHOWN) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row[name] for name in SHOWN)} |" for row in best_first(rows))])


def best_first(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(rows, key=lambda row: (-float(row["held-out exact match"].rstrip("%")), float(row["held-out loss"])))


def picture(rows: list[dict[str, str]]) -> str:
    """Bars of the exact match with what each method learns and takes beside them, as SVG for a light and a dark
    page.
    """
    lines = []
    for place, row in enumerate(best_first(rows)):
        y, share = 40 + place * ROW, float(row["held-out exact match"].rstrip("%")) / 100
        beside = f"{row['held-out exact match']} · {row['learned parameters']} learned · {row['ms a step']} ms a step"
        lines.append(
            f'<text x="{LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(row["method"])}</text>'
            f'<rect class="bar" x="{LEFT}" y="{y}" width="{max(1.0, WIDE * share):.1f}" height="{ROW - 8}" rx="2"/>'
            f'<text x="{LEFT + WIDE * share + 8:.1f}" y="{y + 13}">{escape(beside)}</text>'
        )
    height, width = 52 + len(rows) * ROW, LEFT + WIDE + 330
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" '
        f'font-size="13">'
        "<title>Held-out questions answered word for word, by method</title>"
        "<style>.page{fill:#fff}text{fill:#222}.bar{fill:#2a6f8e}"
        "@media(prefers-color-scheme:dark){.page{fill:#16191d}text{fill:#ddd}.bar{fill:#5aa7c7}}</style>"
        f'<rect class="page" width="{width}" height="{height}"/>'
        '<text x="16" y="24" font-weight="bold">Held-out questions answered word for word</text>'
        f"{''.join(lines)}</svg>\n"
    )


def keep_rows(rows: list[dict[str, str]], file: Path = FILE) -> None:
    """The figures as the app reads them, best first."""
    shown = [{name.replace(" ", "_"): row[name] for name in ("name", *SHOWN)} for row in best_first(rows)]
    written = yaml.safe_dump(shown, allow_unicode=True, sort_keys=False, width=120)
    file.write_text(f"# Measured and written by benchmarks/methods.py.\n{written}", encoding="utf-8")


def write(rows: list[dict[str, str]], page: Path = PAGE, image: Path = PICTURE) -> None:
    """Table and picture into the page on methods. Raises ValueError where it has no place for them."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{page.name} has no place for the table, between {BEGIN} and {END}.")
    image.write_text(picture(rows), encoding="utf-8")
    best = best_first(rows)[0]
    words = (
        f"Bars of the share of held-out questions that each method answers word for word; the table below has the "
        f"same figures. "
        f"{best['method']} answers most, {best['held-out exact match']}"
    )
    shown = f"\n![{words}]({image.relative_to(page.parent)})\n\n{table(rows)}\n"
    page.write_text(before + begin + shown + end + after, encoding="utf-8")


def main() -> None:
    names = [method.model_fields["name"].default for method in METHODS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(names)}; all where none is named")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"another number than {STEPS}, for a quick look")
    asked = parser.parse_args()
    if strange := set(asked.methods) - set(names):
        parser.error(f"there is no method {', '.join(strange)}")
    others, rows = used_by_others(), []
    with tempfile.TemporaryDirectory() as home:
        os.environ["QLORA_APP_HOME"] = home
        for name in asked.methods or names:
            run = RunStore(Path(home) / "runs").create(recipe_of(name, asked.steps))
            train(run)
            figures = figures_of(run)
            print(json.dumps(figures), flush=True)
            recorded = {heading: figure for heading, figure in figures.items() if heading != "name"}
            record("methods", recorded, others, keep=asked.steps == STEPS)
            rows.append(figures)
    if asked.steps == STEPS and not asked.methods and others <= BUSY:
        keep_rows(rows)
        write(rows)


if __name__ == "__main__":
    main()
