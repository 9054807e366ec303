"""What can be trained: the embedded starter, a model in a local folder, a model of the Hugging Face Hub."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import starter
from .choices import Choices, setting
from .errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PRECISIONS = {"nf4": "4-bit NF4 (QLoRA)", "fp4": "4-bit FP4", "int8": "8-bit", "bf16": "16-bit", "fp32": "32-bit"}
SOURCES = {"starter": "Starter (embedded)", "folder": "Folder on this machine", "hub": "Hugging Face Hub"}
# transformers would leave output heads alone by default, but passing a list replaces its own.
NEVER_QUANTIZED = ["lm_head", "score", "classifier", "embed_out"]


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

    @property
    def location(self) -> str:
        """What transformers opens: a folder or a Hub id."""
        return str(starter.BASE) if self.source == "starter" else self.id

    def problems(self) -> dict[str, str]:
        """What is wrong with this choice, found without loading anything: {setting: sentence}."""
        if self.source == "starter":
            return {}
        if not self.id:
            return {"id": "No model is chosen. Give a folder, or a Hub id such as huggyllama/llama-7b."}
        if self.source == "folder":
            try:
                describe_folder(Path(self.id))
            except UserError as error:
                return {"id": str(error)}
        return {}


def describe_folder(folder: Path) -> dict[str, Any]:
    """The config of a model folder, after every check that needs no weights. Raises UserError with the reason."""
    folder = folder.expanduser()
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no model: config.json is missing. Choose the folder that contains it.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{folder / 'config.json'} is not valid JSON ({error}). Download the model again.") from error
    if not isinstance(config, dict):
        raise UserError(f"{folder / 'config.json'} is not a model's config. Download the model again.")
    if "auto_map" in config or config.get("trust_remote_code"):
        raise UserError(f"{folder.name} wants to run a program of its author. That is never done here; "
                        "choose a model whose architecture is part of transformers.")
    architectures = config.get("architectures") or []
    if not any(a.endswith(("ForCausalLM", "LMHeadModel")) for a in architectures):
        named = ", ".join(architectures) or "no architecture at all"
        raise UserError(f"{folder.name} is no model that writes text from left to right (its config names {named}). "
                        "Choose a causal language model, for example LLaMA, Mistral, Qwen or GPT-2.")
    _check_weights(folder)
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise UserError(f"{folder.name} has no tokenizer (tokenizer.json). Copy it from where the model came from.")
    return config


def _check_weights(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        old = [p.name for p in folder.glob("*.bin")]
        why = (f"only {old[0]}, a pickle, which can run any program when opened" if old else "no weights")
        raise UserError(f"{folder.name} holds {why}. This app opens .safetensors only.")
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        if strange := [n for n in names if Path(n).name != n]:
            raise UserError(f"{index.name} points outside its folder ({strange[0]}). Do not use this model.")
        if missing := sorted(n for n in names if not (folder / n).exists()):
            raise UserError(f"{folder.name} is incomplete: {missing[0]} is missing. Download it again.")


def local_models(folder: Path) -> list[Path]:
    """Every usable model folder directly below `folder`, sorted by name."""
    usable = []
    for candidate in sorted(folder.glob("*/config.json")):
        try:
            describe_folder(candidate.parent)
        except UserError:
            continue  # an unusable one says why when somebody chooses it by name
        usable.append(candidate.parent)
    return usable


def load_tokenizer(choice: ModelChoice) -> "PreTrainedTokenizerBase":
    """The model's own tokenizer; a missing pad token becomes the end token (masked by length, never by id)."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(choice.location, **_origin(choice))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(choice: ModelChoice) -> "PreTrainedModel":
    """The base model, quantized as chosen. Every part of the app loads through here, so that the guards always hold.

    Raises UserError where the model cannot be opened, or would be computed wrongly on this processor.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if problems := choice.problems():
        raise UserError(next(iter(problems.values())))
    _quiet_libraries()
    _keep_gradients_after_evaluation()
    model = AutoModelForCausalLM.from_pretrained(
        choice.location, dtype=compute_type(choice), quantization_config=_quantization(choice),
        device_map={"": 0 if torch.cuda.is_available() else "cpu"}, use_safetensors=True, **_origin(choice))
    model.config.use_cache = False  # with a cache, packed examples would read each other (no error, wrong loss)
    return model


def compute_type(choice: ModelChoice) -> "Any":
    """torch dtype of everything that is not quantized."""
    import torch

    if choice.precision == "fp32" or choice.compute_type == "fp32":
        return torch.float32
    if choice.precision == "bf16" or choice.compute_type == "bf16":
        return torch.bfloat16
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def _origin(choice: ModelChoice) -> dict[str, Any]:
    hub = choice.source == "hub"
    return {"trust_remote_code": False, "local_files_only": not hub, "revision": choice.revision or "main" if hub else "main"}


def _quantization(choice: ModelChoice) -> "Any":
    """transformers' quantization config, or None for 16 and 32 bit."""
    import torch
    from transformers import BitsAndBytesConfig

    if choice.precision == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if choice.precision not in ("nf4", "fp4"):
        return None
    skip = NEVER_QUANTIZED if torch.cuda.is_available() else NEVER_QUANTIZED + _unpacked_wrongly_on_cpu(choice)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=choice.precision, bnb_4bit_use_double_quant=choice.double_quantization,
        bnb_4bit_compute_dtype=compute_type(choice), llm_int8_skip_modules=skip)


def _quiet_libraries() -> None:
    """Terminals and logs are read by people: no progress bars and plans of other libraries."""
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def _keep_gradients_after_evaluation() -> None:
    """On CPUs with AVX512-BF16, bitsandbytes repacks a 4-bit layer at its first evaluation for a kernel without gradients:
    training would go on with wrong ones, and a merge would write garbage, without an error. Switched off before loading."""
    import bitsandbytes.nn.modules as bnb_modules

    bnb_modules.has_avx512bf16 = lambda: False


def _unpacked_wrongly_on_cpu(choice: ModelChoice) -> list[str]:
    """Names of linear layers that bitsandbytes' CPU kernel unpacks wrongly: those with in_features % 64 == 32.

    They stay unquantized. Read from the shapes alone, on the meta device.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer: its weight stands the other way round

    config = AutoConfig.from_pretrained(choice.location, **_origin(choice))
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    inputs = {name: part.nx if isinstance(part, Conv1D) else part.in_features
              for name, part in skeleton.named_modules() if isinstance(part, torch.nn.Linear | Conv1D)}
    return [name for name, size in inputs.items() if size % 64 == 32]
