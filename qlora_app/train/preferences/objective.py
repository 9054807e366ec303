"""What a run learns of preferences: its loss, and the same figures of held-out answers.

The figures have TRL's names: rewards are beta times the log-probability that an answer gained over the reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...messages import IGNORED, JUDGED
from ...preferences import Preferences
from ...runs.curve import REWARDS
from ...tasks.packing import on_device
from ...tasks.task import evaluating
from ..world import ALONE, World
from . import losses
from .likelihood import answers_of, only_answers
from .losses import Answers
from .rehearsal import Rehearsal


@dataclass
class Sums:
    """Of some pairs or answers: what is added up, and over how many."""

    loss: torch.Tensor
    figures: dict[str, tuple[float, float]] = field(default_factory=dict)  # {name: (sum, count)}


@dataclass
class Objective:
    """One of DPO, ORPO and KTO with its settings."""

    choices: Preferences
    weights: tuple[float, float] = (1.0, 1.0)  # of good and bad answers, for KTO
    trims: bool = False  # is the model asked for the logits of answers alone? Packed rows ask for these anyway
    held_out: list[dict[str, Any]] = field(default_factory=list)  # batches
    rehearsal: Rehearsal | None = None

    def prepared(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A collator's batch as the model takes it."""
        if self.trims and "shift_labels" not in batch:
            return only_answers(batch)
        return batch

    def loss_of(self, model: torch.nn.Module, batch: dict[str, Any], step: "Step") -> tuple[Sums, dict[str, Any], Any]:
        """(the losses of a micro-batch, as parts of a step; what the model read; its outputs)"""
        read = self.prepared({name: value for name, value in batch.items() if name != JUDGED})
        answers, outputs = answers_of(model, read)
        return self._sums(answers, batch[JUDGED], step), read, outputs

    def _sums(self, answers: Answers, beside: dict[str, Any], step: "Step") -> Sums:
        if self.choices.trainer == "kto":
            return self._of_judged(answers, beside, step)
        return self._of_pairs(answers, beside, step)

    def _of_pairs(self, answers: Answers, beside: dict[str, Any], step: "Step") -> Sums:
        choices = self.choices
        chosen, rejected = answers.halves()
        if choices.trainer == "orpo":
            rewards = choices.beta * chosen.means, choices.beta * rejected.means
            loss = losses.orpo(chosen.means, rejected.means, choices.beta).sum() / step.items
            sft_weight = 1.0
        else:
            reference = Answers(beside["reference"].to(answers.sums.device), answers.tokens)
            gained = Answers(answers.sums - reference.sums, answers.tokens).halves()
            rewards = choices.beta * gained[0].sums, choices.beta * gained[1].sums
            loss = self._dpo(*gained).sum() / step.items
            sft_weight = choices.sft_weight
        if sft_weight:
            loss = loss - sft_weight * chosen.sums.sum() / step.chosen_tokens
        return Sums(loss, _rewards(rewards[0].detach(), rewards[1].detach()))

    def _dpo(self, chosen: Answers, rejected: Answers) -> torch.Tensor:
        if self.choices.loss_type == "ipo":
            return losses.ipo(chosen.means, rejected.means, self.choices.beta)
        return losses.dpo(chosen.sums, rejected.sums, self.choices.beta, self.choices.label_smoothing)

    def _of_judged(self, answers: Answers, beside: dict[str, Any], step: "Step") -> Sums:
        gained = answers.sums - beside["reference"].to(answers.sums.device)
        is_good, beta = beside["is_good"].to(gained.device), self.choices.beta
        each = losses.kto(gained, is_good, torch.tensor(step.kl, device=gained.device), beta, self.weights)
        rewards = beta * gained.detach()
        return Sums(each.sum() / step.items, _judged_rewards(rewards[is_good], rewards[~is_good]))

    def strayed(self, model: torch.nn.Module, batches: Sequence[dict[str, Any]]) -> float:
        """How far the model is from the reference, as KTO takes it: the mean of what answers to other prompts gained,
        never below 0. In whatever mode the model is, without gradients.
        """
        total, count = self._gained_by_others(model, batches)
        return max(0.0, total / max(1, count))

    def _gained_by_others(self, model: torch.nn.Module, batches: Sequence[dict[str, Any]]) -> tuple[float, int]:
        """(what answers to other prompts gained, how many they are)"""
        total, count = 0.0, 0
        for batch in batches:
            beside = batch[JUDGED]
            with torch.no_grad():
                answers, _ = answers_of(model, self.prepared(on_device(beside["other"], model.device)))  # type: ignore[arg-type]
            total += float((answers.sums.cpu() - beside["other_reference"].cpu()).sum())
            count += len(answers.sums)
        return total, count

    def step_of(self, model: torch.nn.Module, batches: Sequence[dict[str, Any]], world: World = ALONE) -> "Step":
        """What the parts of a step share, in all processes of the world."""
        return Step.of(*world.total(*self.totals(model, batches)))

    def totals(self, model: torch.nn.Module, batches: Sequence[dict[str, Any]]) -> tuple[float, ...]:
        """(items, tokens of chosen answers, what answers to other prompts gained, how many those are)"""
        gained = self._gained_by_others(model, batches) if self.choices.trainer == "kto" else (0.0, 0)
        items = sum(batch[JUDGED]["count"] for batch in batches)
        return items, sum(_chosen_tokens(batch) for batch in batches), *gained

    def measure(self, model: torch.nn.Module, batches: Sequence[dict[str, Any]] | None = None) -> dict[str, float]:
        """{"loss": of an item, and the rewards} of held-out pairs or answers, or of `batches`."""
        batches = self.held_out if batches is None else batches
        total = 0.0
        figures: dict[str, tuple[float, float]] = {}
        with evaluating(model):  # type: ignore[arg-type]
            step = self.step_of(model, batches)
            for batch in batches:
                sums, _, _ = self.loss_of(model, on_device(batch, model.device), step)  # type: ignore[arg-type]
                total += float(sums.loss)
                add(figures, sums.figures)
        return {"loss": total, **means(figures)}


@dataclass(frozen=True)
class Step:
    """What a step has in all its micro-batches together, so that dividing it changes nothing."""

    items: int  # pairs or answers
    chosen_tokens: int
    kl: float = 0.0

    @classmethod
    def of(cls, items: float, tokens: float, gained: float, others: float) -> "Step":
        """Of what `Objective.totals` counts."""
        return cls(int(items), int(tokens), max(0.0, gained / max(1, others)))


def add(into: dict[str, tuple[float, float]], more: dict[str, tuple[float, float]]) -> None:
    """Add up sums and counts."""
    for name, (total, count) in more.items():
        before = into.get(name, (0.0, 0.0))
        into[name] = before[0] + total, before[1] + count


def means(figures: dict[str, tuple[float, float]]) -> dict[str, float]:
    """The mean of each, of those with any; KTO's margin is that of its two means."""
    made = {name: total / count for name, (total, count) in figures.items() if count}
    if "rewards_margins" not in made and {"rewards_chosen", "rewards_rejected"} <= made.keys():
        made["rewards_margins"] = made["rewards_chosen"] - made["rewards_rejected"]
    return {name: made[name] for name in REWARDS if name in made}


def _rewards(chosen: torch.Tensor, rejected: torch.Tensor) -> dict[str, tuple[float, float]]:
    count = float(len(chosen))
    margins = chosen - rejected
    values = (chosen, rejected, margins, (margins > 0).float())
    return {name: (float(value.sum()), count) for name, value in zip(REWARDS, values, strict=True)}


def _judged_rewards(good: torch.Tensor, bad: torch.Tensor) -> dict[str, tuple[float, float]]:
    right = float((good > 0).sum() + (bad < 0).sum())
    return {
        "rewards_chosen": (float(good.sum()), float(len(good))),
        "rewards_rejected": (float(bad.sum()), float(len(bad))),
        "rewards_accuracies": (right, float(len(good) + len(bad))),
    }


def _chosen_tokens(batch: dict[str, Any]) -> int:
    """How many tokens the chosen answers of a batch have; of judged answers all, which nothing divides by."""
    count = batch[JUDGED]["count"]
    if "shift_labels" not in batch:
        return int((batch["labels"][:count, 1:] != IGNORED).sum())
    row_of_token = (batch["position_ids"][0] == 0).cumsum(0) - 1
    return int((row_of_token[batch["logits_to_keep"][0]] < count).sum())
