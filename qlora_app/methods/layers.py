"""Which layers of a model a method is attached to: by what they are in their block, on every family."""

import re
from typing import TYPE_CHECKING

from ..base_models.families import names_in_use
from ..errors import Problem, UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def one_of(*roles: str) -> str:
    """A pattern of the names that layers with these roles have in any family."""
    return "|".join(map(re.escape, names_in_use(*roles)))


ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
# Of (IA)3: a fused layer gives queries, keys and values one after the other.
KEYS_AND_VALUES = re.compile(rf"(attn|attention)\b.*\.({one_of('key', 'value')})$", re.IGNORECASE)
FUSED = re.compile(rf"(attn|attention)\.({one_of('fused')})$", re.IGNORECASE)
DOWN = re.compile(rf"(?<!attention)\.({one_of('down')})$")


def linear_layers(model: "PreTrainedModel") -> "dict[str, torch.nn.Module]":
    """{full name: layer} of every linear layer that has a block around it: no embeddings, no output heads."""
    import torch
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer: its weight stands the other way round

    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Linear | Conv1D) and re.search(r"\.\d+\.", name)
    }


def attention_layers(model: "PreTrainedModel") -> list[str]:
    """Full names of the linear layers of its attention. Raises UserError where there is none by any usual name."""
    return _found(
        model, [name for name in linear_layers(model) if ATTENTION.search(name)], "no attention", "all linear layers"
    )


def named_layers(model: "PreTrainedModel", wanted: list[str]) -> list[str]:
    """The last names of layers that a person typed. Raises UserError with the real ones where one is not there."""
    there = {name.rpartition(".")[2] for name in linear_layers(model)}
    if strange := [name for name in wanted if name not in there]:
        raise UserError.of(no_such_layer(strange, there))
    return wanted


def no_such_layer(strange: list[str], there: "set[str]") -> Problem:
    """The sentence for names that are no layers of a model."""
    return Problem(
        "method.unknown_layers",
        "{names}: the model has no linear layer of this name. It has {there}.",
        names=", ".join(strange),
        there=", ".join(sorted(there)),
    )


def scaled_layers(model: "PreTrainedModel") -> tuple[list[str], list[str], list[str]]:
    """(keys and values, fused queries, keys and values, last layers of the feed-forward parts): full names, for (IA)3.

    Raises UserError for a model in which they cannot be told.
    """
    names = list(linear_layers(model))
    keys = list(filter(KEYS_AND_VALUES.search, names))
    fused = list(filter(FUSED.search, names))
    down = list(filter(DOWN.search, names))
    all_parts = down if keys or fused else []
    _found(model, all_parts, "no keys, values and feed-forward part that (IA)3 knows by name", "LoRA")
    return keys, fused, down


def _found(model: "PreTrainedModel", names: list[str], what: str, instead: str) -> list[str]:
    if not names:
        raise UserError(
            "method.no_such_part",
            "In this {model_type} model there is {what}. Choose {instead}.",
            model_type=model.config.model_type,
            what=what,
            instead=instead,
        )
    return names
