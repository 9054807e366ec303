"""In which order examples are learned."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..messages import IGNORED, JUDGED
from .world import World

FILLER = "is_filler"  # in a batch from which nothing is learned
LARGEST = 2  # steps of a trial: at the second AdamW's state is there, which the first makes only at its end


class StepsByLength(Sampler[int]):
    """Examples in random order, another one in each epoch; those of one optimizer step then longest first.

    Micro-batches of such a step hold examples of similar length, so that less is padded, and the step teaches what the
    random order does, since losses are summed over all of its tokens. Grouping across steps, as transformers'
    `group_by_length` does, pads still less and teaches something else: where length tells the answer, whole steps hold
    one kind of it, and a rare kind is unlearned between two steps that show it.
    """

    def __init__(self, count: int, step: int, seed: int, lengths: Callable[[list[int]], list[int]]) -> None:
        """`count` examples, of which a step takes `step`. `lengths`: how many tokens the examples at these places
        have.
        """
        self.count, self.step, self.seed, self.lengths = count, step, seed, lengths
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The Trainer's word before each epoch, counted from 0, also when it resumes in the middle of one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        drawn = torch.randperm(self.count, generator=torch.Generator().manual_seed(self.seed + self.epoch)).tolist()
        for start in range(0, self.count, self.step):
            places = drawn[start : start + self.step]
            of = dict(zip(places, self.lengths(places), strict=True))
            yield from sorted(places, key=lambda place: -of[place])


class ShareOfSteps(Sampler[list[int]]):
    """One process's micro-batches of each step, of which all processes together have the examples that one alone would.

    At the end of an epoch every process has as many as the others; where no example is left for one, it is a filler:
    the place of any example, as -1 - place.
    """

    def __init__(self, order: Sampler[int], count: int, step: int, micro_batch: int, world: World) -> None:
        """order: of all `count` examples in an epoch, the same in every process. step: examples of all processes."""
        self.order, self.count, self.step, self.micro_batch, self.world = order, count, step, micro_batch, world

    @property
    def batch_sampler(self) -> "ShareOfSteps":
        """Where the Trainer looks for who is to be told the epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.order.set_epoch(epoch)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return math.ceil(self.count / (self.micro_batch * self.world.size))

    def __iter__(self) -> Iterator[list[int]]:
        places, at_once = iter(self.order), self.micro_batch * self.world.size
        while step := list(itertools.islice(places, self.step)):
            for start in range(0, len(step), at_once):
                first = start + self.world.rank * self.micro_batch
                yield step[first : first + self.micro_batch] or [-1 - step[0]]


class Shared(Dataset[Any]):
    """Examples by the places of a `ShareOfSteps`."""

    def __init__(self, examples: Any) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, places: list[int]) -> tuple[list[Any], bool]:
        """(the examples, whether they are a filler)"""
        if places[0] < 0:
            return self.examples.__getitems__([-1 - place for place in places]), True
        return self.examples.__getitems__(places), False


def unlearned(batch: dict[str, Any]) -> dict[str, Any]:
    """The same batch as a filler: no label of it is learned."""
    labels = {name: torch.full_like(batch[name], IGNORED) for name in ("labels", "shift_labels") if name in batch}
    if JUDGED in batch:
        return batch | {JUDGED: batch[JUDGED] | {FILLER: True}, FILLER: True}  # its loss is not one of labels
    return batch | labels | {FILLER: True}


@dataclass(frozen=True)
class TrialOrder:
    """Examples as a trial learns them: the largest step a few times, then an epoch's own steps, and again."""

    places: list[int]
    largest: int  # steps at the beginning of each pass that stand in no epoch
    steps: int  # of a pass

    @classmethod
    def of(cls, sizes: Sequence[int], step: int, epoch: Sequence[int]) -> "TrialOrder":
        """sizes: tokens of each example. step: examples it takes. epoch: places of all examples, as a run learns them.

        An epoch of one step is the largest itself.
        """
        by_size = sorted(epoch, key=lambda place: -sizes[place])
        if len(epoch) <= step:
            return cls(by_size, 0, 1)
        places = [*by_size[:step] * LARGEST, *epoch]
        return cls(places, LARGEST, -(-len(places) // step))

    def is_usual(self, step: int) -> bool:
        """Stands this step, counted from 1, in an epoch, with everything made that the first ones make?"""
        return step > LARGEST and (step - 1) % self.steps >= self.largest


class EpochTold(TrainerCallback):
    """Tells a collator that makes something else of an example each time it is seen which time it is."""

    def __init__(self, collate: Callable[..., object], seed: int) -> None:
        self.collate, self.seed = collate, seed

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if hasattr(self.collate, "set_epoch"):
            self.collate.set_epoch(int(state.epoch or 0), self.seed)
