"""Pairs and judged answers as tokens, and the batches that are made of them."""

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...errors import UserError
from ...messages import IGNORED, JUDGED, Conversation
from ...tasks.dataset import EncodedExamples, NotLearned
from ...training_data.preferences import Sides, side_of

SAME = "its two answers differ only beyond the longest example allowed"
Row = dict[str, list[int]]
Item = dict[str, Any]  # of one pair, or one judged answer: "rows", "other" rows, "place", "is_good"


class EncodedPairs(EncodedExamples):
    """Each pair is one example of two rows: with the chosen answer, and with the rejected one. Asked for one row, it is
    the chosen one.
    """

    read_each = 2

    def _examples(self) -> Sequence[Conversation]:
        self.fitting = FittingPairs(self.given, self._fits)
        return Sides(self.fitting)

    def _fits(self, pair: Conversation) -> bool:
        """Have both answers room behind their prompt?"""
        sides = [side_of(pair, is_chosen) for is_chosen in (True, False)]
        if sum(len(turn["content"]) for side in sides for turn in side) < self.max_length // 2:
            return True
        return not any(one.is_cut for one in self._encode(sides))

    def shortened_words(self) -> list[str]:
        """What was left out of pairs to make room for their answers, once all were met."""
        if not self.fitting.shortened:
            return []
        return [f"Conversations that are too long lose their oldest turns: {len(self.fitting.shortened):,} pairs."]

    def row_of(self, place: int) -> int:
        return place // 2

    def meet_all(self, progress: Callable[[int, int], None] = lambda done, of: None, may_be_none: bool = False) -> None:
        """A pair of which one answer cannot be learned is left out."""
        super().meet_all(progress, may_be_none=True)
        fit, kept = set(self._kept), array("q")
        reasons = {one.place: one for one in reversed(self.left_out)}
        for chosen in range(0, len(self.conversations), 2):
            if {chosen, chosen + 1} - fit:
                continue
            if self._encoded(chosen).input_ids == self._encoded(chosen + 1).input_ids:
                reasons[chosen // 2] = NotLearned(chosen // 2, SAME)
            else:
                kept.append(chosen)
        self.left_out, self.partly_learned = [reasons[place] for place in sorted(reasons)], []
        self._kept = kept
        if not kept and not may_be_none:
            raise UserError.of(self._nothing_left())

    def encode_those(self, indices: Sequence[int]) -> None:
        self._encode_those([place for index in indices for place in (self._kept[index], self._kept[index] + 1)])

    def __getitem__(self, index: int) -> Item:  # type: ignore[override]
        place = self._kept[index]
        return {"rows": [_row(self._encoded(place)), _row(self._encoded(place + 1))], "other": [], "place": index}


class FittingPairs(Sequence[Conversation]):
    """Pairs, of which those that are too long are without their oldest turns: whoever votes all along a conversation
    has a longer prompt with each vote.
    """

    def __init__(self, pairs: Sequence[Conversation], fits: Callable[[Conversation], bool]) -> None:
        self.pairs, self.fits = pairs, fits
        self.shortened: set[int] = set()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        pair = self.pairs[index]
        shorter = pair
        while (without := _without_oldest(shorter)) and not self.fits(shorter):
            shorter = without
        if shorter is pair or not self.fits(shorter):
            return pair
        self.shortened.add(index)
        return shorter


def _without_oldest(pair: Conversation) -> Conversation:
    """A pair without its first question and what was answered; empty where its last question would go."""
    begin = int(pair[0]["role"] == "system")
    users = [place for place, turn in enumerate(pair) if turn["role"] == "user"]
    return [*pair[:begin], *pair[users[1] :]] if len(users) > 1 else []


class JudgedAnswers(Sequence[Conversation]):
    """Answers of which it is known whether they are good: both of each pair, and those that were judged alone."""

    def __init__(self, pairs: Sequence[Conversation], labelled: Sequence[Conversation]) -> None:
        self.sides, self.labelled = Sides(pairs), labelled

    def __len__(self) -> int:
        return len(self.sides) + len(self.labelled)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if index < len(self.sides):
            return self.sides[index]
        return side_of(self.labelled[index - len(self.sides)], is_chosen=True)

    def is_good(self, place: int) -> bool:
        if place < len(self.sides):
            return place % 2 == 0
        return bool(self.labelled[place - len(self.sides)][-1]["label"])


class EncodedAnswers(EncodedExamples):
    """Judged answers, each with a row more: its prompt with the answer to another one, by which KTO knows how far the
    model has gone from its reference.
    """

    read_each = 2
    given: JudgedAnswers

    def _examples(self) -> Sequence[Conversation]:
        return self.given

    def right_places(self) -> Sequence[int]:
        return [index for index, place in enumerate(self._kept) if self.given.is_good(place)]

    def counts(self) -> tuple[int, int]:
        """(good answers, bad ones)"""
        good = len(self.right_places())
        return good, len(self) - good

    def _partner(self, index: int) -> int:
        return (index + max(1, len(self) // 2)) % len(self)

    def encode_those(self, indices: Sequence[int]) -> None:
        super().encode_those([*indices, *(self._partner(index) for index in indices)])

    def __getitem__(self, index: int) -> Item:  # type: ignore[override]
        own, other = _row(self.encoded(index)), _row(self.encoded(self._partner(index)))
        start = _first(own["labels"])
        begin = _first(other["labels"])
        mixed = {
            "input_ids": [*own["input_ids"][:start], *other["input_ids"][begin:]][: self.max_length],
            "labels": [*[IGNORED] * start, *other["labels"][begin:]][: self.max_length],
        }
        mixed = mixed if _first(mixed["labels"]) < len(mixed["labels"]) else own
        return {"rows": [own], "other": [mixed], "place": index, "is_good": self.given.is_good(self._kept[index])}


def judged_collator(
    collate: Callable[[list[Row]], dict[str, Any]], reference: torch.Tensor | None = None
) -> Callable[[list[Item]], dict[str, Any]]:
    """Items -> a batch of all their first rows, then all their second ones, with what else a loss wants of them under
    JUDGED: "reference" [rows in that order], "is_good" [items], and the batch of "other" rows with its own.

    reference: [items, 2] log-probabilities by `place`; None where a loss wants none.
    """

    def judged(items: list[Item]) -> dict[str, Any]:
        width = len(items[0]["rows"])
        rows = [item["rows"][column] for column in range(width) for item in items]
        beside: dict[str, Any] = {"count": len(items)}
        if reference is not None:
            known = reference[[item["place"] for item in items]]
            beside["reference"] = known.T.flatten() if width == 2 else known[:, 0]
            beside["other_reference"] = known[:, 1]
        if "is_good" in items[0]:
            beside["is_good"] = torch.tensor([item["is_good"] for item in items])
            beside["other"] = collate([item["other"][0] for item in items])
        return {**collate(rows), JUDGED: beside}

    return judged


def _row(encoded: Any) -> Row:
    return {"input_ids": encoded.input_ids, "labels": encoded.labels}


def _first(labels: list[int]) -> int:
    return next((place for place, label in enumerate(labels) if place and label != IGNORED), len(labels))
