"""The model card that lies beside every adapter."""

import textwrap
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from ..messages import Conversation
from ..recipe import Recipe
from ..runs.proof import Base, Data, Proof
from ..runs.proof_words import proof_words
from ..tasks import Task
from ..tasks.chat import Chat
from ..tasks.template import ChatTemplate

FOLDER = "path/to/this/folder"
QUESTION = "A question"
WIDTH = 110  # of a line of code; names of layers are many


def model_card(recipe: Recipe, task: Task, proof: Proof, tokenizer: PreTrainedTokenizerBase | None = None) -> str:
    """README.md of an adapter: front matter for the Hub, how to load it, how to ask it, what was measured, the whole
    recipe. `recipe` names the commit of a base of the Hub."""
    return "\n".join(
        [
            _front_matter(recipe),
            _opening(recipe, task, proof),
            _asking(task, tokenizer),
            _measured(proof),
            _data(recipe, proof.data),
            _recipe(recipe, proof.versions),
        ]
    )


def _front_matter(recipe: Recipe) -> str:
    lines = [f"base_model: {recipe.base_model.id}"] if recipe.base_model.source == "hub" else []
    lines += ["library_name: peft"] if recipe.method.opens_in_peft else []
    return "\n".join(["---", *lines, f"tags: [{recipe.method.name}, guanaco-workshop]", "---", ""])


def _opening(recipe: Recipe, task: Task, proof: Proof) -> str:
    base, rounding = recipe.base_model, ""
    if recipe.method.needs_its_precision:
        rounding = (
            f"\nIt makes up for what rounding to {base.precision} takes away: on the base in another precision "
            f"it answers worse."
        )
    return f"""# {recipe.title}

A {recipe.method.title()} adapter ({proof.update.parameters:,} learned parameters) for **{base.title}**,
trained on the base in {base.precision} with Guanaco Workshop. The base itself was not changed.
The lines below open it as it was when the figures of this card were measured.{rounding}

```python
{_in_peft(recipe, task, proof.base) if recipe.method.opens_in_peft else _in_the_app(recipe, task)}
tokenizer = AutoTokenizer.from_pretrained("{FOLDER}")
```
{recipe.method.how_else_opened(FOLDER)}"""


def _in_peft(recipe: Recipe, task: Task, opened: Base) -> str:
    """Lines of Python that end with `model`."""
    base = recipe.base_model
    ours = "\nfrom qlora_app.starter import BASE" if base.source == "starter" else ""
    named = "BASE" if ours else repr(base.id)
    given = [f"revision={base.revision!r}"] if base.source == "hub" and base.revision else []
    given += [f"dtype=torch.{opened.dtype}"] if opened.dtype else []
    given += ["quantization_config=quantization"] if opened.quantization else []
    given += [f"num_labels={len(task.labels)}", f"id2label={dict(enumerate(task.labels))}"] if task.labels else []
    given += ["ignore_mismatched_sizes=True"] if task.labels else []  # the head of another task makes place
    classes = sorted([task.auto_class, "AutoTokenizer", *(["BitsAndBytesConfig"] if opened.quantization else [])])
    return f"""{_imports(opened)}
from peft import PeftModel
from transformers import {", ".join(classes)}{ours}

{_quantization(opened)}base = {task.auto_class}.from_pretrained({", ".join([named, *given])})
model = PeftModel.from_pretrained(base, "{FOLDER}").eval()"""


def _imports(opened: Base) -> str:
    """On some CPUs bitsandbytes multiplies 4-bit weights in bf16, whatever it is told, with another kernel than it was
    measured with.
    """
    unlike = opened.device == "cpu" and "load_in_4bit" in opened.quantization
    return "import bitsandbytes.nn.modules\nimport torch" if unlike else "import torch"


def _quantization(opened: Base) -> str:
    """Lines that say how the base is packed; empty where it is not."""
    if not opened.quantization:
        return ""
    unlike = "bitsandbytes.nn.modules.has_avx512bf16 = lambda: False  # on a CPU: computed as below, not in bf16\n"
    options = [f"{name}={_code(name, value)}" for name, value in opened.quantization.items()]
    lines = textwrap.wrap(
        ", ".join(options),
        WIDTH,
        initial_indent="    ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    packed = "\n".join(["quantization = BitsAndBytesConfig(", *lines, ")", ""])
    return f"{unlike}{packed}" if "bitsandbytes" in _imports(opened) else packed


def _code(name: str, value: Any) -> str:
    return f"torch.{value}" if name.endswith("dtype") else repr(value)


def _in_the_app(recipe: Recipe, task: Task) -> str:
    whole = ", quantize=False" if recipe.method.quantizes_itself else ""
    return f"""from pathlib import Path
from transformers import AutoTokenizer
from qlora_app.base_models import ModelChoice, load_model
from qlora_app.methods import {type(recipe.method).__name__}

base = load_model({recipe.base_model!r}, {task.auto_class!r}, {task.labels!r}{whole})
model = {recipe.method!r}.load(base, Path("{FOLDER}"))"""


def _asking(task: Task, tokenizer: PreTrainedTokenizerBase | None) -> str:
    """The very text a question was put in, for other programs: with another one it answers worse, or not at all."""
    if tokenizer is None or not isinstance(task, Chat):
        return ""
    template = ChatTemplate.of(tokenizer)
    conversation: Conversation = [{"role": "user", "content": QUESTION}]
    if template.system:  # as all rows had it
        conversation.insert(0, {"role": "system", "content": template.system})
    try:
        asked = template.prompt(conversation, template.thinks_by_default).text
    except UserError:  # the template wants more than a question
        return ""
    tokens = [tokenizer.convert_ids_to_tokens(number) for number in template.stop_ids(template.thinks_by_default)]
    ends = " or ".join(f"`{end}`" for end in [*tokens, *template.stop_strings])
    return f"""## How to ask it

A question is put to it as the chat template in this folder writes it; this is one, up to where the answer begins:

````text
{asked}
````

An answer ends with {ends}.{_thinking(template)}
"""


def _thinking(template: ChatTemplate) -> str:
    if not template.has_thinking:
        return ""
    learned = "reason first" if template.thinks_by_default else "answer at once, without reasoning"
    return (
        f"\nThe template can ask for reasoning or for none (`enable_thinking`, or its own name for it); it was "
        f"taught to {learned}."
    )


def _measured(proof: Proof) -> str:
    lines = [] if proof.data.held_out else ["Nothing was held out, so what it answers could not be measured."]
    lines += [f"- {line}" for line in proof_words(proof)]
    words = (
        '"Before" is the same base with the adapter switched off. An answer is right only if it is so word for word.'
    )
    return "\n".join(["## Measured at the end of the run", "", *lines, "", words, ""])


def _data(recipe: Recipe, data: Data) -> str:
    return f"""## Data

{recipe.dataset.title}: {data.rows} rows, {data.trained} trained on, {data.held_out} held out, {data.left_out} left out,
{data.cut} of those learned from cut at the longest length allowed.
Fingerprint (sha256 of the conversations): `{data.fingerprint}`
"""


def _recipe(recipe: Recipe, versions: dict[str, str]) -> str:
    return f"""## Recipe

```yaml
{recipe.to_yaml()}```

Versions: {", ".join(f"{name} {number}" for name, number in versions.items())}
"""
