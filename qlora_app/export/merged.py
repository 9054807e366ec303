"""Base and adapter merged, as a folder that transformers and whatever reads its files open."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ..base_models import ModelChoice
from ..base_models.recognition import facts_of_folder
from ..choices import setting
from ..errors import Problem
from ..hardware import here
from ..inference.loaded import give_memory_back
from ..inference.session import ChatSession
from ..jobs import JobWriter
from ..runs import Run
from ..runs.exports import Export, Fidelity
from ..settings import Settings
from .exporter import Exporter, telling
from .fidelity import Reference, of_model, outcomes, questions_for, reference
from .merging import BYTES, ROOM, fits_fp16, keep_for, merge_problem, merged_model, save_merged, too_large_for_fp16

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TYPES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
TRIED_IN_FP16 = 4  # right answers that a model in 16 bits is computed on
ROUNDED = ("nf4", "fp4", "int8")
NOT_TRAINED = (
    "This is not what was trained: the adapter learned beside the rounded base, and was merged into the original one."
)
TOO_LARGE = "The merged model is larger than the memory of this machine, so it was not opened again and not measured."
IN_32_BITS = (
    "It was asked while it computes in 32 bits. transformers computes in the type of the file unless it is told "
    'dtype="float32", and then words that are nearly as likely as others may change.'
)
Type = Literal["auto", "fp16", "bf16", "fp32"]  # auto: the smallest that is near enough


class MergedExporter(Exporter):
    """Saved in 16 or 32 bits, opened again, and asked what the adapter was asked."""

    title: ClassVar[str] = "Merged model"
    about: ClassVar[str] = (
        "Base and adapter as one model of transformers, opened again and asked what the adapter was asked."
    )

    name: Literal["merged"] = setting("merged", "Export", "What is made.", labels={"merged": "Merged model"})
    dtype: Type = setting(
        "auto",
        "Weights",
        "The first of 16-bit, bfloat16 and 32-bit that holds the model and answers as the adapter does. 16-bit is "
        "eight times nearer to what was trained than bfloat16, for models whose numbers it holds.",
        labels={"auto": "As measured", "fp16": "16-bit", "bf16": "16-bit (bfloat16)", "fp32": "32-bit"},
    )
    onto: Literal["trained", "original"] = setting(
        "trained",
        "Merged into",
        "The base as it was rounded while the adapter learned, or its original weights, which is not what was trained.",
        labels={"trained": "What was trained", "original": "Original weights"},
    )
    questions: int = setting(
        200, "Questions to compare", "Held-out questions that adapter and model are both asked.", ge=0, le=10_000
    )

    def called(self) -> str:
        parts = ["merged", self.dtype if self.dtype != "auto" else "", "original" if self.onto == "original" else ""]
        return "-".join(filter(None, parts))

    def problems(self, run: Run) -> dict[str, Problem]:
        problem = merge_problem(run)
        if problem:
            return {"name": problem}
        method = run.recipe().method
        if self.onto == "original" and (method.quantizes_itself or method.needs_its_precision):
            return {
                "onto": Problem(
                    "export.only_onto_trained",
                    "What {method} learned fits the rounded base only. Merge it into what was trained.",
                    method=method.title(),
                )
            }
        return {}

    def write(self, run: Run, folder: Path, out: JobWriter, settings: Settings) -> Export:
        began = time.monotonic()
        out.say("Loading the model.", state="starting")
        known = self._asked(run, out, settings)
        dtype, measured = self._nearest(run, folder, known, out)
        notes = [] if measured.reader else [TOO_LARGE]
        if measured.reader and dtype != "fp32":
            notes.append(IN_32_BITS)
        if self.onto == "original" and run.base_model().precision in ROUNDED:
            notes.insert(0, NOT_TRAINED)
        return self.made(run, folder, began, measured, notes, dtype)

    def _asked(self, run: Run, out: JobWriter, settings: Settings) -> Reference:
        session = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
        questions = questions_for(session, run, settings, self.questions)
        known = reference(session, questions, telling(out, "The adapter answers"))
        del session
        give_memory_back()
        return known

    def _nearest(self, run: Run, folder: Path, known: Reference, out: JobWriter) -> tuple[str, Fidelity]:
        """(the type that is saved, how far it is): the smallest that is near enough, else the nearest."""
        tried: dict[str, Fidelity] = {}
        for dtype in TYPES if self.dtype == "auto" else (self.dtype,):
            if not self._save(run, folder, dtype, known, out):
                continue
            tried[dtype] = _read_back(run, folder, known, out)
            if tried[dtype].level in ("green", "unknown") or self.onto == "original":
                return dtype, tried[dtype]
        nearest = min(tried, key=lambda one: tried[one].logits or 0.0)
        if nearest != dtype:
            self._save(run, folder, nearest, known, out)
        return nearest, tried[nearest]

    def _save(self, run: Run, folder: Path, dtype: str, known: Reference, out: JobWriter) -> bool:
        """False where it does not fit into this type and another may be taken. Raises UserError where none may."""
        import torch

        out.say("Merging base and adapter.")
        shutil.rmtree(folder)
        folder.mkdir()
        model = merged_model(run, folder, self.onto == "original")
        keep = keep_for(model, folder)
        fits = dtype != "fp16" or fits_fp16(model)
        if fits:
            save_merged(model, getattr(torch, TYPES[dtype]), folder, keep)
            known.tokenizer.save_pretrained(str(folder))
            fits = dtype != "fp16" or _is_finite(model, run, known)
        del model
        give_memory_back()
        if not fits and self.dtype == "fp16":
            raise too_large_for_fp16()
        return fits


def _is_finite(model: "PreTrainedModel", run: Run, known: Reference) -> bool:
    """Does it compute numbers in its own type? Some families have inner values beyond what fp16 holds."""
    task = run.task()
    task.prepare(known.tokenizer, model)
    made = outcomes(model, task, known.tokenizer, known.rights[:TRIED_IN_FP16])
    return all(bool(logits.isfinite().all()) for logits in made)


def _read_back(run: Run, folder: Path, known: Reference, out: JobWriter) -> Fidelity:
    """As it lies on the disk, opened as any base model is. Nothing is measured where it is larger than the memory."""
    numbers = facts_of_folder(folder).parameters or 0
    if here().free < ROOM * BYTES * numbers:
        return Fidelity()
    choice = ModelChoice(source="folder", id=str(folder), precision="fp32")
    session = ChatSession.open(choice, task=run.task())
    return of_model(known, session, telling(out, "The merged model answers"))
