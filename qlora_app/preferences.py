"""What a run learns from its data: the answers themselves (SFT), or which answers people prefer (DPO, ORPO, KTO)."""

from typing import Literal

from .choices import Choices, setting
from .errors import Problem

TRAINERS = {
    "sft": "SFT: to give the answers (of pairs the chosen ones)",
    "dpo": "DPO: which of two answers is preferred",
    "orpo": "ORPO: both at once, from a new adapter",
    "kto": "KTO: which answers are good and which are not",
}
ON_PAIRS = ("dpo", "orpo")
WITH_REFERENCE = ("dpo", "kto")  # held against the adapter as it began
_USED = {
    "sft": ("trainer",),
    "dpo": ("trainer", "beta", "loss_type", "label_smoothing", "sft_weight", "rehearsal"),
    "orpo": ("trainer", "beta", "rehearsal"),
    "kto": ("trainer", "beta", "desirable_weight", "undesirable_weight"),
}
# The learning rate, as a part of that with which answers are learned.
RATES = {"sft": 1.0, "dpo": 0.1, "orpo": 0.1, "kto": 0.1}
AUTOMATIC = 0.0
FEWEST = 8  # pairs, or judged answers


class Preferences(Choices):
    """How answers that people preferred are learned; the fields are named as in TRL."""

    trainer: Literal["sft", "dpo", "orpo", "kto"] = setting(
        "sft",
        "Learn from the data",
        "What pairs of answers, or answers called good or bad, teach. DPO, ORPO and KTO are for chats.",
        labels=TRAINERS,
    )
    beta: float = setting(
        0.1,
        "Beta",
        "DPO, KTO: how close it stays to the adapter it begins with; less lets it go further. ORPO: the weight of the "
        "preference.",
        gt=0,
        le=10,
    )
    loss_type: Literal["sigmoid", "ipo"] = setting(
        "sigmoid",
        "Loss type",
        "Of DPO. IPO aims at a fixed distance between two answers, and so learns few pairs less by heart.",
        labels={"sigmoid": "Sigmoid (DPO)", "ipo": "Squared (IPO)"},
    )
    label_smoothing: float = setting(
        0.0,
        "Label smoothing",
        "Of DPO: the share of pairs that people may have taken the wrong way round.",
        ge=0,
        lt=0.5,
    )
    sft_weight: float = setting(
        1.0,
        "SFT weight",
        "Of DPO: how much the chosen answers are learned as well. Without it both answers may become unlikely.",
        ge=0,
        le=100,
    )
    rehearsal: float = setting(
        1.0,
        "Rehearsal",
        "Of DPO and ORPO: how much examples of the run it begins with are learned on, as many as pairs. Without it "
        "much of what that run knew is forgotten.",
        ge=0,
        le=100,
    )
    desirable_weight: float = setting(
        AUTOMATIC, "Weight of good answers", "Of KTO; 0: so that good and bad ones count the same.", ge=0, le=100
    )
    undesirable_weight: float = setting(
        AUTOMATIC, "Weight of bad answers", "Of KTO; 0: so that good and bad ones count the same.", ge=0, le=100
    )

    @property
    def is_on(self) -> bool:
        """Is anything but SFT learned?"""
        return self.trainer != "sft"

    @property
    def has_reference(self) -> bool:
        """Is it held against the adapter as it began?"""
        return self.trainer in WITH_REFERENCE

    @property
    def title(self) -> str:
        return self.trainer.upper()

    def problems(self, task: str, option_losses: tuple[str, ...], batch_size: int) -> dict[str, Problem]:
        """What speaks against it, whatever the data are: {dotted setting: why}. task: empty where it is not known."""
        if not self.is_on:
            return {}
        if task not in ("", "chat"):
            return {
                "preferences.trainer": Problem(
                    "preferences.chat_only",
                    "{title} is for chats only. Choose SFT, or the task Chat.",
                    title=self.title,
                )
            }
        if option_losses:
            return {
                "preferences.trainer": Problem(
                    "preferences.options",
                    "{title} does not go together with losses over answer options. Switch those off.",
                    title=self.title,
                )
            }
        if self.trainer == "kto" and batch_size < 2:
            return {
                "training.batch_size": Problem(
                    "preferences.batch", "KTO compares the answers of a step, so that it needs at least 2. Choose more."
                )
            }
        return {}

    def too_few(self, pairs: int, labelled: int) -> dict[str, Problem]:
        """Where data with so many pairs, and answers called good or bad, are too little to learn from."""
        what, count = "pairs of answers", pairs
        if self.trainer == "kto":
            what, count = "answers called good or bad", 2 * pairs + labelled
        if not self.is_on or count >= FEWEST:
            return {}
        return {"preferences.trainer": self.too_few_words(what, count)}

    def too_few_words(self, what: str, count: int) -> Problem:
        return Problem(
            "preferences.too_few",
            "{title} learns from {what}, at least {fewest}, and there are {count:,} in this data to learn from. Choose "
            "SFT, or other data.",
            title=self.title,
            what=what,
            count=count,
            fewest=FEWEST,
        )


def uses(trainer: str, setting: str) -> bool:
    """Does this one make use of a setting of the group, by its name?"""
    return setting in _USED.get(trainer, ())
