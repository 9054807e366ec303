"""The end of a run: the adapter that is kept, on disk, and the proof of what it does."""

import contextlib
import math
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..base_models import fingerprint, folder_of
from ..foreign import is_foreign
from ..methods import changed_layers
from ..runs.proof import (
    MEASURING,
    Answered,
    Base,
    Change,
    Data,
    Distance,
    HeldOut,
    Kept,
    Proof,
    Reload,
    Seconds,
    TrainingLoss,
    Update,
)
from ..runs.since import weights_of
from ..storage.files import write_json
from .asking import AskingCallback
from .best import BestSoFar
from .callbacks import MetricsCallback, sample
from .card import model_card
from .endings import with_endings
from .general import ask_general
from .log_lines import log_finished
from .preferences.proof import preferred
from .questions import spread
from .scoring import score
from .setup import TrainingSetup

RECORDED = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")
RELOADED_ROWS = 4
MOST_BATCHES, MOST_LABELS = 16, 2000  # of held-out rows on which adapter and base are held against each other
RELOADED_NUMBERS = 64_000_000  # logits kept for the comparison: a quarter of a gigabyte
QUANTIZED_AS = {  # what BitsAndBytesConfig is to be given again, for 8 bits and for 4
    False: ("load_in_8bit", "llm_int8_skip_modules"),
    True: (
        "load_in_4bit",
        "bnb_4bit_quant_type",
        "bnb_4bit_use_double_quant",
        "bnb_4bit_compute_dtype",
        "llm_int8_skip_modules",
    ),
}
# steps whose mean is the training loss at the end, for single ones jump; of a short run its last tenth
LAST_LOSSES = 20


def finish(job: TrainingSetup, reporter: MetricsCallback, best: BestSoFar, asking: AskingCallback) -> None:
    """Save the adapter that is kept, measure it, and move it into place as the last thing before the run is called
    done. What was asked meanwhile is answered by it.
    """
    reporter.say(MEASURING, seconds_left=None)
    unfinished = job.run.folder / "adapter.tmp"
    shutil.rmtree(unfinished, ignore_errors=True)
    kept = _kept(job, best, reporter.status.step)
    method = job.recipe.method
    changed = changed_layers(job.model, job.before)
    method.save(job.model, unfinished)
    job.tokenizer.save_pretrained(str(unfinished))
    figures = method.finish(job.model, unfinished)
    seconds = Seconds(reporter.seconds_to_first_loss, reporter.seconds())
    allowed = seconds.training or 0.0  # to answer questions takes no longer than to learn
    proof = Proof(
        heldout=held_out(job, allowed),
        learned=score(job, job.questions.learned, allowed).answered,
        general=ask_general(job, allowed),
        kept=kept,
        # a loss of preferences is no loss of answers, and is not held against one
        loss=TrainingLoss() if job.objective else training_loss(reporter, kept),
        update=Update(**changed),
        reload=reload(job, unfinished),
        method=figures,
        base=replace(base_of(job.model), fingerprint=fingerprint(folder_of(job.recipe.base_model))),
        weights=weights_of(unfinished),
        seconds=seconds,
        data=data_figures(job),
        preferred=preferred(job, distance),
        versions={name: version(name) for name in RECORDED},
    )
    (unfinished / "README.md").write_text(model_card(job.recipe, job.task, proof, job.tokenizer), encoding="utf-8")
    write_json(unfinished / "proof.json", proof.to_json())
    if kept.is_earlier:
        sample(job, job.model, kept.step or 0)  # what it answers now
    asking.answer(kept.step or 0)
    shutil.rmtree(job.run.adapter, ignore_errors=True)
    unfinished.rename(job.run.adapter)
    best.forget()
    log_finished(kept, seconds.training or 0.0)
    reporter.say("Finished.", state="done", seconds=seconds.training or 0.0)


def _kept(job: TrainingSetup, best: BestSoFar, steps: int) -> Kept:
    if best.last is None and best.best is not None:  # it was ended before it could be proven, and is measured once more
        best.hear(job.model, steps, steps, job.measure())
    return best.restore(job.model, steps)


def held_out(job: TrainingSetup, seconds: float) -> HeldOut:
    """Loss, exact match and the task's other figures on examples that were never trained on, before (adapter off) and
    after. Every answer is kept in the run's folder.

    The base does not change in training, so "before" can be measured now, on the very same questions, if it was not at
    the beginning. `seconds`: how long answering may take.
    """
    measured: dict[str, dict[str, float | None]] = {}
    for when in ("before", "after") if job.held_out_batches else ():
        for name, value in _measured(job, is_base=when == "before").items():
            measured.setdefault(name, {})[when] = round(value, 5)
    scored = score(job, job.questions.held_out, seconds)
    job.out.write_held_out_answers([one.to_json() for one in scored.answers])
    asked = with_endings(job, replace(scored.answered, out_of_reach=job.questions.out_of_reach), scored, seconds)
    loss = Change(**measured.pop("loss", {}))
    figures = measured | scored.figures
    accuracy_name = {one.name: getattr(asked, one.name) for one in fields(Answered)}
    return HeldOut(
        **accuracy_name,
        loss=loss,
        distance=distance(job),
        also_learned=job.questions.also_learned,
        figures=figures,
    )


def distance(job: TrainingSetup, other: Callable[[], AbstractContextManager[Any]] | None = None) -> Distance:
    """Of the adapter from its base, or from what the model is in the `other` context, on held-out rows from all over
    the data, as many as are enough for a mean.
    """
    batches = job.held_out_batches
    if not batches:
        return Distance()
    nats, labels = job.task.distance(job.model, spread(batches, MOST_BATCHES), MOST_LABELS, other)
    return Distance(float(f"{nats:.4g}"), labels) if labels and math.isfinite(nats) else Distance()


def _measured(job: TrainingSetup, is_base: bool) -> dict[str, float]:
    if is_base and job.measured_base is not None:
        return job.measured_base
    with job.model.disable_adapter() if is_base else contextlib.nullcontext():
        return job.task.measure(job.model, job.held_out_batches)


def training_loss(reporter: MetricsCallback, kept: Kept) -> TrainingLoss:
    """Of the first step, and the mean of the last ones up to the kept one."""
    count, total = 0, 0.0
    most = min(LAST_LOSSES, max(1, kept.of // 10))
    for first_step, losses, their_sum, *_ in reversed(reporter.curve.buckets):
        if first_step <= (kept.step or 0) and count < most:
            count, total = count + losses, total + their_sum
    return TrainingLoss(reporter.first_loss, round(total / count, 5) if count else None)


def reload(job: TrainingSetup, folder: Path) -> Reload:
    """The saved adapter, read back from disk, against the one in memory, on rows from all over the learned data."""
    rows = job.train.spread(RELOADED_ROWS)
    most = max(32, RELOADED_NUMBERS // (len(rows) * getattr(job.model.config, "vocab_size", 1)))
    collate = job.task.collator(job.tokenizer, packing=False)
    batches = [collate([{"input_ids": row.input_ids[:most], "labels": row.labels[:most]}]) for row in rows]
    batches = [
        {name: values.to(job.model.device) for name, values in batch.items() if name != "labels"} for batch in batches
    ]
    job.model.eval()
    with torch.no_grad():
        in_memory = [job.model(**batch).logits for batch in batches]
        with job.recipe.method.from_disk(job.model, folder):
            differences = [
                _difference(job.model(**batch).logits, known) for batch, known in zip(batches, in_memory, strict=True)
            ]
    return Reload(
        max(differences),
        max(float(logits.abs().max()) for logits in in_memory),
        len(rows),
        sum(batch["input_ids"].numel() for batch in batches),
    )


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def base_of(model: Any) -> Base:
    """How the base under an adapter was opened, for those who open it again."""
    opened = model.get_base_model() if hasattr(model, "get_base_model") else model.base_model
    config = getattr(opened.config, "quantization_config", None)
    given = config.to_dict() if hasattr(config, "to_dict") else config or {}
    wanted = QUANTIZED_AS[given.get("load_in_4bit", False)] if given else ()
    quantization = {name: given[name] for name in wanted if given.get(name)}
    if "llm_int8_skip_modules" in quantization:
        quantization["llm_int8_skip_modules"] = list(dict.fromkeys(quantization["llm_int8_skip_modules"]))
    return Base(str(opened.dtype).removeprefix("torch."), opened.device.type, quantization)


def data_figures(job: TrainingSetup) -> Data:
    """What it was trained on, in figures, and whether its base can know of it."""
    examples = job.examples
    return Data(
        examples.fingerprint,
        examples.rows,
        len(examples.train),
        len(examples.held_out),
        len(examples.left_out) + job.not_learned,
        job.train.count_cut(),
        job.max_length,
        job.micro_batch,
        job.packing,
        is_foreign(examples.train) if job.recipe.base_model.source == "starter" else None,
    )
