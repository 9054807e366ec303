"""A run as a script and a notebook that owe us nothing: transformers, PEFT and bitsandbytes do it again."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ..choices import setting
from ..errors import Problem
from ..inference.loaded import tokenizer_of
from ..jobs import JobWriter
from ..messages import IGNORED
from ..preflight import examples_of
from ..runs import Run
from ..runs.exports import Export
from ..runs.proof import Proof
from ..settings import Settings
from ..storage.files import replace_file
from ..tasks.dataset import EncodedExamples
from ..tasks.options import ExamplesWithOptions
from .exporter import Exporter, telling
from .reproduce import as_notebook, as_script, longest, losses_of, script_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HELD_OUT = 100  # examples that the script measures


class ScriptExporter(Exporter):
    """train.py and train.ipynb, with the data, the tokenizer and the losses of the run beside them."""

    title: ClassVar[str] = "Script and notebook"
    about: ClassVar[str] = (
        "About a hundred lines in plain transformers, PEFT and bitsandbytes that do this run again, with its data and "
        "tokenizer beside them, and for what those do not have a small file; they print how far their losses are from "
        "the run's."
    )

    name: Literal["script"] = setting(
        "script", "Export", "What is made.", labels={"script": "Script and notebook (plain PEFT)"}
    )

    def problems(self, run: Run) -> dict[str, Problem]:
        recipe = run.recipe()
        if not Proof.from_json(run.proof()).is_trained:
            return {"name": _was_made()}
        if recipe.training.extends:
            return {"name": _goes_on(recipe.training.extends)}
        if recipe.preferences.is_on:
            return {"name": _prefers(recipe.preferences.title)}
        return {}

    def write(self, run: Run, folder: Path, out: JobWriter, settings: Settings) -> Export:
        began = time.monotonic()
        out.say("Reading the data.", state="starting")
        tokenizer = tokenizer_of(run.adapter)
        tokenizer.save_pretrained(str(folder / "tokenizer"))
        by_template = _write_data(run, tokenizer, folder, out, settings)
        replace_file(folder / "losses.json", json.dumps(losses_of(run)))
        text = script_of(run, folder, by_template)
        replace_file(folder / "train.py", as_script(text))
        replace_file(folder / "train.ipynb", json.dumps(as_notebook(text), indent=1))
        return self.made(run, folder, began)


def _was_made() -> Problem:
    return Problem(
        "export.script_not_trained",
        "This adapter was not trained by this run: it was imported or merged, so no script can train it again.",
    )


def _goes_on(before: str) -> Problem:
    return Problem(
        "export.script_extends",
        "This run goes on from the last checkpoint of {run}, with its optimizer, so a script of this one alone cannot "
        "make it again. Use `train` with its recipe.yaml.",
        run=before,
    )


def _prefers(trainer: str) -> Problem:
    return Problem(
        "export.script_prefers",
        "{trainer} holds each step against what the model said before. Use `train` with the run's recipe.yaml.",
        trainer=trainer,
    )


# ---- the data


def _write_data(
    run: Run, tokenizer: "PreTrainedTokenizerBase", folder: Path, out: JobWriter, settings: Settings
) -> bool:
    """The rows that were learned, in their order, and held-out ones. Does the template alone say what is learned of
    them?
    """
    recipe = run.recipe()
    found = examples_of(recipe.dataset, settings.data)
    length = longest(run)
    kind = ExamplesWithOptions if recipe.method.option_losses else EncodedExamples
    train = kind(found.train, tokenizer, length, run.task())
    train.meet_all(telling(out, "Reading example"))
    held_out = EncodedExamples(found.held_out, tokenizer, length, run.task())
    held_out.meet_all(may_be_none=True)
    measured = range(min(HELD_OUT, len(held_out)))
    parts = {"train.jsonl": (train, range(len(train))), "held_out.jsonl": (held_out, measured)}
    is_plain = run.task().is_chat and not recipe.method.option_losses
    by_template = is_plain and all(
        _says_it(tokenizer, part, place, length) for part, places in parts.values() for place in places
    )
    for name, (part, places) in parts.items():
        rows = [{"messages": part.conversation(place)} if by_template else _row(run, part[place]) for place in places]
        replace_file(folder / name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return by_template


def _row(run: Run, example: dict[str, list[int]]) -> dict[str, list[int]]:
    """Nothing predicts the first token of a chat."""
    return example | {"labels": [IGNORED, *example["labels"][1:]]} if run.task().is_chat else example


def _says_it(tokenizer: "PreTrainedTokenizerBase", part: EncodedExamples, place: int, length: int) -> bool:
    """Does transformers alone find these tokens and labels?"""
    ours = part[place]
    try:
        made = tokenizer.apply_chat_template(
            part.conversation(place), return_dict=True, return_assistant_tokens_mask=True
        )
    except Exception:  # a template is a program of somebody else's, with errors of its own
        return False
    ids, masks = made["input_ids"], made["assistant_masks"]
    labels = [id if learned else IGNORED for id, learned in zip(ids, masks, strict=True)]
    return (ids[:length], labels[1:length]) == (ours["input_ids"], ours["labels"][1:])
