"""How a LoRA begins, where it does not begin at nothing: LoftQ and PiSSA, both by a truncated SVD and on any device."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..storage.reading import read_text

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

OVERSAMPLING, POWER_ITERATIONS = 16, 4  # of the randomized SVD; singular values are right to about one in a thousand


def init_loftq(model: "PeftModel", folder: Path) -> None:
    """LoftQ (Li et al. 2023, one iteration): A and B become the best
    approximation of what rounding to 4 bits took away.

    The base keeps its codes, so nothing else has to be saved. `folder` holds the weights as they were before rounding.
    """
    original = _original_weights(folder)
    for name, layer in _lora_layers(model):
        rounded, exact = weight_of(layer.get_base_layer()), original(name)
        errors = [exact - rounded] if exact.shape == rounded.shape else []
        if exact.T.shape == rounded.shape:  # GPT-2's weights stand the other way round
            errors.append(exact.T - rounded)
        if not errors:
            raise UserError(
                "method.loftq_sizes",
                "{name} has other sizes in {folder} than in memory, so LoftQ cannot compare them. Choose another "
                "initialisation.",
                name=name,
                folder=folder.name,
            )
        _set(layer, min(errors, key=lambda error: float(error.norm())))


def init_pissa(model: "PeftModel") -> None:
    """PiSSA (Meng et al. 2024): A and B become the largest singular directions of each weight, which then learn.

    The residual base of the paper, W - B0 A0, is computed as W x - B0 (A0 x): the base stays as it is, answers as
    before while the adapter is switched off, and what is saved is a LoRA of twice the rank that fits it.
    """
    for _, layer in _lora_layers(model):
        weight = weight_of(layer.get_base_layer())
        _set(layer, weight)
        layer.register_forward_hook(SubtractInitialDelta(layer))


class SubtractInitialDelta:
    """Takes what an adapter began with away from what its layer gives."""

    def __init__(self, layer: Any) -> None:
        self.a = layer.lora_A["default"].weight.detach().clone()
        self.b = layer.lora_B["default"].weight.detach().clone()
        self.scaling = layer.scaling["default"]

    def __call__(self, layer: Any, inputs: "tuple[torch.Tensor, ...]", output: "torch.Tensor") -> "torch.Tensor":
        from torch.nn.functional import linear

        if layer.disable_adapters or layer.active_adapters != ["default"]:
            return output
        return output - (linear(linear(inputs[0].to(self.a.dtype), self.a), self.b) * self.scaling).to(output.dtype)


def save_doubled(model: "PeftModel", folder: Path) -> None:
    """Write B A - B0 A0 as one LoRA of twice the rank, which every tool opens on the untouched base."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    for name, layer in _lora_layers(model):
        began, key = _residual(layer), f"base_model.model.{name}"
        a, b = weights[f"{key}.lora_A.weight"], weights[f"{key}.lora_B.weight"]
        weights[f"{key}.lora_A.weight"] = torch.cat([a, began.a.to(a)])
        weights[f"{key}.lora_B.weight"] = torch.cat([b, -began.b.to(b)], dim=1)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = json.loads(read_text(folder / "adapter_config.json"))
    factor = math.sqrt(2) if config["use_rslora"] else 2
    config |= {"r": 2 * config["r"], "lora_alpha": config["lora_alpha"] * factor}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def resume_doubled(model: "PeftModel", folder: Path) -> None:
    """What `save_doubled` wrote, back into its two halves; what learns whole beside them, such as a head, as it is."""
    import torch
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(folder / "adapter_model.safetensors")
    set_peft_model_state_dict(model, {key: tensor for key, tensor in weights.items() if ".lora_" not in key})
    with torch.no_grad():
        for name, layer in _lora_layers(model):
            began, key = _residual(layer), f"base_model.model.{name}"
            rank = len(began.a)
            a, b = weights[f"{key}.lora_A.weight"], weights[f"{key}.lora_B.weight"]
            layer.lora_A["default"].weight.copy_(a[:rank])
            layer.lora_B["default"].weight.copy_(b[:, :rank])
            began.a.copy_(a[rank:])
            began.b.copy_(-b[:, rank:])


def weight_of(layer: "torch.nn.Module") -> "torch.Tensor":
    """The weight of a linear layer in 32 bit, [outputs, inputs], unpacked if it is quantized."""
    from peft.utils.integrations import dequantize_module_weight
    from transformers.pytorch_utils import Conv1D

    weight = dequantize_module_weight(layer).detach().float()
    if isinstance(layer, Conv1D):
        return weight.T
    return weight


def _set(layer: Any, wanted: "torch.Tensor") -> None:
    """A and B so that scaling * B A is the best approximation of `wanted` of this rank."""
    import torch

    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    rank = len(a)
    u, s, v = torch.svd_lowrank(wanted, q=min(*wanted.shape, rank + OVERSAMPLING), niter=POWER_ITERATIONS)
    root = (s[:rank] / layer.scaling["default"]).sqrt()
    with torch.no_grad():
        a.zero_()[: len(root)] = root[:, None] * v[:, :rank].T
        b.zero_()[:, : len(root)] = u[:, :rank] * root


def _lora_layers(model: "PeftModel") -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, part in model.get_base_model().named_modules():
        if isinstance(part, LoraLayer):
            yield name, part


def _residual(layer: Any) -> SubtractInitialDelta:
    return next(hook for hook in layer._forward_hooks.values() if isinstance(hook, SubtractInitialDelta))


def _original_weights(folder: Path) -> "Callable[[str], torch.Tensor]":
    """name of a layer -> its weight as the model's files hold it; only what is asked for is read."""
    from safetensors import safe_open

    files = {key: file for file in sorted(folder.glob("*.safetensors")) for key in safe_open(file, "pt").keys()}  # noqa: SIM118

    def weight(name: str) -> "torch.Tensor":
        parts = name.split(".")
        wanted = next((key for i in range(len(parts)) if (key := ".".join([*parts[i:], "weight"])) in files), None)
        if wanted is None:
            raise UserError(
                "method.loftq_names",
                "The files of {folder} name their weights otherwise than the model does ({name} is not among them), "
                "so LoftQ cannot compare them. Choose another initialisation.",
                folder=folder.name,
                name=name,
            )
        with safe_open(files[wanted], "pt") as file:
            return file.get_tensor(wanted).float()

    return weight
