"""Which of two answers was liked more, or whether one was good: what DPO, ORPO and KTO learn from.

A pair is a conversation whose last turn has the other answer as `rejected`; a judged answer is one whose last turn has
a `label`. Both are read like any other rows; here it is sorted out which of them can be learned from.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..messages import Conversation, Message
from .checks import question_number
from .store import Concat

FEW = 50  # pairs; of fewer it is said that they are few
COMPARED = 8  # pairs of answers of different length, from which on their lengths say something
LEAK = 0.7  # share of the pairs in which the longer answer was preferred, from which on that is what is learned
TIED = "people disagreed about these two answers, and no more of them preferred one than the other"
OUTVOTED = "more people preferred the other of these two answers"
NO_PAIR = "it has no rejected answer beside the chosen one"
NO_LABEL = "nobody said whether its answer is good"


class PairCounts:
    """What is counted of pairs and judged answers while rows are read."""

    def __init__(self) -> None:
        self.pairs = self.labelled = self.longer_preferred = self.unequal = 0
        self.characters = [0, 0]  # of the chosen answers, of the rejected ones

    def add(self, answer: Message) -> None:
        """The last turn of a conversation."""
        if "label" in answer:
            self.labelled += 1
        if "rejected" not in answer:
            return
        chosen, rejected = len(answer["content"]), len(answer["rejected"])
        self.pairs += 1
        self.characters[0] += chosen
        self.characters[1] += rejected
        self.unequal += chosen != rejected
        self.longer_preferred += chosen > rejected

    def sentences(self) -> list[str]:
        """How many pairs, how long their answers are, and what may be learned instead of what was meant."""
        if not self.pairs:
            return []
        chosen, rejected = (round(total / self.pairs) for total in self.characters)
        share = self.longer_preferred / max(1, self.unequal)
        said = [
            f"Pairs of answers: {self.pairs:,}, chosen ones of {chosen:,} characters on average, rejected ones of "
            f"{rejected:,}; the longer one was preferred in {share:.0%} of them."
        ]
        if share > LEAK and self.unequal >= COMPARED:
            said.append(
                "The longer answer was nearly always preferred: what is learned may be to write more, not to write "
                "better."
            )
        if self.pairs < FEW:
            said.append(f"With fewer than {FEW} pairs little can be learned.")
        return said


class Judged(NamedTuple):
    """What is learned from, what is measured with, and {why: how many} were left out."""

    train: Sequence[Conversation]
    held_out: Sequence[Conversation]
    left_out: Counter[str]


class Sides(Sequence[Conversation]):
    """Each pair as two conversations: with its chosen answer, then with its rejected one. Of both only the last answer
    is learned.
    """

    def __init__(self, pairs: Sequence[Conversation]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return 2 * len(self.pairs)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        pair, side = divmod(index % len(self), 2)
        return side_of(self.pairs[pair], is_chosen=side == 0)


def side_of(pair: Conversation, is_chosen: bool) -> Conversation:
    """The conversation that ends with one of the two answers, which alone is learned; or that of a judged answer."""
    *before, last = pair
    asked: Conversation = [{**turn, "train": False} for turn in before]
    kept: dict[str, Any] = {name: value for name, value in last.items() if name not in ("rejected", "label")}
    if not is_chosen:  # what the chosen one thought or called is not of the other
        kept = {"role": "assistant", "content": last["rejected"]}
    return [*asked, {**kept, "train": True}]  # type: ignore[typeddict-item]


def pairs_of(train: Sequence[Conversation], held_out: Sequence[Conversation]) -> Judged:
    """The pairs among conversations: each prompt is learned or held out, and never both; where people disagreed about
    the same two answers the majority counts.
    """
    every = Concat(train, held_out)
    left_out: Counter[str] = Counter()
    places: list[int] = []
    for place, conversation in enumerate(every):
        if "rejected" in conversation[-1]:
            places.append(place)
        else:
            left_out[NO_PAIR] += 1
    votes: dict[Any, Counter[str]] = defaultdict(Counter)
    for place in places:
        votes[_answers_of(every[place])][every[place][-1]["content"].strip()] += 1
    kept = []
    for place in places:
        counted = votes[_answers_of(every[place])]
        won = counted[every[place][-1]["content"].strip()]
        lost = counted.total() - won
        if won > lost:
            kept.append(place)
        else:
            left_out[TIED if won == lost else OUTVOTED] += 1
    learned, measured = by_prompt(every, kept, len(train))
    return Judged(_Those(every, learned), _Those(every, measured), left_out)


def labelled_of(
    train: Sequence[Conversation], held_out: Sequence[Conversation], unwanted: Sequence[Conversation]
) -> Judged:
    """The judged answers among conversations, those called bad (`unwanted`) with them, by prompt as in `pairs_of`."""
    every = Concat(Concat(train, held_out), unwanted)
    places = [place for place, conversation in enumerate(every) if "label" in conversation[-1]]
    left_out = Counter({NO_LABEL: len(every) - len(places)} if len(places) < len(every) else {})
    borders = len(train), len(train) + len(held_out)
    asked = {place: question_number(every[place]) for place in places}
    measured_prompts = {asked[place] for place in places if borders[0] <= place < borders[1]}
    known = measured_prompts | {asked[place] for place in places if place < borders[0]}
    share = len(held_out) / max(1, len(train) + len(held_out))
    # An answer called bad, to a prompt of its own, is drawn by the prompt alone.
    drawn = {asked[place] for place in places if place >= borders[1]} - known
    measured_prompts |= {number for number in drawn if number % 1000 < 1000 * share}
    held = [place for place in places if asked[place] in measured_prompts]
    learned = [place for place in places if asked[place] not in measured_prompts]
    if len(learned) < len(held):
        learned, held = sorted([*learned, *held]), []
    return Judged(_Those(every, learned), _Those(every, held), left_out)


def by_prompt(every: Sequence[Conversation], places: Iterable[int], border: int) -> tuple[list[int], list[int]]:
    """(places to learn from, places held out), where those from `border` on were to be held out: what asks the same
    stands on one side. A prompt of both is held out, or learned where that would take more than half of the others.
    """
    of_prompt: dict[int, list[int]] = defaultdict(list)
    for place in places:
        of_prompt[question_number(every[place])].append(place)
    learned = {place for group in of_prompt.values() for place in group if place < border}
    both = [group for group in of_prompt.values() if group[0] < border <= group[-1]]
    moved = {place for group in both for place in group if place < border}
    if 2 * len(moved) > len(learned):
        learned |= {place for group in both for place in group}
    else:
        learned -= moved
    held_out = {place for group in of_prompt.values() for place in group} - learned
    return sorted(learned), sorted(held_out)


def _answers_of(pair: Conversation) -> tuple[int, frozenset[str]]:
    """What a vote was about: the prompt and the two answers, whichever was chosen."""
    last = pair[-1]
    return question_number(pair), frozenset((last["content"].strip(), last["rejected"].strip()))


class _Those(Sequence[Conversation]):
    """Conversations at some places of others; nothing is copied."""

    def __init__(self, every: Sequence[Conversation], places: Sequence[int]) -> None:
        self.every, self.places = every, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self.every[place] for place in self.places[index]]
        return self.every[self.places[index]]

    def __iter__(self) -> Iterator[Conversation]:
        return (self.every[place] for place in self.places)
