"""Base and adapter merged, as a folder that transformers and whatever reads its files open."""

import time
from pathlib import Path
from typing import ClassVar, Literal

from ..base_models import ModelChoice
from ..choices import setting
from ..errors import Problem
from ..inference.loaded import give_memory_back
from ..inference.session import ChatSession
from ..jobs import JobWriter
from ..runs import Run
from ..runs.exports import Export, Fidelity
from ..settings import Settings
from .exporter import Exporter, telling
from .fidelity import Reference, held_out, of_model, reference
from .merging import check_fp16, merge_problem, merged_model

SHARD = "4GB"  # largest file


class MergedExporter(Exporter):
    """Saved in 16 or 32 bits, opened again, and asked what the adapter was asked."""

    title: ClassVar[str] = "Merged model"
    about: ClassVar[str] = (
        "Base and adapter as one model of transformers, opened again and asked what the adapter was asked."
    )

    name: Literal["merged"] = setting("merged", "Export", "What is made.", labels={"merged": "Merged model"})
    dtype: Literal["fp16", "bf16", "fp32"] = setting(
        "fp16",
        "Weights",
        "fp16 is eight times nearer to what was trained than bf16, for models whose weights it holds.",
        labels={"fp16": "16-bit", "bf16": "16-bit (bfloat16)", "fp32": "32-bit"},
    )
    questions: int = setting(
        200, "Questions to compare", "Held-out questions that adapter and model are both asked.", ge=0, le=10_000
    )

    def called(self) -> str:
        return f"merged-{self.dtype}"

    def problems(self, run: Run) -> dict[str, Problem]:
        problem = merge_problem(run)
        return {"name": problem} if problem else {}

    def write(self, run: Run, folder: Path, out: JobWriter, settings: Settings) -> Export:
        began = time.monotonic()
        out.say("Loading the model.", state="starting")
        known = self._asked(run, out, settings)
        out.say("Merging base and adapter.")
        self._save(run, folder, known)
        measured = _read_back(run, folder, known, out)
        return self.made(run, folder, began, measured)

    def _asked(self, run: Run, out: JobWriter, settings: Settings) -> Reference:
        session = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
        questions = held_out(session, run, settings, self.questions) if run.task().is_chat else []
        known = reference(session, questions, telling(out, "The adapter answers"))
        del session
        give_memory_back()
        return known

    def _save(self, run: Run, folder: Path, known: Reference) -> None:
        import torch

        model = merged_model(run)
        if self.dtype == "fp16":
            check_fp16(model)
        kind = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[self.dtype]
        model.to(kind).save_pretrained(str(folder), max_shard_size=SHARD)
        known.tokenizer.save_pretrained(str(folder))
        del model
        give_memory_back()


def _read_back(run: Run, folder: Path, known: Reference, out: JobWriter) -> Fidelity:
    """As it lies on the disk, opened as any base model is."""
    if not known.questions:
        return Fidelity()
    choice = ModelChoice(source="folder", id=str(folder), precision="fp32")
    session = ChatSession.open(choice, task=run.task())
    return of_model(known, session, telling(out, "The merged model answers"))
