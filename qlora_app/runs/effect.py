"""What an adapter does, beside answering right: how far it is from its base, whether its answers end, whether they go
round. Each figure with how good it is, and a sentence that says what it rests on.
"""

from typing import Literal, NamedTuple

from ..chance import LEVEL, Pairs
from .proof import General, HeldOut, Proof

Colour = Literal["good", "fair", "bad"]
# Nats a label. Below the first nobody sees a difference: over an answer of a thousand tokens, a tenth of a nat. Below
# the second one of a hundred tokens is another one by one nat.
NOTHING, HARDLY = 1e-4, 1e-2
FEWEST = 4  # answers; fewer tell nothing
ENDS, MOSTLY_ENDS = 0.95, 0.7  # shares of answers
KNEW = 6  # right answers of the base, of which five can be lost by more than chance
OFTEN = 0.1  # share of answers that go round from which on it is no chance


class Check(NamedTuple):
    """A code for programs, how good it is, and a sentence."""

    code: str
    colour: Colour
    sentence: str


def checks(proof: Proof) -> list[Check]:
    """Of what was measured; nothing is said of a figure that is not there."""
    held_out = proof.heldout
    found = (_distance(held_out), _endings(held_out), _rounds(held_out), _general(proof.general))
    return [one for one in found if one is not None]


def _distance(held_out: HeldOut) -> Check | None:
    nats = held_out.distance.nats
    if nats is None or not held_out.distance.labels:
        return None
    if nats < NOTHING:
        words = f"With the adapter on or off it answers the same: the two are {nats:.4f} nats apart on average."
        return Check("does_nothing", "bad", words)
    if nats < HARDLY:
        return Check("hardly_differs", "fair", f"It hardly differs from its base: {nats:.4f} nats on average.")
    return Check("differs", "good", f"It differs from its base, by {nats:.2f} nats on average.")


def _endings(held_out: HeldOut) -> Check | None:
    """Not where nothing is generated, nor where it is not known what became of longer answers."""
    asked, unended = held_out.questions, held_out.unended
    if asked < FEWEST or unended is None or not held_out.tokens or unended > asked:
        return None
    longer, ended = held_out.asked_longer, min(held_out.ended_longer, held_out.asked_longer)
    if unended and not longer:
        return None
    share = 1.0 - unended / asked
    share += unended / asked * ended / max(1, longer)
    if longer >= unended:
        words = f"{asked - unended + ended:,} of {asked:,} answers end by themselves."
    else:
        words = (
            f"{asked - unended:,} of {asked:,} answers end by themselves, and {ended:,} of {longer:,} longer ones that "
            f"were given {held_out.room:,} tokens."
        )
    if share >= ENDS:
        return Check("ends", "good", words)
    return Check("ends_mostly", "fair", words) if share >= MOSTLY_ENDS else Check("does_not_end", "bad", words)


def _rounds(held_out: HeldOut) -> Check | None:
    asked, rounds = held_out.questions, held_out.repeats
    if asked < FEWEST or rounds is None or not 0 <= rounds <= asked:
        return None
    if not rounds:
        return Check("no_rounds", "good", f"None of {asked:,} answers says the same over and over.")
    words = f"{rounds:,} of {asked:,} answers say the same over and over."
    return Check("rounds", "bad", words) if rounds >= OFTEN * asked else Check("few_rounds", "fair", words)


def _general(general: General) -> Check | None:
    """Not where the base knew so little that nothing could be seen to be lost."""
    if general.before < KNEW:
        return None
    asked, before, after = general.questions, general.before, general.after
    pairs = Pairs(asked, general.lost, general.gained)
    if general.lost <= general.gained or pairs.p > LEVEL:
        words = (
            f"Of {asked:,} general questions {before:,} right before, {after:,} after: nothing is seen to be forgotten."
        )
        return Check("kept_general", "good", words)
    words = (
        f"Of {asked:,} general questions {before:,} right before, {after:,} after: it forgot what is not in its data."
    )
    return Check("forgot_half", "bad", words) if after < before / 2 else Check("forgot_some", "fair", words)
