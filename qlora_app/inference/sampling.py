"""How the next token of a row is chosen from the model's logits. Each row has settings and a random state of its own,
so what it says depends on nobody else in its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sampling:
    """As in `generate` of transformers. Temperature 0 takes the likeliest token; a seed makes the text repeatable."""

    temperature: float = 0.0
    top_p: float = 1.0  # only the likeliest tokens that have this share together
    top_k: int = 0  # only so many of the likeliest; 0: all
    min_p: float = 0.0  # only tokens that have this share of the likeliest one's probability
    repetition_penalty: float = 1.0  # of tokens that stand in prompt or answer already
    seed: int | None = None

    @property
    def takes_likeliest(self) -> bool:
        """Is it the largest logit, without anything done to them?"""
        return self.temperature <= 0 and self.repetition_penalty == 1


class Chooser:
    """Chooses the tokens of one row."""

    def __init__(self, sampling: Sampling) -> None:
        import torch

        self.sampling = sampling
        self._random = torch.Generator()  # torch's own state is left alone: a training may draw from it
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    def choose(self, logits: "torch.Tensor", before: Sequence[int]) -> int:
        """The next token. logits: [vocabulary]; before: prompt and answer so far."""
        import torch

        how = self.sampling
        scores = logits.float()
        if how.repetition_penalty != 1:
            scores = _repeated_less(scores, before, how.repetition_penalty)
        if how.temperature <= 0:
            return int(scores.argmax())
        scores = (scores / how.temperature).cpu()
        if 0 < how.top_k < len(scores):
            scores = scores.masked_fill(scores < scores.topk(how.top_k).values[-1], -torch.inf)
        chances = scores.softmax(-1)
        if how.top_p < 1:
            chances = _likeliest(chances, how.top_p)
        if how.min_p > 0:
            chances = chances.masked_fill(chances < how.min_p * chances.max(), 0.0)
        return int(torch.multinomial(chances, 1, generator=self._random))


def _repeated_less(scores: "torch.Tensor", before: Sequence[int], penalty: float) -> "torch.Tensor":
    import torch

    seen = torch.tensor(sorted(set(before)), dtype=torch.long, device=scores.device)
    known = scores[seen]
    return scores.index_copy(0, seen, torch.where(known < 0, known * penalty, known / penalty))


def _likeliest(chances: "torch.Tensor", share: float) -> "torch.Tensor":
    """The likeliest tokens that together reach the share, at least one; the others have no chance."""
    import torch

    ordered, places = chances.sort(descending=True)
    kept = ordered.cumsum(0) - ordered < share
    kept[0] = True
    return torch.zeros_like(chances).scatter(0, places[kept], ordered[kept])


def log_chances(logits: "torch.Tensor", token: int, most: int) -> "TokenChances":
    """What the model gave the chosen token and the `most` likeliest ones, as it was, before temperature and cuts."""
    logs = logits.float().log_softmax(-1)
    best = logs.topk(min(most, len(logs)))
    likeliest = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return TokenChances(float(logs[token]), likeliest)


@dataclass(frozen=True)
class TokenChances:
    """The natural logarithm of a chosen token's probability, and the likeliest tokens with theirs."""

    chosen: float
    likeliest: tuple[tuple[int, float], ...] = ()
