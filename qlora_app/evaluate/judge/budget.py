"""What judging costs: said before the start, and never more than somebody allowed."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import Problem
from ...messages import Conversation

LETTERS_A_TOKEN = 4  # about, in English; only where an endpoint does not count
TYPICAL_VERDICT = 300  # tokens that a judge writes about two answers


@dataclass(frozen=True)
class Price:
    """Money for a million tokens, in whatever coin somebody typed; 0 where nothing is charged."""

    read: float = 0.0
    written: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.read + tokens_out * self.written) / 1e6


@dataclass(frozen=True)
class Limits:
    """The most that may be spent on one evaluation; None: no limit."""

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None


@dataclass(frozen=True)
class Cost:
    """So many calls, and the tokens an endpoint read and wrote for them."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.calls + other.calls, self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True)
class Estimate:
    """What is still to be asked, before it is: about so much, and at most so much where every judgment is as long as it
    may be and none has to be asked for twice.
    """

    likely: Cost
    most: Cost
    price: Price
    known: int = 0  # judgments that are there already

    @property
    def money(self) -> float:
        return self.price.of(self.likely.tokens_in, self.likely.tokens_out)

    @property
    def most_money(self) -> float:
        return self.price.of(self.most.tokens_in, self.most.tokens_out)

    @classmethod
    def of(cls, asked: Iterable[Conversation], longest: int, price: Price, known: int = 0) -> "Estimate":
        """asked: what would be sent, one conversation a call; longest: tokens of a judgment."""
        asked = list(asked)
        lengths = [tokens_of(conversation) for conversation in asked]
        likely = Cost(len(lengths), sum(lengths), len(lengths) * min(longest, TYPICAL_VERDICT))
        read = sum(most_tokens_of(conversation) for conversation in asked)
        return cls(likely, Cost(len(lengths), read, len(lengths) * longest), price, known)

    @property
    def sentence(self) -> Problem:
        """What is said before the start."""
        if not self.likely.calls:
            return Problem("judge.nothing_to_ask", "Everything is judged already: no call is needed.")
        if not (self.price.read or self.price.written):
            return Problem(
                "judge.calls",
                "{calls:,} calls, about {tokens:,} tokens (at most {most:,}). No price is given, so no sum.",
                calls=self.likely.calls,
                tokens=self.likely.tokens,
                most=self.most.tokens,
            )
        return Problem(
            "judge.calls_and_price",
            "{calls:,} calls, about {tokens:,} tokens (at most {most:,}). Price: about {money:,.2f}, at most "
            "{most_money:,.2f}.",
            calls=self.likely.calls,
            tokens=self.likely.tokens,
            most=self.most.tokens,
            money=self.money,
            most_money=self.most_money,
        )


class Budget:
    """What was spent, and what is on its way. Many threads ask it; none goes beyond the limits.

    A call is let through where it would stay within them even if it were as long as it may be.
    """

    def __init__(self, limits: Limits, price: Price, spent: Cost = Cost()) -> None:
        self.spent = spent
        self._limits, self._price = limits, price
        self._on_their_way = Cost()
        self._changed = threading.Condition()

    def take(self, tokens_in: int, tokens_out: int) -> Cost | None:
        """Room for one call, to be handed back with `settle`; None where there is none. It waits for calls on their
        way: most take less than they might.
        """
        call = Cost(1, tokens_in, tokens_out)
        with self._changed:
            while self._on_their_way.calls and not self._holds(self.spent + self._on_their_way + call):
                self._changed.wait()
            if not self._holds(self.spent + call):
                return None
            self._on_their_way += call
        return call

    def settle(self, taken: Cost, real: Cost) -> None:
        """The call is over: what it took in truth counts."""
        with self._changed:
            way = self._on_their_way
            self._on_their_way = Cost(
                way.calls - taken.calls, way.tokens_in - taken.tokens_in, way.tokens_out - taken.tokens_out
            )
            self.spent += real
            self._changed.notify_all()

    @property
    def money(self) -> float:
        return self._price.of(self.spent.tokens_in, self.spent.tokens_out)

    def _holds(self, cost: Cost) -> bool:
        limits = self._limits
        return (
            (limits.calls is None or cost.calls <= limits.calls)
            and (limits.tokens is None or cost.tokens <= limits.tokens)
            and (limits.money is None or self._price.of(cost.tokens_in, cost.tokens_out) <= limits.money + 1e-12)
        )


def tokens_of(conversation: Conversation) -> int:
    """About how many tokens an endpoint reads."""
    return sum(text_tokens(str(turn["content"])) + 4 for turn in conversation)


def most_tokens_of(conversation: Conversation) -> int:
    """Not more than so many, whatever the language: two bytes a token."""
    return sum(len(str(turn["content"]).encode()) // 2 + 8 for turn in conversation)


def text_tokens(text: str) -> int:
    return -(-len(text) // LETTERS_A_TOKEN)
