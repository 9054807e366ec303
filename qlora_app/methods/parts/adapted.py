"""Bottleneck adapters (Houlsby et al. 2019), and the model that carries adapters PEFT does not know."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ...errors import UserError
from .blocks import feed_forward, stacks

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


class Bottleneck(nn.Module):
    """Down to `rank` numbers, an activation, and up again; zero at the start, so that the model begins where it was."""

    def __init__(
        self, hidden: int, rank: int, dropout: float, activation: Callable[..., torch.Tensor] = nn.functional.gelu
    ) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden, rank), nn.Linear(rank, hidden)
        self.dropout, self.activation, self.is_on = nn.Dropout(dropout), activation, True
        nn.init.normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = x.to(self.down.weight.dtype)  # adapters stay in 32 bits beside a base in fewer
        return self.up(self.dropout(self.activation(self.down(inside)))).to(x.dtype)


def behind_feed_forward(model: nn.Module, rank: int, dropout: float) -> None:
    """What comes out of the feed-forward part of each block also goes through a bottleneck, and the result is added."""
    for block, part in _parts(model):
        part.adapter = _made(model, block, rank, dropout)
        part.register_forward_hook(_behind)


def beside_feed_forward(model: nn.Module, rank: int, dropout: float) -> None:
    """What goes into the feed-forward part of each block also goes through a bottleneck, and the results are added."""
    for block, part in _parts(model):
        part.adapter = _made(model, block, rank, dropout)
        begins = block.intermediate if hasattr(block, "intermediate") else part  # BERT's is two parts of the block
        begins.ends = (part,)  # a tuple, so that it is not registered a second time
        begins.register_forward_pre_hook(_remember)
        part.register_forward_hook(_beside)


def _parts(model: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """(block, its feed-forward part) of the whole model. Raises UserError for a family whose parts are not known."""
    return [(block, feed_forward(block)) for stack in stacks(model) for block in stack]


def _made(model: nn.Module, block: nn.Module, rank: int, dropout: float) -> Bottleneck:
    return Bottleneck(model.config.hidden_size, rank, dropout).to(next(block.parameters()).device)


def _behind(part: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    return output + part.adapter(output) if part.adapter.is_on else output


def _remember(part: nn.Module, args: tuple[Any, ...]) -> None:
    part.ends[0].given = args[0]


def _beside(part: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    given, part.given = part.given, None
    return output + part.adapter(given) if part.adapter.is_on else output


class AdaptedModel(nn.Module):
    """A model with adapters of our own inside; it has of PeftModel's
    surface what the app uses. Everything else is asked of the base.
    """

    is_quantized = False  # transformers refuses to train a quantized model without adapters, and knows only PEFT's

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base_model = base
        base.requires_grad_(False)
        for adapter in self.adapters():
            adapter.requires_grad_(True)
        for part in getattr(
            base, "new_parts", []
        ):  # what the base's files do not hold, such as a classifier's head, learns whole
            base.get_submodule(part).requires_grad_(True)
        self.learned = [name for name, p in base.named_parameters() if p.requires_grad]
        self._before = {
            name: p.detach().clone()
            for name, p in base.named_parameters()
            if any(name.startswith(f"{part}.") for part in getattr(base, "new_parts", []))
        }

    def adapters(self) -> list[Bottleneck]:
        return [part for part in self.base_model.modules() if isinstance(part, Bottleneck)]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":  # not there yet
                raise
            return getattr(self.base_model, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base_model(*args, **kwargs)

    @contextlib.contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The base answers as it is, with the new parts as they were."""
        switches = [part for part in self.base_model.modules() if hasattr(part, "is_on")]
        here = dict(self.base_model.named_parameters())
        learned = {name: here[name].data for name in self._before}
        try:
            for name, tensor in self._before.items():
                here[name].data = tensor
            for part in switches:
                part.is_on = False
            yield
        finally:
            for name, tensor in learned.items():
                here[name].data = tensor
            for part in switches:
                part.is_on = True

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that learned."""
        values = dict(self.base_model.named_parameters())
        return {name: values[name].detach() for name in self.learned}

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        """Other tensors may be taken meanwhile; afterwards those of now are there again."""
        in_memory = {name: tensor.clone() for name, tensor in self.state().items()}
        try:
            yield
        finally:
            self.take(in_memory)

    def save(self, folder: Path, settings: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: tensor.contiguous() for name, tensor in self.state().items()}, folder / WEIGHTS, {"format": "pt"}
        )
        base = getattr(self.base_model, "name_or_path", "")
        (folder / CONFIG).write_text(
            json.dumps({"base_model_name_or_path": base, **settings}, indent=2), encoding="utf-8"
        )

    def take(self, tensors: dict[str, torch.Tensor]) -> None:
        """Tensors of `state`. Raises UserError where they are not those of this model."""
        here = self.state()
        if wrong := sorted(
            {*tensors} ^ {*here} | {name for name in {*tensors} & {*here} if tensors[name].shape != here[name].shape}
        ):
            raise UserError(
                "method.adapter_does_not_fit",
                "The saved adapter does not fit this model and these settings: {wrong}. Use the base and the "
                "settings it was trained with.",
                wrong=", ".join(wrong[:3]),
            )
        for name, tensor in tensors.items():
            here[name].copy_(tensor)


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / WEIGHTS)
