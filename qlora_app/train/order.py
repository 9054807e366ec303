"""In which order examples are learned."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

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
