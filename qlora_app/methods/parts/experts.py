"""Several adapters in one place, of which each training pass takes one at random
(AdaMix, Wang et al. 2022, arXiv 2205.12410).
"""

import torch
import torch.nn.functional as F
from torch import nn

from ...messages import IGNORED


class Experts(nn.Module):
    """Linear maps of one shape.

    While training each pass takes one for its whole batch, at random; otherwise their mean answers.

    weight [experts, outputs, inputs], bias [experts, outputs] or none. All begin as copies of one map.
    """

    def __init__(self, one: nn.Linear, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(one.weight.detach().repeat(count, 1, 1))
        self.bias = None if one.bias is None else nn.Parameter(one.bias.detach().repeat(count, 1))
        self.drawn = 0  # the last one taken

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            bias = None if self.bias is None else self.bias.mean(0)
            return F.linear(x, self.weight.mean(0), bias)
        # torch's own random numbers: a resumed run goes on with them, and checkpointing replays them
        self.drawn = int(torch.randint(len(self.weight), ()))
        bias = None if self.bias is None else self.bias[self.drawn]
        return F.linear(x, self.weight[self.drawn], bias)

    def averaged(self) -> nn.Linear:
        """One linear map with the mean of all weights."""
        made = nn.Linear(
            *self.weight.shape[:0:-1], bias=self.bias is not None, device=self.weight.device, dtype=self.weight.dtype
        )
        made.weight.data = self.weight.detach().mean(0)
        if self.bias is not None:
            made.bias.data = self.bias.detach().mean(0)
        return made.requires_grad_(False)


def mix_lora(model: nn.Module, count: int, share_up: bool) -> None:
    """Each LoRA of a PEFT model becomes `count` experts.

    The matrices that lead back up stay one where they are shared.
    """
    from peft.tuners.lora import LoraLayer

    for layer in [part for part in model.modules() if isinstance(part, LoraLayer)]:
        of_many = (layer.lora_A,) if share_up else (layer.lora_A, layer.lora_B)
        for matrices in of_many:
            for name, one in matrices.items():
                matrices[name] = Experts(one, count)


def average(model: nn.Module) -> int:
    """Every group of experts in a model becomes one linear map with their mean; returns how many groups there were."""
    found = [
        (parent, name, part)
        for parent in model.modules()
        for name, part in parent.named_children()
        if isinstance(part, Experts)
    ]
    for parent, name, experts in found:
        setattr(parent, name, experts.averaged())
    return len(found)


def averaged_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint as one adapter: what has an expert's dimension too many loses it."""

    def extra(name: str) -> bool:
        return tensors[name].dim() == 3 or (
            name.endswith(".bias") and tensors.get(f"{name[:-4]}weight", tensors[name]).dim() == 3
        )

    return {name: tensor.mean(0) if extra(name) else tensor for name, tensor in tensors.items()}


def consistency(first: torch.Tensor, second: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Half of KL(p1 || p2) + KL(p2 || p1) between the predictions of two passes, the
    mean over everything that carries loss.

    As in the authors' code each side is the other's fixed target. logits [..., classes], labels [...] with IGNORED.
    """
    learned = labels != IGNORED
    one, two = (F.log_softmax(logits[learned].float(), -1) for logits in (first, second))
    there = F.kl_div(one, two.detach(), log_target=True, reduction="none").sum(-1)
    back = F.kl_div(two, one.detach(), log_target=True, reduction="none").sum(-1)
    return (there + back).sum() / (2 * learned.sum().clamp_min(1))
