"""A LoRA that was made into a GGUF, as PEFT's files again: names and rows are turned back by the family of its base."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base_models import ModelChoice, folder_of
from ..base_models.config import read_config
from ..errors import UserError
from ..methods.fitting import CONFIG, WEIGHTS
from ..other_adapters.forms import lora_config
from .gguf_families import ROWS, as_trained, layers

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader


def read_lora(file: Path) -> "GGUFReader":
    """Raises UserError where it is no LoRA."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
    except Exception as error:  # the file is anybody's, and the reader trusts it
        raise UserError(
            "import.gguf_broken",
            "{file} is no whole GGUF file ({why}).",
            file=file.name,
            why=f"{type(error).__name__}: {error}"[:160],
        ) from error
    if _text(reader, "general.type") != "adapter" or _text(reader, "adapter.type") != "lora":
        raise UserError(
            "import.gguf",
            "This is a whole model as GGUF, or no LoRA. A base is a folder of transformers, and an adapter says "
            "`general.type=adapter`.",
        )
    return reader


def peft_of_gguf(reader: "GGUFReader", base: ModelChoice, target: Path) -> None:
    """Its tensors and settings in a folder. Raises UserError where it is not of this base."""
    from safetensors.torch import save_file

    config = read_config(folder_of(base) / "config.json")
    family, arch = str(config.get("model_type")), _text(reader, "general.architecture")
    if family not in ROWS or ROWS[family].arch != arch:
        raise UserError(
            "import.gguf_base",
            "It is an adapter for llama.cpp's {arch}, and its base is of the family {family}. Name the base it was "
            "trained on.",
            arch=arch or "?",
            family=family,
        )
    tensors = _tensors(reader, _layers_of(config), config)
    ranks = {name: tensor.shape[0] for name, tensor in tensors.items() if ".lora_A." in name}
    rank = max(ranks.values(), default=1)
    alpha = _number(reader, "adapter.lora.alpha") or float(rank)  # llama.cpp takes none for a factor of one
    save_file(tensors, str(target / WEIGHTS), {"format": "pt"})
    lora_config(target / CONFIG, tensors, rank, alpha, base.id, ranks)


def _text(reader: Any, key: str) -> str:
    field = reader.get_field(key)
    return str(field.contents()) if field else ""


def _number(reader: Any, key: str) -> float:
    field = reader.get_field(key)
    return float(field.contents()) if field else 0.0


def _layers_of(config: dict[str, Any]) -> dict[str, str]:
    """{llama.cpp's name of a layer: its name in transformers}."""
    import torch
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map
    from transformers import AutoConfig, AutoModelForCausalLM

    archs: dict[str, Any] = {name: arch for arch, name in MODEL_ARCH_NAMES.items()}
    names = get_tensor_name_map(MODEL_ARCH(archs[ROWS[config["model_type"]].arch]), layers(config))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    found = {names.get_name(name): name for name, _ in model.named_modules()}
    return {stored: name for stored, name in found.items() if stored}


def _tensors(reader: "GGUFReader", known: dict[str, str], config: dict[str, Any]) -> dict[str, "torch.Tensor"]:
    """{PEFT's name: numbers in 32 bits}. Raises UserError for a tensor of no layer of the base."""
    import torch
    from gguf.quants import dequantize

    made = {}
    for one in reader.tensors:
        stored, _, which = one.name.rpartition(".weight.lora_")
        layer = known.get(stored)
        if layer is None or which not in ("a", "b"):
            raise UserError(
                "import.gguf_tensor",
                "Its tensor {name} belongs to no layer of the base, so it was made for another one.",
                name=one.name[:100],
            )
        numbers = torch.from_numpy(dequantize(one.data, one.tensor_type).copy()).float()
        if which == "b":
            numbers = as_trained(f"{layer}.weight", numbers, config)
        made[f"base_model.model.{layer}.lora_{which.upper()}.weight"] = numbers.contiguous()
    return made
