"""What trainings log, recorded: healthy ones of every method, and ones that went wrong in a known way.

`python -m tests.streams` trains all of them on the starter (a quarter of an hour) and writes data/streams.jsonl; with
names, only those. Each line is a run: its recipe, the lines of its metrics as columns, its last answers, its proof.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qlora_app import worker
from qlora_app.methods import METHODS
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore
from qlora_app.starter import DATASETS

FILE = Path(__file__).parent / "data" / "streams.jsonl"
COLUMNS = ("step", "loss", "learning_rate", "grad_norm", "tokens", "seconds")
KEPT_OF_PROOF = ("heldout", "learned", "loss", "data", "kept")
SHORT = {"max_steps": 100, "evaluations": 5, "samples": 3, "scored_questions": 20, "measured_examples": 40}
SHORT |= {"checkpoints": 0}
Changes = dict[str, Any]
HEALTHY: dict[str, Changes] = {
    **{name: {"method": name} for name in (method.model_fields["name"].default for method in METHODS)},
    "orders": {"preset": "orders"},
    "sailor": {"preset": "sailor"},
    "long": {"max_steps": 400},
    "short": {"max_steps": 30},
    "very short": {"max_steps": 8},
    "batch 2": {"batch_size": 2, "max_steps": 250},
    "batch 4": {"batch_size": 4, "max_steps": 200},
    "batch 32": {"batch_size": 32, "max_steps": 60},
    "cosine": {"scheduler": "cosine"},
    "constant": {"scheduler": "constant"},
    "half the rate": {"learning_rate": 1e-3, "seed": 3},
    "twice the rate": {"learning_rate": 4e-3, "seed": 4},
    "unpacked": {"packing": False, "seed": 5},
    "another seed": {"seed": 6, "max_steps": 150},
    "8-bit optimizer": {"optimizer": "paged_adamw_8bit", "seed": 7},
    "long warm-up": {"warmup_ratio": 0.2, "seed": 8},
    "clipped hard": {"max_grad_norm": 0.1, "seed": 9},
    "unclipped": {"learning_rate": 0.012, "max_grad_norm": 100.0},
    "never measured": {"evaluations": 0, "samples": 0, "seed": 10},
}
# What is wrong with each: the first word of its name is the code of what is to be found.
BROKEN: dict[str, Changes] = {
    "exploded": {"learning_rate": 1.0, "max_grad_norm": 100.0, "scheduler": "constant"},
    "exploded late": {"learning_rate": 0.05, "max_grad_norm": 100.0, "scheduler": "constant", "warmup_ratio": 0.5},
    "plateau": {"learning_rate": 1e-8},
    "still_warming_up": {"warmup_ratio": 0.95},
    "overfits": {"rows": 24, "epochs": 60, "max_steps": 150, "evaluations": 10, "learning_rate": 4e-3, "keep": "last"},
    "never_ends": {"max_length": 16},
    "exploded unclipped": {"learning_rate": 0.03, "max_grad_norm": 100.0},
    "exploded one by one": {"batch_size": 1, "learning_rate": 0.02, "max_steps": 200},
    "noisy": {"batch_size": 1, "learning_rate": 0.008, "max_steps": 200},
}


def recorded() -> Iterator[dict[str, Any]]:
    """Every recorded stream, as it is kept."""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def rows_of(kept: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl again, measurements where they were."""
    columns = kept["steps"]
    rows = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return sorted([*rows, *kept["held_out"]], key=lambda row: (row["step"], "loss" not in row))


def recipe_of(name: str, folder: Path) -> Recipe:
    """The recipe of a training by its name here."""
    changes = dict(HEALTHY.get(name) or BROKEN[name])
    preset = Presets().load(changes.pop("preset", "starter"))
    rows, method = changes.pop("rows", 0), changes.pop("method", "")
    values = preset.model_dump()
    if method and method != "lora":
        preset = preset.suiting(method)
        kind = next(one for one in METHODS if one.model_fields["name"].default == method)
        precision = "nf4" if "nf4" in kind.precisions else "fp32"
        values = preset.model_dump() | {"method": {"name": method}}
        values["base_model"] |= {"precision": precision}
    if rows:
        values["dataset"] = {"source": "file", "id": _few_rows(rows, folder), "held_out_share": 0.5}
    values["training"] |= SHORT | changes
    return Recipe.from_dict(values)


def _few_rows(count: int, folder: Path) -> str:
    """So few of the helper's rows that they are learned by heart, as a file of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = json.loads(DATASETS["helper"].file.read_text(encoding="utf-8"))[:: max(1, 2000 // count)][:count]
    (folder / "few.json").write_text(json.dumps(rows), encoding="utf-8")
    return "few.json"


def record(name: str, home: Path) -> dict[str, Any]:
    """Train it, in this process."""
    run = RunStore(home / "runs").create(recipe_of(name, home / "data"))
    worker.main(run.folder)
    return _kept(name, run)


def _kept(name: str, run: Run) -> dict[str, Any]:
    rows = run.metrics()[0]
    steps = [row for row in rows if "loss" in row]
    samples = run.samples()
    last = max((row["step"] for row in samples), default=0)
    proof = run.proof() or {}
    status = run.status()
    return {
        "name": name,
        "healthy": name in HEALTHY,
        "recipe": _said(run.recipe()),
        "state": status.state,
        "code": getattr(status.sentence, "code", ""),
        "total": status.total,
        "steps": {column: [row.get(column) for row in steps] for column in COLUMNS},
        "held_out": [row for row in rows if "loss" not in row],
        "samples": [row for row in samples if row["step"] == last],
        "proof": {part: proof[part] for part in KEPT_OF_PROOF if part in proof},
    }


def _said(recipe: Recipe) -> Any:
    """What is not as in an empty recipe; the method by its name, which tells which settings there are."""
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    return values | {"method": {"name": recipe.method.name} | values.get("method", {})}


def main(names: list[str]) -> None:
    """Train those, and keep the others as they are."""
    import os

    wanted = names or [*HEALTHY, *BROKEN]
    kept = {one["name"]: one for one in recorded()} if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as home:
        os.environ["QLORA_APP_HOME"] = home
        for name in wanted:
            kept[name] = record(name, Path(home))
            print(name, kept[name]["state"], kept[name]["code"], flush=True)
            lines = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in kept.values()]
            FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
