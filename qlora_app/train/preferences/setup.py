"""From data with preferences to what a run of DPO, ORPO or KTO learns from and is measured with."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from ...errors import UserError
from ...formatting import count_of
from ...messages import Conversation
from ...preferences import FEWEST, ON_PAIRS, Preferences
from ...tasks import Task
from ...tasks.dataset import micro_batches
from ...training_data import Examples
from ...training_data.preferences import side_of
from ..questions import spread
from .examples import EncodedAnswers, EncodedPairs, JudgedAnswers, judged_collator
from .likelihood import takes_part_of_logits
from .losses import kto_weights
from .objective import Objective
from .reference import FOLDER, known_or_computed, log_probabilities, reference_key

Collate = Callable[..., dict[str, Any]]
Rows = EncodedPairs | EncodedAnswers


@dataclass(frozen=True)
class Judged:
    """Data as preferences: what is learned and what is held out, each prompt on one side."""

    examples: Examples  # the right answers alone: what questions are asked about
    train: Sequence[Conversation]
    held_out: Sequence[Conversation]
    warnings: list[str]  # what is left out, and why


def judged(choices: Preferences, examples: Examples) -> Judged:
    """Raises UserError where too little of the data can be learned from."""
    pairs = examples.judged(as_pairs=True)
    train, held_out, left_out = pairs
    what, right = "pairs of answers", [side_of(pair, is_chosen=True) for pair in held_out]
    if choices.trainer not in ON_PAIRS:
        alone = examples.judged(as_pairs=False)
        train, held_out = JudgedAnswers(pairs.train, alone.train), JudgedAnswers(pairs.held_out, alone.held_out)
        right = [held_out[place] for place in range(len(held_out)) if held_out.is_good(place)]
        what, left_out = "answers called good or bad", Counter()
    if len(train) < FEWEST:
        problem = choices.too_few_words(what, len(train))
        raise UserError.of(problem, {"preferences.trainer": problem})
    said = [f"Left out: {count_of(count, 'row')}: {why}." for why, count in left_out.items()]
    nothing: dict[str, Any] = {"also_learned": (), "train_rows": (), "held_out_rows": ()}
    shown = replace(examples, train=train, held_out=right, **nothing)
    return Judged(shown, train, held_out, said)


class Preferring:
    """What a run of preferences has beside what every run has: its items as tokens."""

    def __init__(
        self,
        choices: Preferences,
        given: Judged,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        task: Task,
    ) -> None:
        kind = EncodedPairs if choices.trainer in ON_PAIRS else EncodedAnswers
        self.choices = choices
        self.train: Rows = kind(given.train, tokenizer, max_length, task)  # type: ignore[arg-type]
        self.held_out: Rows = kind(given.held_out, tokenizer, max_length, task)  # type: ignore[arg-type]

    def ready(self, model: Any, collate: Collate, packing: bool, may_trim: bool, at_once: int) -> "Ready":
        """Once `train` was met. may_trim: may the model be asked for a part of its logits? at_once: items."""
        self.held_out.meet_all(may_be_none=True)
        counts = self.train.counts() if isinstance(self.train, EncodedAnswers) else (0, 0)
        weights = kto_weights(*counts, self.choices.desirable_weight, self.choices.undesirable_weight)
        trims = may_trim and not packing and takes_part_of_logits(model)
        return Ready(self, model, collate, at_once, Objective(self.choices, weights, trims))


@dataclass(frozen=True)
class Ready:
    """With a model to ask, and batches to ask it with."""

    items: Preferring
    model: Any
    collate: Collate
    at_once: int
    objective: Objective

    def against(
        self, run: Path, made_of: Sequence[Any], most: int, say: Callable[[str], None]
    ) -> tuple[Collate, Objective]:
        """(what makes batches of items to learn from, the objective with at most `most` held-out ones): with what the
        reference thinks of each, which is computed now where the run does not know it. made_of: all it depends on.
        """
        known = [self._reference(name, run, made_of, say) for name in ("train", "held_out")]
        learned, measured = (judged_collator(self.collate, reference) for reference in known)
        held_out = self.items.held_out
        drawn = held_out.__getitems__(list(spread(range(len(held_out)), most)))
        self.objective.held_out = list(micro_batches(drawn, self.at_once, measured))  # type: ignore[arg-type]
        return learned, self.objective

    def _reference(self, name: str, run: Path, made_of: Sequence[Any], say: Callable[[str], None]) -> Any:
        rows: Rows = getattr(self.items, name)
        is_wanted = self.items.choices.has_reference or name == "held_out"  # what it began with is told of every run
        if not is_wanted or not len(rows):
            return None

        def tell(done: int, of: int) -> None:
            say(f"Asking the model as it begins: {done:,} of {of:,}.")

        def compute() -> torch.Tensor:
            return log_probabilities(self.model, rows, self.collate, self.objective.prepared, self.at_once, tell)

        return known_or_computed(run / FOLDER / f"{name}.npz", reference_key(name, *made_of), len(rows), compute)
