"""The end of a run: the adapter on disk, and the proof of what it does."""

import contextlib
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..methods import update
from ..runs.files import write_json
from .card import model_card
from .job import Job
from .report import Reporter

RECORDED = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")


def finish(job: Job, reporter: Reporter) -> None:
    """Save the adapter, measure it, and move it into place as the last thing before the run is called done."""
    reporter.say("Measuring what it learned.", seconds_left=None)
    unfinished = job.run.folder / "adapter.tmp"
    shutil.rmtree(unfinished, ignore_errors=True)
    method = job.recipe.method
    changed = update(job.model, job.before)
    method.save(job.model, unfinished)
    job.tokenizer.save_pretrained(str(unfinished))
    figures = method.finish(job.model, unfinished)
    proof = {"heldout": held_out(job), "update": changed, "reload": reload(job, unfinished), "method": figures,
             "seconds": {"to_first_loss": reporter.seconds_to_first_loss, "training": reporter.seconds()},
             "data": {"fingerprint": job.examples.fingerprint, "rows": job.examples.rows, "trained": len(job.examples.train),
                      "held_out": len(job.examples.held_out), "left_out": len(job.examples.left_out), "cut": job.train.count_cut()},
             "versions": {name: version(name) for name in RECORDED}}
    (unfinished / "README.md").write_text(model_card(job.recipe, job.task, proof), encoding="utf-8")
    write_json(unfinished / "proof.json", proof)
    shutil.rmtree(job.run.adapter, ignore_errors=True)
    unfinished.rename(job.run.adapter)
    reporter.say("Finished.", state="done")


def held_out(job: Job) -> dict[str, Any]:
    """Loss, exact match and the task's other figures on examples that were never trained on, before (adapter off) and after.

    The base does not change in training, so "before" can be measured now, on the very same questions.
    """
    figures: dict[str, dict[str, float | None]] = {"loss": {"before": None, "after": None}, "exact_match": {"before": None, "after": None}}
    for when in ("before", "after"):
        for name, value in _measured(job, base=when == "before").items():
            figures.setdefault(name, {})[when] = value
    return {"loss": figures.pop("loss"), "exact_match": figures.pop("exact_match"), "questions": len(job.scored),
            "also_learned": job.also_learned, "figures": figures}


def _measured(job: Job, base: bool) -> dict[str, float]:
    figures = {}
    if job.held_out_batches:
        with job.model.disable_adapter() if base else contextlib.nullcontext():
            figures |= {name: round(value, 5) for name, value in job.task.measure(job.model, job.held_out_batches).items()}
    if job.scored:
        answers = job.task.answer(job.model, job.tokenizer, [q.conversation for q in job.scored], base, job.answer_length)
        figures |= {name: round(value, 4) for name, value in job.task.scores(answers, [q.expected for q in job.scored]).items()}
    return figures


def reload(job: Job, folder: Path) -> dict[str, float]:
    """The saved adapter, read back from disk, against the one in memory: largest difference of a logit, and the largest logit."""
    first = job.train.encoded(0)
    batch = job.task.collator(job.tokenizer, packing=False)([{"input_ids": first.input_ids[:256], "labels": first.labels[:256]}])
    batch = {name: values.to(job.model.device) for name, values in batch.items() if name != "labels"}
    job.model.eval()
    with torch.no_grad():
        in_memory = job.model(**batch).logits
        with job.recipe.method.from_disk(job.model, folder):
            from_disk = job.model(**batch).logits
    return {"max_difference": float((in_memory - from_disk).abs().max()), "largest": float(in_memory.abs().max())}


