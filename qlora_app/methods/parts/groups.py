"""Group-wise quantized linear layers, and the adapter that goes into their zero points
(QA-LoRA, Xu et al. 2024, arXiv 2309.14717).
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraConfig
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from ...errors import UserError
from ..layers import linear_layers
from .bits import pack, unpack

SHRINK = torch.linspace(
    1.0, 0.5, 11
)  # parts of a group's range that are tried: a few far values need not cost all others precision


class GroupedLinear(nn.Module):
    """A linear layer whose weight is scale * (code - zero), scale and zero shared by
    `group` neighbouring inputs of an output.

    Codes are whole numbers of 2 to 4 bits, scales 16-bit, zero points 32-bit floating numbers: the adapter goes into
    them, and a rounded zero point would lose it.
    """

    # T5 brings what goes into a layer to the type of its weight: here that of the codes, and all would be lost
    weight = None

    def __init__(
        self, outputs: int, inputs: int, bits: int, group: int, has_bias: bool, kind: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bits, self.group = inputs, outputs, bits, group
        self.register_buffer("qweight", torch.empty(outputs, inputs * bits // 8, dtype=torch.uint8))
        self.register_buffer("scales", torch.empty(outputs, inputs // group, dtype=torch.float16))
        self.register_buffer("zeros", torch.empty(outputs, inputs // group, dtype=torch.float32))
        self.register_buffer("bias", torch.empty(outputs, dtype=kind) if has_bias else None)

    @classmethod
    def of(cls, layer: nn.Module, bits: int, group: int) -> "GroupedLinear":
        """The quantized twin of a linear layer, or of GPT-2's, whose weight stands the other way round."""
        weight = layer.weight.detach().T if isinstance(layer, Conv1D) else layer.weight.detach()
        made = cls(*weight.shape, bits, group, layer.bias is not None).to(weight.device)
        codes, made.scales, made.zeros = quantize(weight, bits, group)
        made.qweight = pack(codes, bits)
        made.bias = None if layer.bias is None else layer.bias.detach()
        return made

    def codes(self) -> torch.Tensor:
        """The whole numbers [outputs, inputs]."""
        return unpack(self.qweight, self.bits)

    def weight_from(self, zeros: torch.Tensor) -> torch.Tensor:
        """The weight [outputs, inputs] with these zero points."""
        codes = self.codes().view(*zeros.shape, self.group).to(zeros.dtype)
        return ((codes - zeros.unsqueeze(-1)) * self.scales.to(zeros.dtype).unsqueeze(-1)).view(
            self.out_features, self.in_features
        )

    def forward(self, x: torch.Tensor, zeros: torch.Tensor | None = None) -> torch.Tensor:
        if zeros is None:
            zeros = self.zeros
        y = _Multiply.apply(x, self, zeros)
        if self.bias is None:
            return y
        return y + self.bias.to(y.dtype)


class _Multiply(torch.autograd.Function):
    """x W^T with the weight unpacked once more for the backward pass, so that none is kept between the two."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: GroupedLinear, zeros: torch.Tensor) -> torch.Tensor:
        ctx.layer, ctx.zeros = layer, zeros
        return F.linear(x, layer.weight_from(zeros).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient @ ctx.layer.weight_from(ctx.zeros).to(gradient.dtype), None, None


def quantize(weight: torch.Tensor, bits: int, group: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weight [outputs, inputs] -> (codes uint8 alike, scales float16 and zero
    points float32 [outputs, inputs / group]).

    Rounded to nearest. Of each group's range the part is taken that gives the smallest squared error.
    """
    top = 2**bits - 1
    grouped = weight.float().unflatten(-1, (-1, group))
    low, high = grouped.amin(-1), grouped.amax(-1)
    middle, reach = (high + low) / 2, high - low
    best = torch.full_like(low, torch.inf)
    codes, scales, zeros = torch.empty_like(grouped, dtype=torch.uint8), torch.empty_like(low), torch.empty_like(low)
    for part in SHRINK.tolist():
        scale = (reach * part / top).clamp_min(1e-6).half().float()  # the codes are made with the scale that is kept
        zero = top / 2 - middle / scale
        code = (grouped / scale.unsqueeze(-1) + zero.unsqueeze(-1)).round_().clamp_(0, top)
        error = ((code - zero.unsqueeze(-1)) * scale.unsqueeze(-1) - grouped).square_().sum(-1)
        better = error < best
        best = torch.where(better, error, best)
        scales, zeros = torch.where(better, scale, scales), torch.where(better, zero, zeros)
        codes = torch.where(better.unsqueeze(-1), code.to(torch.uint8), codes)
    return codes.flatten(-2), scales.half(), zeros


class Pooled(nn.Linear):
    """A linear map of the sums over each group of inputs."""

    def __init__(self, inputs: int, outputs: int, group: int) -> None:
        super().__init__(inputs // group, outputs, bias=False)
        self.group = group
        nn.init.xavier_uniform_(self.weight)  # as in the authors' code

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.unflatten(-1, (-1, self.group)).sum(-1))


class PooledLora(LoraLinear):
    """LoRA on the group-pooled input of a `GroupedLinear`. Merged, it is nothing but other zero points.

    The base's own stay beside them, so that it still answers as it was with the adapter off.
    """

    weight = None  # PEFT would say the codes; see GroupedLinear
    merged_zeros: torch.Tensor | None = None

    def _get_in_out_features(self, module: GroupedLinear) -> tuple[int, int]:
        return module.in_features, module.out_features  # PEFT's own would warn that it does not know the type

    def update_layer(self, adapter_name: str, r: int, *args: Any, **kwargs: Any) -> None:
        super().update_layer(adapter_name, r, *args, **kwargs)
        plain, base = self.lora_A[adapter_name], self.get_base_layer()
        pooled = Pooled(base.in_features, r, base.group).to(plain.weight.device, plain.weight.dtype)
        self.lora_A[adapter_name] = pooled.requires_grad_(plain.weight.requires_grad)

    def shift(self) -> torch.Tensor:
        """What the active adapter adds to every weight of a group [outputs, inputs / group]."""
        name = self.active_adapters[0]
        return self.scaling[name] * (self.lora_B[name].weight @ self.lora_A[name].weight).detach()

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """scale * (code - zero) + shift = scale * (code - (zero - shift /
        scale)): codes and scales stay as they are.
        """
        base = self.get_base_layer()
        self.merged_zeros = base.zeros - self.shift().to(base.zeros.dtype) / base.scales.to(base.zeros.dtype)
        self.merged_adapters = list(self.active_adapters)

    def unmerge(self) -> None:
        self.merged_adapters, self.merged_zeros = [], None

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.disable_adapters:
            return self.get_base_layer()(x)
        if self.merged:
            return self.get_base_layer()(x, self.merged_zeros)
        return super().forward(x, *args, **kwargs)


def _inputs(layer: nn.Module) -> int:
    """GPT-2's Conv1D holds its weight as [inputs, outputs], a linear layer as [outputs, inputs]."""
    return layer.weight.shape[0 if isinstance(layer, Conv1D) else 1]


def quantize_blocks(model: nn.Module, bits: int, group: int) -> None:
    """Every linear layer of the transformer blocks becomes a `GroupedLinear`, one after the other. Raises UserError."""
    layers = linear_layers(model)
    sizes = {_inputs(layer) for layer in layers.values()}
    if odd := sorted(size for size in sizes if size % group or size % 8):
        fitting = [str(smaller) for smaller in (8, 16, 32, 64, 128) if all(size % smaller == 0 for size in sizes)]
        if not fitting:
            raise UserError(
                "method.no_group_fits",
                "Groups of {group} do not fit this model: it has layers of {inputs} inputs. No group size fits; choose "
                "LoRA.",
                group=group,
                inputs=", ".join(map(str, odd)),
            )
        raise UserError(
            "method.group_does_not_fit",
            "Groups of {group} do not fit this model: it has layers of {inputs} inputs. Groups of {fitting} would.",
            group=group,
            inputs=", ".join(map(str, odd)),
            fitting=", ".join(fitting),
        )
    for name, layer in layers.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, GroupedLinear.of(layer, bits, group))


def config_for(model: nn.Module, task_type: str | None, rank: int, alpha: int, dropout: float) -> LoraConfig:
    """PEFT's configuration of such an adapter on a model of `GroupedLinear`s."""
    names = [name for name, part in model.named_modules() if isinstance(part, GroupedLinear)]
    made = LoraConfig(task_type=task_type, r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names)
    made._register_custom_module({GroupedLinear: PooledLora})
    return made


def pooled_layers(model: nn.Module) -> dict[str, PooledLora]:
    """{name in the base model: adapted layer}"""
    return {
        name.removeprefix("base_model.model."): part
        for name, part in model.named_modules()
        if isinstance(part, PooledLora)
    }


# ---- the merged model on disk


def save_merged(model: nn.Module, folder: Path, bits: int, group: int) -> None:
    """The merged model with nothing of the adapter left: codes, scales, shifted zero
    points, and all else as it is in the base.
    """
    base, adapted, tensors, seen = model.get_base_model(), pooled_layers(model), {}, set()
    for name, tensor in base.state_dict().items():
        if (
            ".lora_" in name or ".original_module." in name or tensor.data_ptr() in seen
        ):  # tied embeddings are kept once
            continue
        seen.add(tensor.data_ptr())
        layer, _, last = name.rpartition(".base_layer.")
        name = name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")
        tensors[name] = (adapted[layer].merged_zeros if layer and last == "zeros" else tensor).contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    how = {
        "architectures": [type(base).__name__],
        "quantization_config": {"quant_method": "qa-lora", "bits": bits, "group": group},
    }
    (folder / "config.json").write_text(
        json.dumps(base.config.to_dict() | how, indent=2, default=str), encoding="utf-8"
    )


def open_merged(folder: Path) -> nn.Module:
    """The model of `save_merged`, for answering, without the base it came from.

    Raises UserError where it is not whole.
    """
    import transformers
    from accelerate import init_empty_weights

    config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    how, kind = config.quantization_config, config.dtype or torch.float32
    del config.quantization_config
    with init_empty_weights(include_buffers=False):
        model = getattr(transformers, config.architectures[0])._from_config(config, dtype=kind)
    for name, layer in linear_layers(model).items():
        parent, _, child = name.rpartition(".")
        sizes = layer.weight.T.shape if isinstance(layer, Conv1D) else layer.weight.shape
        setattr(
            model.get_submodule(parent),
            child,
            GroupedLinear(*sizes, how["bits"], how["group"], layer.bias is not None, kind),
        )
    _, unknown = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False, assign=True)
    model.tie_weights()
    if unknown or (missing := [name for name, p in model.named_parameters() if p.is_meta]):
        raise UserError(
            "method.base_not_whole",
            "{name} does not hold this model whole: {layers}.",
            name=folder.name,
            layers=", ".join((unknown or missing)[:3]),
        )
    return model.eval()


def take_merged(model: nn.Module, folder: Path) -> None:
    """The zero points of `save_merged` for a model with the same codes.

    Raises UserError where they are not the same, bit by bit.
    """
    saved = load_file(folder / "model.safetensors")
    for name, layer in pooled_layers(model).items():
        base = layer.get_base_layer()
        for part in ("qweight", "scales"):
            if not torch.equal(saved[f"{name}.{part}"].to(base.qweight.device), getattr(base, part)):
                raise UserError(
                    "method.base_changed",
                    "The codes of {name} are not those this adapter was merged into: the base model has changed. Bring "
                    "the old one back, or train again.",
                    name=name,
                )
        layer.merged_zeros = saved[f"{name}.zeros"].to(base.zeros.device)
        layer.merged_adapters = list(layer.active_adapters)


def with_plain_layers(model: nn.Module) -> nn.Module:
    """The base of a merged model, every `GroupedLinear` of it a plain layer again, as the base's files have it. Each
    remembers the codes it was made from as `grouped`: (codes, scales, zero points).
    """
    base = model.get_base_model()
    for name, layer in pooled_layers(model).items():
        grouped = layer.get_base_layer()
        zeros = layer.merged_zeros if layer.merged_zeros is not None else grouped.zeros
        parent, _, child = name.rpartition(".")
        setattr(base.get_submodule(parent), child, _plain(grouped, zeros))
    return base


def _plain(layer: GroupedLinear, zeros: torch.Tensor) -> nn.Linear:
    weight = layer.weight_from(zeros).detach()
    plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, dtype=weight.dtype)
    plain.weight.data = weight
    if layer.bias is not None:
        plain.bias.data = layer.bias.detach().to(weight.dtype)
    plain.grouped = (layer.codes(), layer.scales, zeros)
    return plain


# ---- what a merge costs elsewhere


def lost_in_merging(model: nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, float]:
    """How far the merged model's logits are from the unmerged one's, as a share of what the adapter changed: here, and
    where the same update is merged into the same weights in NF4 and rounded to NF4 again, as QLoRA would have to.
    """
    layers = pooled_layers(model).values()

    def logits(weight_of: Any = None) -> torch.Tensor:
        if weight_of:
            hooks = [
                layer.register_forward_hook(lambda layer, args, out: _with(weight_of(layer), args[0], layer))
                for layer in layers
            ]
        else:
            hooks = []
        try:
            return model(**inputs).logits.float()
        finally:
            for hook in hooks:
                hook.remove()

    def separate(layer: PooledLora) -> torch.Tensor:
        base = layer.get_base_layer()
        return _nf4(base.weight_from(base.zeros)) + layer.shift().repeat_interleave(base.group, 1)

    with torch.no_grad():
        with model.disable_adapter():
            base, base_nf4 = (
                logits(),
                logits(lambda layer: _nf4(layer.get_base_layer().weight_from(layer.get_base_layer().zeros))),
            )
        merged, kept, merged_nf4 = logits(), logits(separate), logits(lambda layer: _nf4(separate(layer)))
        for layer in layers:
            layer.merged_adapters = []  # unmerged for a moment: the zero points are kept
        unmerged = logits()
        for layer in layers:
            layer.merged_adapters = list(layer.active_adapters)
    return {
        "merge_error": _share(merged - unmerged, unmerged - base),
        "nf4_merge_error": _share(merged_nf4 - kept, kept - base_nf4),
        "largest_difference": float((merged - unmerged).abs().max()),
    }


def _with(weight: torch.Tensor, x: torch.Tensor, layer: PooledLora) -> torch.Tensor:
    bias = layer.get_base_layer().bias
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def _nf4(weight: torch.Tensor) -> torch.Tensor:
    """Rounded to NF4 with double quantization, in bitsandbytes' blocks of 64."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    flat = F.pad(weight.float().flatten(), (0, -weight.numel() % 64)).view(-1, 64)
    codes, state = quantize_4bit(flat, quant_type="nf4", blocksize=64, compress_statistics=True)
    return dequantize_4bit(codes, state).flatten()[: weight.numel()].view(weight.shape)


def _share(lost: torch.Tensor, learned: torch.Tensor) -> float:
    return float(lost.norm() / learned.norm().clamp_min(1e-12))
