"""Several runs beside each other: how each of them stands, whether the best is better by more than chance, and the
settings that differ.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..chance import LEVEL, Pairs, Share, holm
from ..choices import dotted_name, iter_settings, value_at
from ..differs import in_words, short_of
from ..recipe import Recipe
from .held_out_answers import HeldOutAnswer, held_out_answers, in_common
from .proof import Proof
from .run import Run

MOST_COMPARED = 8
BEST = "the best of these"
NOT_KEPT = "its answers were not kept: cannot be compared pairwise"
NOT_THE_SAME = "not the same questions: cannot be compared pairwise"
_FEWEST_SHOWN = 0.001  # a smaller p is written so


@dataclass(frozen=True)
class Standing:
    """How a run stands. share: held-out questions answered word for word, with its interval; None where none were
    scored. against: how that is to the best of those it is compared with, in words; pairs and p: what that rests on,
    None where it cannot be said. p is corrected for all pairs that are compared.
    """

    run: Run
    held_out_loss: float | None
    loss: float | None
    share: Share | None
    steps: int
    seconds: float | None
    tokens: int | None
    against: str = ""
    pairs: Pairs | None = None
    p: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the command line gives it to scripts."""
        share, pairs = self.share, self.pairs
        return {
            "run": self.run.id,
            "name": self.run.title,
            "held_out_loss": self.held_out_loss,
            "loss": self.loss,
            "questions": share.questions if share else 0,
            "right": share.right if share else None,
            "interval": [round(bound, 4) for bound in share.interval] if share else None,
            "steps": self.steps,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "against_the_best": self.against,
            "p": self.p,
            "only_this_right": pairs.only_first if pairs else None,
            "only_the_best_right": pairs.only_second if pairs else None,
        }


def standings(runs: Sequence[Run]) -> list[Standing]:
    """How each run stands, in the order given."""
    answers = [held_out_answers(run) for run in runs]
    shares = [_share(run, kept) for run, kept in zip(runs, answers, strict=True)]
    found = []
    for (run, share), (words, pairs, p) in zip(
        zip(runs, shares, strict=True), _against_the_best(shares, answers), strict=True
    ):
        status, heldout = run.status(), Proof.from_json(run.proof()).heldout
        held_out = status.held_out_loss if heldout.loss.after is None else heldout.loss.after
        found.append(
            Standing(
                run, held_out, status.loss, share, status.step, status.seconds or None, status.tokens, words, pairs, p
            )
        )
    return found


def _share(run: Run, kept: Sequence[HeldOutAnswer] | None) -> Share | None:
    if kept:
        return Share(sum(one.is_right for one in kept), len(kept))
    heldout = Proof.from_json(run.proof()).heldout
    after = heldout.exact_match.after
    if not heldout.questions or after is None:
        return None
    return Share(round(after * heldout.questions), heldout.questions)


Answers = Sequence[HeldOutAnswer] | None


def _against_the_best(
    shares: Sequence[Share | None], answers: Sequence[Answers]
) -> list[tuple[str, Pairs | None, float | None]]:
    """(words, pairs, p) for each run. The best is found in the same answers, so every pair counts as a comparison."""
    scored = [place for place, share in enumerate(shares) if share is not None]
    nothing: list[tuple[str, Pairs | None, float | None]] = [("", None, None)] * len(shares)
    if len(scored) < 2:
        return nothing
    best = max(scored, key=lambda place: _value(shares[place]))
    paired = {pair: found for pair in itertools.combinations(scored, 2) if (found := _pairs(answers, *pair))}
    corrected = dict(zip(paired, holm([found.p for found in paired.values()]), strict=True))
    told = nothing
    for place in scored:
        pair = (min(place, best), max(place, best))
        if place == best:
            told[place] = BEST, None, None
        elif pair in paired:
            pairs = paired[pair]
            if place > best:
                pairs = replace(pairs, only_first=pairs.only_second, only_second=pairs.only_first)
            told[place] = _words(pairs, corrected[pair]), pairs, corrected[pair]
        else:
            told[place] = NOT_THE_SAME if answers[place] and answers[best] else NOT_KEPT, None, None
    return told


def _value(share: Share | None) -> float:
    return share.value if share else -1.0


def _pairs(answers: Sequence[Answers], one: int, other: int) -> Pairs | None:
    """None where they have no question in common, or one of them kept no answers."""
    first, second = answers[one], answers[other]
    if not first or not second:
        return None
    common = in_common([first, second])
    if not common:
        return None
    return Pairs.of([a.is_right for a, _ in common], [b.is_right for _, b in common])


def _words(pairs: Pairs, p: float) -> str:
    """pairs: a run beside the best. Asked other questions too, that one may be behind on those that both were asked."""
    if pairs.only_first == pairs.only_second:
        return f"level with the best (the same {pairs.questions:,} questions)"
    where = "behind the best" if pairs.only_first < pairs.only_second else "ahead of the best where both were asked"
    how = f"{where} by more than chance" if p < LEVEL else f"{where}, which may be chance"
    shown = f"p < {_FEWEST_SHOWN}" if p < _FEWEST_SHOWN else f"p = {p:.3f}"
    return f"{how} ({shown}, the same {pairs.questions:,} questions)"


# ---- settings


@dataclass(frozen=True)
class DifferingSetting:
    """name: dotted. values: one for each recipe, None where it has no such setting; words: the same as people write it,
    "" for none.
    """

    name: str
    title: str
    values: tuple[Any, ...]
    words: tuple[str, ...]


def differing_settings(recipes: Sequence[Recipe]) -> list[DifferingSetting]:
    """Only those in which the recipes are not all alike; what they are called and noted does not count."""
    found = []
    for leaf, field in iter_settings(Recipe):
        name = dotted_name(leaf)
        values = tuple(value_at(recipe, leaf, None) for recipe in recipes)
        if name in ("name", "note") or all(value == values[0] for value in values):
            continue
        short = f"{short_of(name, field)} "
        pairs = zip(recipes, values, strict=True)
        words = tuple(_value_words(recipe, name, value).removeprefix(short) for recipe, value in pairs)
        found.append(DifferingSetting(name, field.title or name, values, words))
    return found


def _value_words(recipe: Recipe, name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return in_words(recipe, name, value)
