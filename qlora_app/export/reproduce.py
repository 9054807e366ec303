"""The text of the script that does a run again: a template filled with the run's recipe, as a script or a notebook."""

import pprint
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import memory, starter
from ..base_models.cards import CPU, Card, optimizer
from ..base_models.loading import folder_of
from ..base_models.recognition import facts_of_folder
from ..methods import MethodChoices
from ..runs import Run
from ..runs.proof import Base, Proof
from ..start_from import COPY
from ..storage.digests import sha256_of
from ..storage.files import replace_file
from ..storage.reading import read_json
from .exporter import longest, versions, without_places
from .own_code import Made, own_code
from .published import STAYS_HERE, name_base, take_weights

TEMPLATES = Path(__file__).parent / "templates"
AT_ONCE = 4  # examples the script works off at once, where nothing depends on it
NOT_OF_THE_ADAPTER = ("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version")
OWN_FILE = "workshop.py"
ABOUT_OWN_FILE = (
    "What train.py needs beside transformers and PEFT: taken from Guanaco Workshop (Apache License 2.0), and as little "
    "of it as can be."
)
ASKED_OF_METHOD = ("attach", "before_first_step", "loss", "after_step", "save", "resume", "finish")
ASKED_OF_TASK = ("prepare", "collator", "loss", "measure")
OF_A_HEAD = [("base_models.loading", name) for name in ("keys_missing", "new_parts", "learn_in_32_bits")]
LEARNED_BY_TEMPLATE = "The chat template marks what the assistant says, and only that is learned."
LEARNED_BY_TOKENS = "Each row holds its tokens and labels as the run read them."


def losses_of(run: Run) -> dict[int, float]:
    """{step: loss}; of a step that was trained twice the last."""
    return {row["step"]: row["loss"] for row in run.metrics()[0] if "loss" in row}


def script_of(run: Run, folder: Path, by_template: bool) -> str:
    """Fills the template, and writes beside the data what else it asks for."""
    recipe, task, proof = run.recipe(), run.task(), Proof.from_json(run.proof())
    opened, method = proof.base, recipe.method
    own = _own_file(run, folder, proof)
    kind, settings = _adapter(run) if method.is_plain_peft else ("", {})
    starts = _take_beginning(run, folder)
    without_places(folder)  # before the checksums
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    checked = [name for name in files if not name.startswith(("base/", "tokenizer/"))]
    words: dict[str, Any] = {
        "title": " ".join(run.title.split()),  # it stands in a comment
        "run": run.id,
        "notes": "".join(f"\n# {note}" for note in _notes(run, proof)),
        "versions": "pip install " + " ".join(f"{name}=={number}" for name, number in _pinned().items()),
        "config": kind,
        "files": _literal({name: sha256_of(folder / name) for name in checked}),
        "own_file": OWN_FILE.removesuffix(".py"),
        "own": ", ".join(own),
        "own_method": not method.is_plain_peft,
        "own_task": not task.is_chat,
        "own_trainer": "OwnTrainer" in own,
        "own_loss": not task.is_chat and task.loss is not None,
        "trainer": "OwnTrainer" if "OwnTrainer" in own else "Trainer",
        "method": "None" if method.is_plain_peft else "METHOD",
        "by_length": _step_by_length(run, proof),
        "seed": recipe.training.seed,
        "auto_class": task.auto_class,
        "task_type": repr(task.peft_type),
        "labels": list(task.labels),
        "base": _base(run, folder),
        "from_hub": run.base_model().source == "hub",
        "reads_weights": method.needs_its_precision,
        "quantization": _literal(opened.quantization),
        "dtype": opened.dtype or "float32",
        "checkpointed": _is_checkpointed(run, opened),
        "adapter": _literal(settings),
        "starts": starts,
        "looks_first": type(method).before_first_step is not MethodChoices.before_first_step,
        "options": bool(method.option_losses),
        "by_template": by_template,
        "what_is_learned": LEARNED_BY_TEMPLATE if by_template else LEARNED_BY_TOKENS,
        "max_length": longest(run),
        "training": _literal(_training(run, proof)),
        "at_once": _at_once(run, proof),
    }
    text = (TEMPLATES / "reproduce.txt").read_text(encoding="utf-8")
    return _filled(text, words)


def _filled(text: str, words: dict[str, Any]) -> str:
    from jinja2 import Environment

    made = Environment(
        variable_start_string="«",
        variable_end_string="»",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return made.from_string(text).render(words)


def _own_file(run: Run, folder: Path, proof: Proof) -> list[str]:
    """Names of what the script takes from a file of ours, which is written; none where it needs no such file."""
    method, task = run.recipe().method, run.task()
    made, names = {}, []
    if not method.is_plain_peft:
        made["METHOD"] = Made.of(method, ASKED_OF_METHOD)
    if not task.is_chat:
        made["TASK"] = Made.of(task, ASKED_OF_TASK)
    names = [*OF_A_HEAD] if task.labels else []
    if method.option_losses:
        names.append(("tasks.options", "collator_with_options"))
    if made or names or _step_by_length(run, proof):
        names += [("train.own_trainer", "OwnTrainer"), ("train.own_trainer", "Told")]
    if not names:
        return []
    replace_file(folder / OWN_FILE, own_code(ABOUT_OWN_FILE, names, made))
    return sorted([*made, *(name for _, name in names)])


def _draws(run: Run) -> bool:
    """Does anything that learns depend on chance while it trains?"""
    return not run.recipe().method.is_plain_peft or run.recipe().method.drops_inputs or not run.task().is_chat


def _step_by_length(run: Run, proof: Proof) -> int:
    """Examples of a step, where chance falls on another one in another order; 0 elsewhere."""
    batch, at_once = run.recipe().training.batch_size, proof.data.at_once
    return batch if _draws(run) and not proof.data.packed and 0 < at_once < batch else 0


def _at_once(run: Run, proof: Proof) -> int:
    """Examples in a micro-batch: as many as in the run, where chance falls on each micro-batch."""
    batch = run.recipe().training.batch_size
    if _draws(run) and proof.data.at_once and batch % proof.data.at_once == 0:
        return proof.data.at_once
    return max(n for n in range(1, AT_ONCE + 1) if batch % n == 0)


def _take_beginning(run: Run, folder: Path) -> bool:
    """The adapter it began with goes along. Is there one?"""
    if not run.recipe().training.start_from:
        return False
    (folder / COPY).mkdir()
    for path in sorted((run.folder / COPY).iterdir()):
        if path.is_file() and path.suffix in (".safetensors", ".json") and path.name not in STAYS_HERE:
            copy = take_weights if path.suffix == ".safetensors" else shutil.copyfile
            copy(path, folder / COPY / path.name)
    choice = run.base_model()
    name_base(run, folder / COPY, choice.id if choice.source == "hub" else "base")
    return True


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=110, sort_dicts=False)


def _base(run: Run, folder: Path) -> str:
    """What from_pretrained is told of where it lies, as Python. The starter is so small that it is taken along."""
    choice = run.base_model()
    if choice.source == "hub":
        return _literal({"pretrained_model_name_or_path": choice.id, "revision": choice.revision or "main"})
    if choice.source == "starter":
        (folder / "base").mkdir()
        for file in sorted(starter.BASE.iterdir()):
            if file.is_file():
                shutil.copyfile(file, folder / "base" / file.name)
    return '{"pretrained_model_name_or_path": HERE / "base"}'


def _training(run: Run, proof: Proof) -> dict[str, Any]:
    """The recipe in the words of transformers' TrainingArguments."""
    training, on_gpu = run.recipe().training, proof.base.device.startswith("cuda")
    steps = run.status().total or max(losses_of(run), default=1)
    at_once = _at_once(run, proof)
    return {
        "max_steps": steps,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": training.batch_size // at_once,
        "learning_rate": training.learning_rate,
        "warmup_steps": round(training.warmup_ratio * steps),
        "lr_scheduler_type": "constant_with_warmup" if training.scheduler == "constant" else training.scheduler,
        "optim": optimizer(_card(on_gpu), training.optimizer).taken,
        "adam_beta2": training.adam_beta2,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "bf16": on_gpu and proof.base.dtype == "bfloat16",
        "fp16": on_gpu and proof.base.dtype == "float16",
    }


def _card(on_gpu: bool) -> Card:
    return Card(name="GPU", capability=None, memory=0, is_amd=False) if on_gpu else CPU


def _is_checkpointed(run: Run, opened: Base) -> bool:
    facts = facts_of_folder(folder_of(run.base_model()))
    return memory.is_checkpointed(run.recipe(), facts.parameters or 0, opened.device.partition(":")[0])


def _adapter(run: Run) -> tuple[str, dict[str, Any]]:
    """(PEFT's class, its settings as far as they are not the usual ones)"""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    config = read_json(run.adapter / "adapter_config.json") or {}
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[config["peft_type"]]
    usual = kind().to_dict()
    chosen = {
        name: sorted(value) if name == "target_modules" and isinstance(value, list) else value
        for name, value in config.items()
        if name in usual and name not in NOT_OF_THE_ADAPTER and value != usual[name]
    }
    return kind.__name__, chosen


def _notes(run: Run, proof: Proof) -> Sequence[str]:
    notes = []
    is_known = proof.data.at_once and not proof.data.packed
    if run.recipe().method.drops_inputs and not is_known:
        notes.append("Dropout is drawn anew: the recipe is the same, and single losses differ by chance.")
    if run.base_model().source == "folder":
        notes.append("The base was a folder of the machine it ran on: put it beside this as the folder base.")
    if run.recipe().training.keep == "best":
        notes.append("The run kept the adapter of its best held-out measurement; this keeps the last.")
    return notes


def _pinned() -> dict[str, str]:
    """As PyPI has them: what stands behind a + is a build of another place."""
    named = ("torch", "transformers", "peft", "bitsandbytes")
    return {name: number.partition("+")[0] for name, number in versions().items() if name in named}


# ---- two skins


def cells(text: str) -> list[tuple[str, str]]:
    """[(markdown | install | code, what stands in it)] of a text with `# %%` between its cells."""
    parts = re.split(r"^# %%(?: \[(\w+)\])?\n", text, flags=re.MULTILINE)
    return [(kind or "code", body.strip("\n")) for kind, body in zip(parts[1::2], parts[2::2], strict=True)]


def as_script(text: str) -> str:
    heads = {"markdown": "# %% [markdown]", "install": "# %%", "code": "# %%"}
    return "\n\n".join(f"{heads[kind]}\n{body}" for kind, body in cells(text)) + "\n"


def as_notebook(text: str) -> dict[str, Any]:
    """As nbformat 4.5 has it; on Colab with a GPU."""
    made = []
    for number, (kind, body) in enumerate(cells(text)):
        lines = body.splitlines(keepends=True)
        about: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
        if kind == "markdown":
            source = [line.removeprefix("#").removeprefix(" ") for line in lines]
            made.append({"cell_type": "markdown", **about, "source": source})
            continue
        if kind == "install":
            lines = [line.replace("# pip", "%pip", 1) for line in lines]
        made.append({"cell_type": "code", **about, "source": lines, "outputs": [], "execution_count": None})
    metadata = {
        "accelerator": "GPU",
        "colab": {"provenance": []},
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python"},
    }
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": made}
