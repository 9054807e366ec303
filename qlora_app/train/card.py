"""The model card that lies beside every adapter."""

from typing import Any

from ..recipe import Recipe
from ..tasks import Task
from ..words import proof_words

FOLDER = "path/to/this/folder"


def model_card(recipe: Recipe, task: Task, proof: dict[str, Any]) -> str:
    """README.md of an adapter: front matter for the Hub, how to load it, what was measured, the whole recipe. `recipe` names the
    commit of a base of the Hub."""
    return "\n".join([_front_matter(recipe), _opening(recipe, task, proof["update"]["parameters"]), _measured(proof),
                      _data(recipe, proof["data"]), _recipe(recipe, proof["versions"])])


def _front_matter(recipe: Recipe) -> str:
    lines = [f"base_model: {recipe.base_model.id}"] if recipe.base_model.source == "hub" else []
    lines += ["library_name: peft"] if recipe.method.opens_in_peft else []
    return "\n".join(["---", *lines, f"tags: [{recipe.method.name}, guanaco-workshop]", "---", ""])


def _opening(recipe: Recipe, task: Task, parameters: int) -> str:
    base = recipe.base_model
    return f"""# {recipe.title}

A {recipe.method.title()} adapter ({parameters:,} learned parameters) for **{base.title}**,
trained on the base in {base.precision} with Guanaco Workshop. The base itself was not changed.

```python
{_in_peft(recipe, task) if recipe.method.opens_in_peft else _in_the_app(recipe, task)}
tokenizer = AutoTokenizer.from_pretrained("{FOLDER}")
```
{recipe.method.how_else_opened(FOLDER)}"""


def _in_peft(recipe: Recipe, task: Task) -> str:
    """Lines of Python that end with `model`."""
    base = recipe.base_model
    ours = "\nfrom qlora_app.starter import BASE" if base.source == "starter" else ""
    named = "BASE" if ours else repr(base.id)
    commit = f", revision={base.revision!r}" if base.source == "hub" and base.revision else ""
    labels = f", num_labels={len(task.labels)}, id2label={dict(enumerate(task.labels))}" if task.labels else ""
    return f"""from peft import PeftModel
from transformers import {task.opens_with}, AutoTokenizer{ours}

base = {task.opens_with}.from_pretrained({named}{commit}{labels})
model = PeftModel.from_pretrained(base, "{FOLDER}")"""


def _in_the_app(recipe: Recipe, task: Task) -> str:
    whole = ", quantize=False" if recipe.method.quantizes_itself else ""
    return f"""from pathlib import Path
from transformers import AutoTokenizer
from qlora_app.base_models import ModelChoice, load_model
from qlora_app.methods import {type(recipe.method).__name__}

base = load_model({recipe.base_model!r}, {task.opens_with!r}, {task.labels!r}{whole})
model = {recipe.method!r}.load(base, Path("{FOLDER}"))"""


def _measured(proof: dict[str, Any]) -> str:
    lines = [] if proof["data"]["held_out"] else ["Nothing was held out, so what it answers could not be measured."]
    lines += [f"- {line}" for line in proof_words(proof)]
    words = '"Before" is the same base with the adapter switched off. An answer is right only if it is so word for word.'
    return "\n".join(["## Measured at the end of the run", "", *lines, "", words, ""])


def _data(recipe: Recipe, data: dict[str, Any]) -> str:
    return f"""## Data

{recipe.dataset.title}: {data["rows"]} rows, {data["trained"]} trained on, {data["held_out"]} held out, {data["left_out"]} left out,
{data["cut"]} of those learned from cut at the longest length allowed.
Fingerprint (sha256 of the conversations): `{data["fingerprint"]}`
"""


def _recipe(recipe: Recipe, versions: dict[str, str]) -> str:
    return f"""## Recipe

```yaml
{recipe.to_yaml()}```

Versions: {", ".join(f"{name} {number}" for name, number in versions.items())}
"""
