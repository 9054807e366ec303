"""Where things are in a model of any family that transformers knows."""

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from ...base_models.families import names_in_use
from ...errors import UserError


def stacks(model: nn.Module) -> list[nn.ModuleList]:
    """The model's lists of transformer blocks: one, or encoder and decoder. Raises UserError where there is none."""
    found = []
    for part in model.modules():
        if not isinstance(part, nn.ModuleList) or not len(part):
            continue
        if all(isinstance(block, GradientCheckpointingLayer) for block in part):
            found.append(part)
    if not found:
        raise UserError(
            "method.no_blocks",
            "No list of transformer blocks was found in a {model}, and this method works on them. Choose LoRA, "
            "which needs none.",
            model=type(model).__name__,
        )
    return found


def feed_forward(block: nn.Module) -> nn.Module:
    """The feed-forward part of a block. Raises UserError for a family that builds it in a way unknown here."""
    for known in names_in_use("feed_forward"):
        for name, part in block.named_modules():
            if name == known or (known == "DenseReluDense" and name.endswith(".DenseReluDense")):
                return part
    raise UserError(
        "method.no_feed_forward",
        "The feed-forward part of a {block} was not found, and this method works on it. Choose LoRA, which needs none.",
        block=type(block).__name__,
    )
