"""The losses of DPO, IPO, ORPO and KTO, one for each pair or answer, as published. Everything is in nats.

DPO    Rafailov et al. 2023 (arXiv 2305.18290); label smoothing: cDPO (Mitchell 2023)
IPO    Azar et al. 2023 (arXiv 2310.12036), by the mean of a token as TRL computes it
ORPO   Hong et al. 2024 (arXiv 2403.07691)
KTO    Ethayarajh et al. 2024 (arXiv 2402.01306)
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Answers:
    """Log-probabilities of answers, [answers] each: summed over their tokens, and how many those are."""

    sums: torch.Tensor
    tokens: torch.Tensor

    @property
    def means(self) -> torch.Tensor:
        return self.sums / self.tokens

    def halves(self) -> "tuple[Answers, Answers]":
        """Of a batch of pairs the chosen answers, then the rejected ones."""
        sums, tokens = self.sums.chunk(2), self.tokens.chunk(2)
        return Answers(sums[0], tokens[0]), Answers(sums[1], tokens[1])


def dpo(chosen: torch.Tensor, rejected: torch.Tensor, beta: float, label_smoothing: float = 0.0) -> torch.Tensor:
    """chosen, rejected: by how much more likely each answer is than it was to the reference, [pairs]."""
    margin = beta * (chosen - rejected)
    return -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)


def ipo(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
    """chosen, rejected: as in `dpo`, a token on average."""
    return (chosen - rejected - 1 / (2 * beta)) ** 2


def orpo(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
    """The part of the odds ratio. chosen, rejected: log-probability of a token on average, [pairs]."""
    odds = (chosen - rejected) - (_log_of_rest(chosen) - _log_of_rest(rejected))
    return -beta * logsigmoid(odds)


def kto(
    gained: torch.Tensor, is_good: torch.Tensor, kl: torch.Tensor, beta: float, weights: tuple[float, float]
) -> torch.Tensor:
    """gained: by how much more likely each answer is than to the reference, [answers]. kl: how far the model is from
    the reference, one number. weights: of good answers, of bad ones.
    """
    good = weights[0] * (1 - torch.sigmoid(beta * (gained - kl)))
    bad = weights[1] * (1 - torch.sigmoid(beta * (kl - gained)))
    return torch.where(is_good, good, bad)


def kto_weights(good: int, bad: int, desirable: float, undesirable: float) -> tuple[float, float]:
    """The weights of good and of bad answers; what is 0 is chosen so that all good ones count together as much as all
    bad ones, up to a third more, as published.
    """
    if desirable and undesirable:
        return desirable, undesirable
    if not good or not bad:
        return desirable or 1.0, undesirable or 1.0
    if undesirable:
        return undesirable * bad / good, undesirable
    if desirable:
        return desirable, desirable * good / bad
    if good < bad:
        return bad / good, 1.0
    return 1.0, max(1.0, 0.75 * good / bad)


def _log_of_rest(log_probability: torch.Tensor) -> torch.Tensor:
    """log(1 - p)."""
    return torch.log1p(-log_probability.exp())
