"""Opening a base model: the one place, so that its guards hold for training, chat and scores alike."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .choice import ModelChoice
from .hub import kept_folder
from .recognition import read_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# transformers would leave output heads alone by default, but passing a list replaces its own.
NEVER_QUANTIZED = ["lm_head", "score", "classifier", "embed_out"]
SAFELY = {"trust_remote_code": False, "local_files_only": True}  # downloading is done elsewhere; opening never needs a network


def load_tokenizer(choice: ModelChoice) -> "PreTrainedTokenizerBase":
    """The model's own tokenizer; a missing pad token becomes the end token (masked by length, never by id)."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder_of(choice)), **SAFELY)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(choice: ModelChoice, quantize: bool = True) -> "PreTrainedModel":
    """The base model, quantized as chosen, or left to a method that quantizes it itself. Every part of the app loads through
    here, so that the guards always hold.

    Raises UserError where the model cannot be opened, or would be computed wrongly on this processor.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if problems := choice.problems():
        raise UserError(next(iter(problems.values())))
    _quiet_libraries()
    _keep_gradients_after_evaluation()
    model = AutoModelForCausalLM.from_pretrained(
        str(folder_of(choice)), dtype=compute_type(choice), quantization_config=_quantization(choice) if quantize else None,
        device_map={"": 0 if torch.cuda.is_available() else "cpu"}, use_safetensors=True, **SAFELY)
    if choice.source == "hub":  # an adapter names its base: by its id, which is the same on every machine
        model.name_or_path = model.config._name_or_path = choice.id
    model.config.use_cache = False  # with a cache, packed examples would read each other (no error, wrong loss)
    return model


def folder_of(choice: ModelChoice) -> Path:
    """Where the files of a model lie on this machine. Raises UserError for a Hub model that was not downloaded."""
    if choice.source != "hub":
        return choice.folder
    if folder := kept_folder(choice):
        return folder
    raise UserError(f"{choice.id} is not on this machine, or not whole. Start or resume a run with it: that downloads it.")


def family_of(choice: ModelChoice) -> str:
    """The model_type of a model that is on this machine ("llama", "gpt2"); empty for any other."""
    try:
        config = read_config(folder_of(choice) / "config.json")
    except (UserError, OSError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def check_family(config: dict[str, Any]) -> None:
    """Raises UserError for a family that this version of transformers cannot open."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    if config.get("model_type") not in KNOWN:
        raise UserError(f"Models of the family {config.get('model_type')!r} are unknown to this version of transformers "
                        f"({transformers.__version__}). Choose another model, or update transformers.")


def compute_type(choice: ModelChoice) -> "Any":
    """torch dtype of everything that is not quantized."""
    import torch

    kind = choice.computes_in("cuda" if torch.cuda.is_available() else "cpu")
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[kind]


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

    config = AutoConfig.from_pretrained(str(folder_of(choice)), **SAFELY)
    with torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(config)
    inputs = {name: part.nx if isinstance(part, Conv1D) else part.in_features
              for name, part in skeleton.named_modules() if isinstance(part, torch.nn.Linear | Conv1D)}
    return [name for name, size in inputs.items() if size % 64 == 32]
