"""The model card that lies beside every adapter."""

from typing import Any

from ..recipe import Recipe
from ..tasks import Task
from ..words import FIGURES


def model_card(recipe: Recipe, task: Task, proof: dict[str, Any]) -> str:
    """README.md of an adapter: front matter for the Hub, how to load it, what was measured, the whole recipe."""
    base = recipe.base_model
    named = f"base_model: {base.id}\n" if base.source == "hub" else ""
    layers, data, seconds = proof["update"]["layers"], proof["data"], proof["seconds"]["training"]
    return f"""---
{named}{"library_name: peft" + chr(10) if recipe.method.opens_in_peft else ""}tags: [{recipe.method.name}, guanaco-workshop]
---

# {recipe.title}

A {recipe.method.title()} adapter ({proof["update"]["parameters"]:,} learned parameters) for **{base.title}**,
trained on the base in {base.precision} with Guanaco Workshop. The base itself is not in this folder and was not changed.

```python
{_how_to_open(recipe, task)}
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
```

## Measured at the end of the run

{_table(proof)}

Exact match counts an answer only if it is right word for word. "Before" is the same base with the adapter switched off.
{layers - proof["update"]["zero_layers"]} of {layers} adapted layers changed. Read back from disk, the adapter gives the same outputs
(largest difference of a logit: {proof["reload"]["max_difference"]:g}). Training took {seconds:.0f} seconds.
{proof["method"].get("in_words", "")}

## Data

{recipe.dataset.title}: {data["rows"]} rows, {data["trained"]} trained on, {data["held_out"]} held out, {data["left_out"]} left out,
{data["cut"]} of those learned from cut at the longest length allowed.
Fingerprint (sha256 of the conversations): `{data["fingerprint"]}`

## Recipe

```yaml
{recipe.to_yaml()}```

Versions: {", ".join(f"{name} {number}" for name, number in proof["versions"].items())}
"""


def _how_to_open(recipe: Recipe, task: Task) -> str:
    """Lines of Python that end with `model`."""
    if not recipe.method.opens_in_peft:
        whole = ", quantize=False" if recipe.method.quantizes_itself else ""
        return f"""from pathlib import Path
from transformers import AutoTokenizer
from qlora_app.base_models import ModelChoice, load_model
from qlora_app.methods import {type(recipe.method).__name__}

base = load_model({recipe.base_model!r}, {task.opens_with!r}, {task.labels!r}{whole})
model = {recipe.method!r}.load(base, Path("path/to/this/folder"))"""
    base = {"starter": "qlora_app.starter.BASE"}.get(recipe.base_model.source, repr(recipe.base_model.id))
    labels = f", num_labels={len(task.labels)}, id2label={dict(enumerate(task.labels))}" if task.labels else ""
    return f"""from peft import PeftModel
from transformers import {task.opens_with}, AutoTokenizer

base = {task.opens_with}.from_pretrained({base}{labels})
model = PeftModel.from_pretrained(base, "path/to/this/folder")"""


def _table(proof: dict[str, Any]) -> str:
    held_out = proof["heldout"]
    if not proof["data"]["held_out"]:
        return "Nothing was held out, so nothing could be measured."
    rows = [("loss", held_out["loss"], "{:.3f}"), (f"exact match ({held_out['questions']} questions)", held_out["exact_match"], "{:.1%}")]
    rows += [(FIGURES.get(name, name), held_out["figures"][name], "{:.1%}") for name in held_out["figures"]]
    lines = [f"| {name} | {style.format(v['before'])} | {style.format(v['after'])} |" for name, v, style in rows if v["before"] is not None]
    return "\n".join(["| held out | before | after |", "|---|---|---|", *lines])
