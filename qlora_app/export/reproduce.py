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
from ..errors import Problem, UserError
from ..runs import Run
from ..runs.proof import Base, Proof
from ..storage.digests import sha256_of
from ..storage.reading import read_json
from .exporter import versions

TEMPLATES = Path(__file__).parent / "templates"
AT_ONCE = 4  # examples the script works off at once
NOT_OF_THE_ADAPTER = ("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version")
BY_TEMPLATE = """
def encode(row):
    made = tokenizer.apply_chat_template(row["messages"], return_dict=True, return_assistant_tokens_mask=True)
    labels = [id if learned else -100 for id, learned in zip(made["input_ids"], made["assistant_masks"])]
    return {"input_ids": made["input_ids"][:MAX_LENGTH], "labels": [-100, *labels[1:]][:MAX_LENGTH]}

"""
BY_TOKENS = """
def encode(row):
    return {"input_ids": row["input_ids"], "labels": [-100, *row["labels"][1:]]}

"""
LEARNED_BY_TEMPLATE = "The chat template marks what the assistant says, and only that is learned."
LEARNED_BY_TOKENS = (
    "Each row holds its tokens and labels as the run read them: its chat template alone does not say what is learned."
)


def losses_of(run: Run) -> dict[int, float]:
    """{step: loss}; of a step that was trained twice the last."""
    return {row["step"]: row["loss"] for row in run.metrics()[0] if "loss" in row}


def script_of(run: Run, folder: Path, by_template: bool) -> str:
    recipe, opened = run.recipe(), Proof.from_json(run.proof()).base
    adapter = read_json(run.adapter / "adapter_config.json") or {}
    kind, settings = _adapter(adapter)
    places = ["train.jsonl", "held_out.jsonl", "losses.json"]
    words: dict[str, Any] = {
        "title": run.title,
        "run": run.id,
        "notes": "".join(f"\n# {note}" for note in _notes(run)),
        "versions": "pip install " + " ".join(f"{name}=={number}" for name, number in _pinned().items()),
        "config": kind,
        "files": _literal({name: sha256_of(folder / name) for name in places}),
        "seed": recipe.training.seed,
        "base": _base(run, folder),
        "quantization": _literal(opened.quantization),
        "dtype": opened.dtype or "float32",
        "checkpointed": _is_checkpointed(run, opened),
        "adapter": _literal(settings),
        "what_is_learned": LEARNED_BY_TEMPLATE if by_template else LEARNED_BY_TOKENS,
        "max_length": longest(run),
        "encode": BY_TEMPLATE if by_template else BY_TOKENS,
        "training": _literal(_training(run, opened)),
    }
    text = (TEMPLATES / "reproduce.txt").read_text(encoding="utf-8")
    return re.sub("«(\\w+)»", lambda found: str(words[found[1]]), text)


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=110, sort_dicts=False)


def _base(run: Run, folder: Path) -> str:
    """What from_pretrained is told of where it lies, as Python. The starter is so small that it is taken along."""
    choice = run.base_model()
    if choice.source == "hub":
        return _literal({"pretrained_model_name_or_path": choice.id, "revision": choice.revision or "main"})
    if choice.source == "folder":
        return _literal({"pretrained_model_name_or_path": choice.id})
    (folder / "base").mkdir()
    for file in sorted(starter.BASE.iterdir()):
        if file.is_file():
            shutil.copyfile(file, folder / "base" / file.name)
    return '{"pretrained_model_name_or_path": HERE / "base"}'


def _training(run: Run, opened: Base) -> dict[str, Any]:
    """The recipe in the words of transformers' TrainingArguments."""
    training, on_gpu = run.recipe().training, opened.device.startswith("cuda")
    steps = run.status().total or max(losses_of(run), default=1)
    at_once = max(n for n in range(1, AT_ONCE + 1) if training.batch_size % n == 0)
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
        "bf16": on_gpu and opened.dtype == "bfloat16",
        "fp16": on_gpu and opened.dtype == "float16",
    }


def _card(on_gpu: bool) -> Card:
    return Card(name="GPU", capability=None, memory=0, is_amd=False) if on_gpu else CPU


def _is_checkpointed(run: Run, opened: Base) -> bool:
    facts = facts_of_folder(folder_of(run.base_model()))
    return memory.is_checkpointed(run.recipe(), facts.parameters or 0, opened.device.partition(":")[0])


def longest(run: Run) -> int:
    context = facts_of_folder(folder_of(run.base_model())).context
    return min(run.recipe().training.max_length, context or run.recipe().training.max_length)


def _adapter(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(PEFT's class, its settings as far as they are not the usual ones)"""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    kind = PEFT_TYPE_TO_CONFIG_MAPPING.get(str(config.get("peft_type")))
    if kind is None:
        raise UserError.of(not_plain(str(config.get("peft_type"))))
    usual = kind().to_dict()
    chosen = {
        name: sorted(value) if name == "target_modules" and isinstance(value, list) else value
        for name, value in config.items()
        if name in usual and name not in NOT_OF_THE_ADAPTER and value != usual[name]
    }
    return kind.__name__, chosen


def _notes(run: Run) -> Sequence[str]:
    notes = []
    if getattr(run.recipe().method, "dropout", 0):
        notes.append("Dropout is drawn anew: the recipe is the same, and single losses differ by chance.")
    if run.base_model().source == "folder":
        notes.append("The base was a folder of the machine it ran on: say below where it lies.")
    if run.recipe().training.keep == "best":
        notes.append("The run kept the adapter of its best held-out measurement; this keeps the last.")
    return notes


def _pinned() -> dict[str, str]:
    found = versions()
    return {name: number for name, number in found.items() if name in ("torch", "transformers", "peft", "bitsandbytes")}


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


def not_plain(method: str) -> Problem:
    return Problem(
        "export.script_method",
        "{method} for this task is learned by code of this workshop, which plain PEFT does not have. Its recipe does "
        "the run again: `train` with the run's recipe.yaml.",
        method=method,
    )
