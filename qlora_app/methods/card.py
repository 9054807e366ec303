"""The card of a method: what a person reads before choosing it."""

from typing import NamedTuple

# What stands above each part of a card on the page.
HEADINGS = {
    "what": "What it does",
    "paper": "Paper",
    "choose": "When to choose it",
    "cost": "What it costs",
    "is_not": "What it is not",
}
RATE = "Learning rate to begin with"


class LearningRate(NamedTuple):
    """A step size that suits a method on a usual model, and who says so."""

    value: float
    source: str  # a clause of the card: "the authors' for every task"


class Card(NamedTuple):
    """What a person reads about a method, in whole sentences; of the cost, measured figures say where they are from."""

    what: str
    paper: str
    choose: str
    cost: str
    is_not: str

    def sections(self, rate: LearningRate) -> list[tuple[str, str]]:
        """[(heading, text)] as the page shows it: what it does first, the learning rate to begin with last."""
        parts = [(heading, getattr(self, name)) for name, heading in HEADINGS.items()]
        return [*parts, (RATE, f"{rate.value:g}: {rate.source}.")]
