"""Bottleneck adapters (Houlsby et al. 2019), and the model that carries adapters PEFT does not know."""

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ...errors import UserError
from .blocks import feed_forward, stacks

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


class Bottleneck(nn.Module):
    """Down to `rank` numbers, an activation, and up again: (..., hidden) -> (..., hidden).

    Its output is zero at the start, so the model begins where the base was.
    """

    def __init__(
        self, hidden: int, rank: int, dropout: float, activation: Callable[..., torch.Tensor] = nn.functional.gelu
    ) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden, rank), nn.Linear(rank, hidden)
        self.dropout, self.activation = nn.Dropout(dropout), activation
        self.enabled = True
        nn.init.normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = x.to(self.down.weight.dtype)  # adapters stay in 32 bits beside a base in fewer
        return self.up(self.dropout(self.activation(self.down(inside)))).to(x.dtype)


def behind_feed_forward(model: nn.Module, rank: int, dropout: float) -> None:
    """What comes out of the feed-forward part of each block also goes through a bottleneck, and the result is added."""
    for block, part in _parts(model):
        part.adapter = _bottleneck(model, block, rank, dropout)
        part.register_forward_hook(_add_adapter_of_output)


def beside_feed_forward(model: nn.Module, rank: int, dropout: float) -> None:
    """What goes into the feed-forward part of each block also goes through a bottleneck, and the results are added."""
    for block, part in _parts(model):
        part.adapter = _bottleneck(model, block, rank, dropout)
        first = getattr(block, "intermediate", part)  # BERT's feed-forward part is two modules: intermediate, output
        first.register_forward_pre_hook(partial(_remember_input, part))
        part.register_forward_hook(_add_adapter_of_input)


def _parts(model: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """(block, its feed-forward part) of the whole model. Raises UserError for a family whose parts are not known."""
    return [(block, feed_forward(block)) for stack in stacks(model) for block in stack]


def _bottleneck(model: nn.Module, block: nn.Module, rank: int, dropout: float) -> Bottleneck:
    return Bottleneck(model.config.hidden_size, rank, dropout).to(next(block.parameters()).device)


def _add_adapter_of_output(part: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    if not part.adapter.enabled:
        return output
    return output + part.adapter(output)


def _remember_input(part: nn.Module, first: nn.Module, args: tuple[Any, ...]) -> None:
    part._adapter_source = args[0]


def _add_adapter_of_input(part: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    source, part._adapter_source = part._adapter_source, None  # let go of it, so that its memory is free
    if not part.adapter.enabled:
        return output
    return output + part.adapter(source)


class AdaptedModel(nn.Module):
    """A model with adapters of our own inside, with those methods of a PeftModel that the app uses.

    Every attribute that it does not have is the base's.
    """

    is_quantized = False  # transformers refuses to train a quantized model without adapters, and knows only PEFT's

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base_model = base
        base.requires_grad_(False)
        for adapter in self.adapters():
            adapter.requires_grad_(True)
        # What the base's files do not hold, such as a classifier's head, learns whole.
        new_parts = getattr(base, "new_parts", [])
        for part in new_parts:
            base.get_submodule(part).requires_grad_(True)
        self.learned = [name for name, p in base.named_parameters() if p.requires_grad]
        beginnings = tuple(f"{part}." for part in new_parts)
        self._new_parts_before = {
            name: p.detach().clone() for name, p in base.named_parameters() if name.startswith(beginnings)
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
        """Inside it the base answers without adapters, and its new parts are as they were before they learned."""
        adapters = [part for part in self.base_model.modules() if hasattr(part, "enabled")]
        parameters = dict(self.base_model.named_parameters())
        learned = {name: parameters[name].data for name in self._new_parts_before}
        try:
            for name, tensor in self._new_parts_before.items():
                parameters[name].data = tensor
            for part in adapters:
                part.enabled = False
            yield
        finally:
            for name, tensor in learned.items():
                parameters[name].data = tensor
            for part in adapters:
                part.enabled = True

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """(how many numbers learn, how many there are), as PEFT counts them."""
        return self.base_model.num_parameters(only_trainable=True), self.base_model.num_parameters()

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors that learned, by their names in the base; not copies."""
        values = dict(self.base_model.named_parameters())
        return {name: values[name].detach() for name in self.learned}

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        """Inside it other tensors may be loaded; afterwards those of before are there again."""
        in_memory = {name: tensor.clone() for name, tensor in self.state().items()}
        try:
            yield
        finally:
            self.load_state(in_memory)

    def save(self, folder: Path, settings: dict[str, Any]) -> None:
        """Write `state()` and the method's settings as PEFT names them: WEIGHTS and CONFIG."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in self.state().items()}
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})
        config = {"base_model_name_or_path": getattr(self.base_model, "name_or_path", ""), **settings}
        (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Copy tensors of an earlier `state()` in. Raises UserError where names or shapes are not this model's."""
        here = self.state()
        in_one_only = tensors.keys() ^ here.keys()
        of_other_shape = {name for name in tensors.keys() & here.keys() if tensors[name].shape != here[name].shape}
        wrong = sorted(in_one_only | of_other_shape)
        if wrong:
            raise UserError(
                "method.adapter_does_not_fit",
                "The saved adapter does not fit this model and these settings: {wrong}. Use the base and the "
                "settings it was trained with.",
                wrong=", ".join(wrong[:3]),
            )
        for name, tensor in tensors.items():
            here[name].copy_(tensor)


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors that `AdaptedModel.save` wrote into a folder."""
    return load_file(folder / WEIGHTS)
