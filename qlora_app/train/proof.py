"""The end of a run: the adapter on disk, and the proof of what it does."""

import math
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..chat import answer_all
from ..methods import update
from ..runs.files import write_json
from ..tasks.chat import held_out_loss, same_answer
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
    (unfinished / "README.md").write_text(model_card(job.recipe, proof), encoding="utf-8")
    write_json(unfinished / "proof.json", proof)
    shutil.rmtree(job.run.adapter, ignore_errors=True)
    unfinished.rename(job.run.adapter)
    reporter.say(_in_words(proof), state="done")


def held_out(job: Job) -> dict[str, Any]:
    """Loss and exact match on examples that were never trained on, before (adapter off) and after.

    The base does not change in training, so "before" can be measured now, on the very same questions.
    """
    loss = exact = {"before": None, "after": None}
    if job.held_out_batches:
        with job.model.disable_adapter():
            before = held_out_loss(job.model, job.held_out_batches)
        loss = {"before": round(before, 5), "after": round(held_out_loss(job.model, job.held_out_batches), 5)}
    if job.scored:
        exact = {"before": _exact_match(job, base=True), "after": _exact_match(job, base=False)}
    return {"loss": loss, "exact_match": exact, "questions": len(job.scored)}


def _exact_match(job: Job, base: bool) -> float:
    """Share of the scored questions answered word for word."""
    answers = answer_all(job.model, job.tokenizer, [q.conversation for q in job.scored], base, job.answer_length)
    right = sum(same_answer(a, q.expected) for a, q in zip(answers, job.scored, strict=True))
    return round(right / len(job.scored), 4)


def reload(job: Job, folder: Path) -> dict[str, float]:
    """The saved adapter, read back from disk, against the one in memory: largest difference of a logit."""
    ids = torch.tensor([job.train.encoded(0).input_ids[:256]], device=job.model.device)
    job.model.eval()
    with torch.no_grad():
        in_memory = job.model(input_ids=ids, use_cache=False).logits
        with job.recipe.method.from_disk(job.model, folder):
            from_disk = job.model(input_ids=ids, use_cache=False).logits
    return {"max_difference": float((in_memory - from_disk).abs().max())}


def _in_words(proof: dict[str, Any]) -> str:
    exact, count = proof["heldout"]["exact_match"], proof["heldout"]["questions"]
    if not count:
        return "Finished."
    before, after = (math.floor(exact[k] * count + 0.5) for k in ("before", "after"))
    return f"Finished. Of {count} questions it had never seen, {after} are answered word for word; {before} were before."


