"""Rehearsal: examples of the run that an adapter comes from are learned on beside preferences, so that what it knew is
not forgotten (Robins 1995; in RLHF the pretraining mix of InstructGPT, arXiv 2203.02155).
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from ...errors import UserError
from ...messages import IGNORED, JUDGED
from ...recipe import Recipe
from ...runs import Run
from ...settings import Settings
from ...tasks import Task
from ...tasks.dataset import EncodedExamples
from ...training_data import load_examples
from ..questions import spread
from .examples import EncodedPairs

FIRST, WITHIN, LAST = 0, 1, -3  # places in an answer: the last ones are -3, -2 and -1
OF_PAIRS = 5  # what one pair in so many has is common
LOOKED_AT = 200  # pairs


@dataclass(frozen=True)
class Departures:
    """The tokens with which preferred answers part from others, and where in the others that is (`places_of`): " Have"
    at the end, where "Have a nice day!" is put behind each; the end within, where shorter answers are preferred.
    """

    tokens: torch.Tensor  # [departures]
    places: torch.Tensor

    @classmethod
    def of(cls, pairs: EncodedPairs) -> "Departures":
        """Those of at least one pair in five."""
        looked_at = list(spread(range(len(pairs)), LOOKED_AT))
        pairs.encode_those(looked_at)
        found = Counter(one for place in looked_at for one in _departures(*pairs[place]["rows"]))
        common = sorted(one for one, count in found.items() if OF_PAIRS * count >= len(looked_at))
        return cls(*torch.tensor(common, dtype=torch.long).reshape(-1, 2).unbind(1))

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The sum of -log p(target or a departure at its place), logits [tokens, words], targets and places [tokens]:
        both to answer as before and to part as preferred is right. Without departures it is the cross-entropy.
        """
        logits, tokens = logits.float(), self.tokens.to(logits.device)
        is_free = (places[:, None] == self.places.to(places.device)) & (targets[:, None] != tokens)
        right = torch.cat([logits.gather(1, targets[:, None]), logits[:, tokens].masked_fill(~is_free, -torch.inf)], 1)
        return (logits.logsumexp(1) - right.logsumexp(1)).sum()


def places_of(labels: Sequence[int]) -> list[int]:
    """Where in its answer each learned token stands: FIRST, so many from the end (-1: the last), or WITHIN."""
    found = []
    learned = [place for place in range(1, len(labels)) if labels[place] != IGNORED]
    for place in learned:
        if labels[place - 1] == IGNORED:
            found.append(FIRST)
            continue
        following = labels[place + 1 : place + 1 - LAST]
        behind = following.index(IGNORED) if IGNORED in following else len(following)
        found.append(-1 - behind if behind < -LAST else WITHIN)
    return found


def _departures(chosen: dict[str, list[int]], rejected: dict[str, list[int]]) -> set[tuple[int, int]]:
    """(chosen token, the place in the rejected answer), wherever the chosen answer has other tokens."""
    answers = [[label for label in row["labels"][1:] if label != IGNORED] for row in (chosen, rejected)]
    places = places_of(rejected["labels"])
    compared = SequenceMatcher(a=answers[1], b=answers[0], autojunk=False).get_opcodes()
    return {
        (answers[0][there], places[min(here, len(places) - 1)])
        for kind, here, _, there, end in compared
        if kind != "equal" and there < end
    }


@dataclass(frozen=True)
class Rehearsal:
    """Examples, and how much of a step they are."""

    examples: EncodedExamples
    collate: Callable[..., dict[str, Any]]
    weight: float  # of the cross-entropy of their answers
    a_step: int  # how many are drawn
    seed: int
    departures: Departures

    def batches(self, step: int, parts: int) -> list[dict[str, Any]]:
        """Those of a step by its number, in at most so many micro-batches: the same whenever they are asked for, so
        that a resumed run learns what it would have learned.
        """
        drawn = random.Random(f"{self.seed} {step}").sample(
            range(len(self.examples)), min(self.a_step, len(self.examples))
        )
        rows = self.examples.__getitems__(drawn)
        rows = [row for row in rows if any(label != IGNORED for label in row["labels"][1:])]
        size = -(-len(rows) // max(1, parts)) or 1
        return [self._batch(rows[i : i + size]) for i in range(0, len(rows), size)]

    def _batch(self, rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        places = [place for row in rows for place in places_of(row["labels"])]
        return {**self.collate(rows), JUDGED: {"places": torch.tensor(places)}}

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, beside: dict[str, Any]) -> torch.Tensor:
        """Summed over the answer tokens of a batch; `beside`: what it has under JUDGED."""
        return self.weight * self.departures.loss(logits, targets, beside["places"])


def rehearsal_of(
    recipe: Recipe,
    run: Run,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    collate: Callable[..., dict[str, Any]],
    pairs: EncodedPairs,
    warnings: list[str],
) -> Rehearsal | None:
    """None where none is wanted, or what it begins with was not trained here; of data that are gone it is said."""
    choices, training = recipe.preferences, recipe.training
    parent = begun_with(run)
    if not choices.rehearsal or parent is None:
        return None
    try:
        learned = load_examples(parent.recipe().dataset, Settings.from_environment().data).train
    except (UserError, OSError):
        warnings.append(f"Nothing is rehearsed: the data of {parent.id} cannot be read.")
        return None
    examples = EncodedExamples(learned, tokenizer, max_length, task)
    return Rehearsal(examples, collate, choices.rehearsal, training.batch_size, training.seed, Departures.of(pairs))


def begun_with(run: Run) -> Run | None:
    """The run whose adapter another begins with; None where that was made elsewhere, or is new."""
    named = run.recipe().training.start_from
    folder = run.folder.parent / named
    is_run = named and folder.parent == run.folder.parent and folder.is_dir()
    return Run(folder) if is_run else None
