"""How likely a model finds the answers of a batch."""

import inspect
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from ...messages import IGNORED
from .losses import Answers

_OF_LOSS = ("labels", "shift_labels")


def answers_of(model: torch.nn.Module, batch: dict[str, Any]) -> tuple[Answers, Any]:
    """(log-probabilities of every row's answer, the model's outputs). `batch`: as a task's collator makes it, padded or
    packed; what ends a turn is part of the answer.
    """
    outputs = _outputs(model, batch)
    logits, targets, rows, count = _learned(outputs.logits, batch)
    each = -cross_entropy(logits.float(), targets, reduction="none")
    sums = torch.zeros(count, device=each.device).index_add(0, rows, each)
    tokens = torch.zeros(count, device=each.device).index_add(0, rows, torch.ones_like(each))
    return Answers(sums, tokens), outputs


def learned_logits(model: torch.nn.Module, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits [answer tokens, words] of all rows, the tokens)"""
    logits, targets, _, _ = _learned(_outputs(model, batch).logits, batch)
    return logits, targets


def _outputs(model: torch.nn.Module, batch: dict[str, Any]) -> Any:
    return model(**{name: value for name, value in batch.items() if name not in _OF_LOSS}, use_cache=False)


def _learned(logits: torch.Tensor, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """(logits [answer tokens, words], the tokens, the row of each, how many rows)"""
    if "shift_labels" in batch:  # packed: there are logits only where the next token is learned
        row_of_token = (batch["position_ids"][0] == 0).cumsum(0) - 1
        rows = row_of_token[batch["logits_to_keep"][0]]
        return logits.reshape(-1, logits.shape[-1]), batch["shift_labels"], rows, int(row_of_token[-1]) + 1
    labels = batch["labels"][:, 1:]  # a token is predicted by the one before it
    learned = labels != IGNORED
    within = logits[:, -batch["labels"].shape[1] :]  # without those of tokens a method has put in front
    return within[:, :-1][learned], labels[learned], learned.nonzero()[:, 0], len(labels)


def takes_part_of_logits(model: torch.nn.Module) -> bool:
    """Can it be asked for the logits of the last places alone?"""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(inner.forward).parameters


def only_answers(batch: dict[str, Any]) -> dict[str, Any]:
    """A padded batch for a model that then makes logits from the first answer token of any row on."""
    labels = batch["labels"]
    first = int((labels != IGNORED).any(0).nonzero()[0])
    kept = labels.shape[1] - max(0, first - 1)
    return {**batch, "labels": labels[:, -kept:], "logits_to_keep": kept}
