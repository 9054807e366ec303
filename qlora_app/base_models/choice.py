"""Which base model a run starts from."""

import os
from pathlib import Path
from typing import Literal

from .. import starter
from ..choices import Choices, setting
from ..errors import Problem, UserError
from ..hub import Repository
from ..storage.outside import check_own
from .cards import Type
from .recognition import describe_folder

PRECISIONS = {"nf4": "4-bit NF4 (QLoRA)", "fp4": "4-bit FP4", "int8": "8-bit", "bf16": "16-bit", "fp32": "32-bit"}
SOURCES = {"starter": "Starter (embedded)", "folder": "Folder on this machine", "hub": "Hugging Face Hub"}

NONE_CHOSEN = Problem(
    "model.none_chosen", "No model is chosen. Give a folder, or a Hub id such as huggyllama/llama-7b."
)


class ModelChoice(Choices):
    """Which base model, and how it is held in memory while an adapter is trained beside it."""

    source: Literal["starter", "folder", "hub"] = setting(
        "starter", "Where the model is", "The starter is part of this app and needs no download.", labels=SOURCES
    )
    id: str = setting(
        "",
        "Model",
        "A folder with config.json and safetensors, or a Hub id such as huggyllama/llama-7b. Empty for the starter.",
    )
    revision: str = setting("", "Revision", "Branch, tag or commit of a Hub model; empty takes its main branch.")
    precision: Literal["nf4", "fp4", "int8", "bf16", "fp32"] = setting(
        "nf4", "Precision of the base", "4-bit needs a quarter of the memory of 16-bit.", labels=PRECISIONS
    )
    double_quantization: bool = setting(
        True, "Double quantization", "Quantizes the scales too: 0.4 bit less for each parameter (4-bit only)."
    )
    compute_type: Literal["auto", "bf16", "fp16", "fp32"] = setting(
        "auto",
        "Compute type",
        "What 4-bit weights are unpacked to. Automatic: bf16 on a GPU that has it, else fp16 or fp32; on a CPU "
        "what it computes faster. fp16 is for GPUs.",
        labels={"auto": "Automatic"},
    )

    @property
    def title(self) -> str:
        return "Pennywick starter" if self.source == "starter" else Path(self.id).name

    def computes_in(self, kind: str) -> Type:
        """The type of every number that is not quantized, on "cuda" or "cpu".

        For a run that has begun its base model names the type, and this is it. Before that `cards.compute_type`
        decides, which knows the card; without one this is what most have.
        """
        if self.precision == "fp32":
            return "fp32"
        if self.compute_type == "fp16" and kind == "cpu":  # which has no use for fp16, and fp32 holds it
            return "fp32"
        if self.compute_type != "auto":
            return self.compute_type
        return "bf16" if kind == "cuda" or self.precision == "bf16" else "fp32"

    @property
    def repository(self) -> Repository:
        """Where a model of the Hub is."""
        return Repository(self.id, self.revision)

    @property
    def folder(self) -> Path:
        """Where a model that needs no download lies. Raises UserError for one that is not a member's own."""
        return starter.BASE if self.source == "starter" else check_own(Path(os.path.expanduser(self.id)))

    def problems(self) -> dict[str, Problem]:
        """What is wrong with this choice, found without loading anything or asking anybody: {setting: sentence}."""
        if self.source == "starter":
            return {}
        if not self.id:
            return {"id": NONE_CHOSEN}
        if self.source == "hub":
            return self.repository.problems("huggyllama/llama-7b")
        return self._wrong_folder()

    def _wrong_folder(self) -> dict[str, Problem]:
        try:
            describe_folder(self.folder)
        except UserError as error:
            return {"id": error.problem}
        return {}
