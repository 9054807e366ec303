"""The proof of a finished run: every figure that proof.json holds, typed, with the way to the file and back beside each
other.

A file of an older version lacks some: those have their defaults, and no sentence is made of them.
"""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import Field

from ..storage.typed import filled

MEASURING = "Measuring what it learned."  # what a run says after its last step
# of one held-out measurement: "loss" in nats a label, and the task's share of labels that come first
Figures = dict[str, float]
Count = Annotated[int, Field(ge=0, le=2**53)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Change:
    """A figure of the base, which is the adapter switched off, and of the adapter; None where it was not measured."""

    before: float | None = None
    after: float | None = None

    @property
    def is_known(self) -> bool:
        return None not in (self.before, self.after)


@dataclass(frozen=True)
class Shares(Change):
    """A change of a share. What a damaged file says beyond 0 to 1 is none, so that no verdict rests on it."""

    before: Share | None = None
    after: Share | None = None


@dataclass(frozen=True)
class Answered:
    """Questions with a known answer that base and adapter were asked. All counts but those of exact_match are of the
    adapter.
    """

    questions: Count = 0
    exact_match: Shares = Shares()  # of them
    # Whose whole answer, its end included, is the likeliest token by token when the right tokens before it are given:
    # what a model says by itself, if it is asked as it was taught.
    predicted: int | None = None
    unended: int | None = None  # stopped at the longest answer allowed, a few tokens longer than the right one
    went_on: int | None = None  # began with the whole right answer and said more
    empty: int | None = None  # answered with nothing where something was right
    different_answers: int | None = None
    different_expected: int | None = None
    tokens: float | None = None  # of a right answer, on average
    out_of_reach: int = 0  # drawn but not asked: question and right answer together are longer than the model reads
    not_asked: int = 0  # drawn but not asked: answering them would have taken longer than the training
    asked_longer: Count = 0  # of the unended ones: they were asked once more, with `room`
    ended_longer: Count = 0  # of those
    room: int = 0  # tokens that an answer may have then
    repeats: int | None = None  # answers that go round in circles, as the right ones do not


@dataclass(frozen=True)
class Distance:
    """How far what the adapter answers is from what its base does: the Kullback-Leibler divergence of the adapter's
    probabilities from the base's, in nats, a mean over so many labels of held-out rows.
    """

    nats: float | None = None
    labels: int = 0


@dataclass(frozen=True)
class HeldOut(Answered):
    """What was never trained on."""

    loss: Change = Change()
    distance: Distance = Distance()
    also_learned: int | None = None  # questions that were also learned, with another answer
    figures: dict[str, dict[str, float | None]] = field(
        default_factory=dict
    )  # {name: {"before", "after"}}, shares from 0 to 1


@dataclass(frozen=True)
class General:
    """The general questions of evaluate/general.py, and how many of them base and adapter answer right."""

    questions: Count = 0
    before: Count = 0
    after: Count = 0
    lost: Count = 0  # right before, wrong after
    gained: Count = 0
    not_asked: Count = 0  # answering them would have taken too long
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)  # {kind: {"questions", "before", "after"}}


@dataclass(frozen=True)
class Kept:
    """Which step's adapter this is. `best` and `last` are its held-out measurement and that of the last step."""

    step: int | None = None
    of: int = 0
    rule: str = "last"  # training.keep
    best_step: int | None = None
    best: Figures = field(default_factory=dict)
    last: Figures = field(default_factory=dict)
    was_better: bool = False  # the best by more than chance

    @property
    def is_earlier(self) -> bool:
        return self.step is not None and self.step < self.of


@dataclass(frozen=True)
class TrainingLoss:
    """Nats a learned token: of the first step, and the mean of the last ones up to the kept step."""

    first: float | None = None
    last: float | None = None


@dataclass(frozen=True)
class Update:
    """Adapted layers, those in which nothing moved, and how many parameters learn."""

    layers: int = 0
    zero_layers: int = 0
    parameters: int = 0


@dataclass(frozen=True)
class Reload:
    """The adapter read back from disk against the one in memory: largest difference of a logit, largest logit, and on
    how much.
    """

    max_difference: float | None = None
    largest: float = 1.0
    rows: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Seconds:
    """None for what did not happen: a run that was resumed has no first loss."""

    to_first_loss: float | None = None
    training: float | None = None


@dataclass(frozen=True)
class Data:
    """Rows. `cut`: learned ones that were longer than `max_length` tokens; `left_out`: not learned, each with its
    reason in the run.
    """

    fingerprint: str = ""
    rows: int = 0
    trained: int = 0
    held_out: int = 0
    left_out: int = 0
    cut: int = 0
    max_length: int = 0
    at_once: Count = 0  # in a micro-batch; 0 where it was not kept
    packed: bool = False
    # Is it about something that the starter, which is the base, has never read of? None of another base.
    foreign: bool | None = None


@dataclass(frozen=True)
class Base:
    """How the base was opened when it was measured: torch's names of its dtype and device, and what BitsAndBytesConfig
    was given, if it was quantized."""

    dtype: str = ""
    device: str = ""
    quantization: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""  # of its weights


@dataclass(frozen=True)
class StillKnown:
    """Held-out questions of the run whose adapter it began with: how many of them that answered right, and how many the
    new one does. In another style an answer may still hold the right one.
    """

    questions: Count = 0
    exact_match: Shares = Shares()
    same_words: Shares = Shares()  # the right one word for word, whatever its letters and whatever stands around it


@dataclass(frozen=True)
class Preferred:
    """What a run of preferences learned, on pairs (or judged answers) that nothing was learned from."""

    trainer: str = ""  # empty: the run learned answers
    pairs: Count = 0
    # of the pairs whose chosen answer is likelier than the rejected one, to what it began with and to the adapter
    likelier: Shares = Shares()
    accuracy: Share | None = None  # share whose chosen answer gained more over what it began with
    margin: float | None = None  # of the rewards
    loss: Change = Change()
    begun_with: Distance = Distance()  # how far the adapter is from what it began with
    still_known: StillKnown = StillKnown()


@dataclass(frozen=True)
class Proof:
    """All of it."""

    heldout: HeldOut = HeldOut()
    learned: Answered = Answered()  # a few rows it was trained on
    kept: Kept = Kept()
    loss: TrainingLoss = TrainingLoss()
    update: Update = Update()
    reload: Reload = Reload()
    method: dict[str, Any] = field(default_factory=dict)
    base: Base = Base()
    weights: str = ""  # SHA-256 of the adapter's file
    seconds: Seconds = Seconds()
    data: Data = Data()
    versions: dict[str, str] = field(default_factory=dict)
    preferred: Preferred = Preferred()
    imported: str = ""  # where it is from, if it was made elsewhere
    merged: tuple[str, ...] = ()  # how far it answers as each adapter that it was merged of, in words
    merged_lost: Share = 0.0  # of all questions: answers that the adapter that lost most had right, and it not
    general: General = General()  # what it could before, and can still

    @property
    def is_trained(self) -> bool:
        """Is it what its run learned? Not where it was made elsewhere, or merged of others."""
        return not self.imported and not self.merged

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Proof":
        """What is missing or no such figure has its default, what is unknown is passed over."""
        return filled(cls, values)
