"""Which base model a run starts from."""

import os
from pathlib import Path
from typing import Literal

from .. import starter
from ..choices import Choices, setting
from ..errors import UserError
from ..hub import Repository
from .recognition import describe_folder

PRECISIONS = {"nf4": "4-bit NF4 (QLoRA)", "fp4": "4-bit FP4", "int8": "8-bit", "bf16": "16-bit", "fp32": "32-bit"}
SOURCES = {"starter": "Starter (embedded)", "folder": "Folder on this machine", "hub": "Hugging Face Hub"}


class ModelChoice(Choices):
    """Which base model, and how it is held in memory while an adapter is trained beside it."""

    source: Literal["starter", "folder", "hub"] = setting(
        "starter", "Where the model is", "The starter is part of this app and needs no download.", labels=SOURCES)
    id: str = setting(
        "", "Model", "A folder with config.json and safetensors, or a Hub id such as huggyllama/llama-7b. Empty for the starter.")
    revision: str = setting("", "Revision", "Branch, tag or commit of a Hub model; empty takes its main branch.")
    precision: Literal["nf4", "fp4", "int8", "bf16", "fp32"] = setting(
        "nf4", "Precision of the base", "4-bit needs a quarter of the memory of 16-bit.", labels=PRECISIONS)
    double_quantization: bool = setting(
        True, "Double quantization", "Quantizes the scales too: 0.4 bit less for each parameter (4-bit only).")
    compute_type: Literal["auto", "bf16", "fp32"] = setting(
        "auto", "Compute type", "What 4-bit weights are unpacked to. Automatic: bf16 on a GPU, fp32 on a CPU.",
        labels={"auto": "Automatic"})

    @property
    def title(self) -> str:
        return "Pennywick starter" if self.source == "starter" else Path(self.id).name

    def computes_in(self, kind: str) -> Literal["bf16", "fp32"]:
        """The type of every number that is not quantized, on "cuda" or "cpu"."""
        if "fp32" in (self.precision, self.compute_type):
            return "fp32"
        return "bf16" if kind == "cuda" or "bf16" in (self.precision, self.compute_type) else "fp32"

    @property
    def repository(self) -> Repository:
        """Where a model of the Hub is."""
        return Repository(self.id, self.revision)

    @property
    def folder(self) -> Path:
        """Where a model that needs no download lies."""
        return starter.BASE if self.source == "starter" else Path(os.path.expanduser(self.id))

    def problems(self) -> dict[str, str]:
        """What is wrong with this choice, found without loading anything or asking anybody: {setting: sentence}."""
        if self.source == "starter":
            return {}
        if not self.id:
            return {"id": "No model is chosen. Give a folder, or a Hub id such as huggyllama/llama-7b."}
        return self.repository.problems("huggyllama/llama-7b") if self.source == "hub" else self._wrong_folder()

    def _wrong_folder(self) -> dict[str, str]:
        try:
            describe_folder(self.folder)
        except UserError as error:
            return {"id": str(error)}
        return {}
