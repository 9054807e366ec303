"""What came of a run, in one sentence: the first thing that is said of it when it has ended.

Good is only what was measured, on enough questions, and contradicts nothing else that was measured. Every sentence
says what it rests on.
"""

from typing import NamedTuple

from ..formatting import count_of, loss_figure
from ..jobs import State
from .contradictions import Contradiction, contradictions
from .effect import Check, Colour, checks
from .proof import HeldOut, Preferred, Proof
from .proof_words import RELOAD_TOLERANCE, preferred_words, still_known_words

FEWEST_ASKED = 10  # questions; fewer say nothing
FEWEST_HELD_OUT = 10  # rows; a loss of fewer jumps
LOST = 0.10  # of the questions of an adapter that was merged: so many more answered wrong is much
LEARNED = 0.75  # share of right answers from which on it is called learned
FEW_RIGHT = 0.25  # share of right answers below which it is called the form only
FORGOTTEN = 0.05  # share of questions that were answered right before, style aside
FALLS = 0.95  # of the held-out loss before: what is less has fallen by more than chance
# Contradictions that do not say that the figures are wrong: the adapter is worse, or not the best there was.
_NOT_THE_BEST = ("was_better_before",)
_WORSE = ("learned_by_heart", "fewer_right_than_the_base")


class Verdict(NamedTuple):
    """A code for programs, what it is to look like, what it says in front, and what that rests on."""

    code: str
    colour: Colour
    short: str
    why: str


def verdict(proof: Proof, foreign: str = "", changed: str = "") -> Verdict:
    """What came of a run with this proof. `foreign`: why its base cannot answer about its data, if that is known.
    `changed`: why what lies there now is not what was measured.
    """
    if changed:
        return Verdict("changed", "bad", "This is not what was measured.", changed)
    broken = _broken(proof)
    if broken is not None:
        return broken
    if proof.merged and proof.merged_lost > LOST:
        return Verdict("merged_lost", "bad", "It lost much of what it was merged of.", _joined(*proof.merged))
    if proof.merged:
        return Verdict("merged", "fair", "It was merged of other adapters.", _joined(*proof.merged))
    if proof.imported:
        return Verdict("imported", "fair", "It was made elsewhere.", "What it learned was not measured here.")
    measured = _with_checks(_measured(proof), checks(proof))
    if foreign and measured.colour == "good":
        return Verdict("foreign", "fair", "The figures are good, but look at what it answers.", foreign)
    if foreign:
        return measured._replace(why=_joined(measured.why, foreign))
    return measured


def stopped_verdict(state: State, step: int, total: int, first: float | None, last: float | None) -> Verdict | None:
    """Of a run that ended before it could be proven; None where it goes on, or its own sentence says what happened.

    `first` and `last`: the held-out loss of its first and its newest measurement.
    """
    if state != "stopped" or not step:
        return None
    short = f"Stopped early, at step {step:,} of {total:,}."
    if first is None or last is None:
        return Verdict("stopped", "fair", short, "What it learned so far was not measured.")
    why = f"Held-out loss so far: {loss_figure(first)} at first, {loss_figure(last)} at the end."
    return Verdict("stopped", "fair", short, why)


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _broken(proof: Proof) -> Verdict | None:
    """What makes every other figure worthless; None where nothing does."""
    layers, off = proof.update, proof.reload.max_difference
    if layers.layers and layers.zero_layers == layers.layers:
        return Verdict("unchanged", "bad", "It learned nothing.", "None of its adapter layers changed.")
    idle = next((one for one in checks(proof) if one.code == "does_nothing"), None)
    if idle is not None:
        return Verdict("does_nothing", "bad", "It does nothing.", idle.sentence)
    if off is not None and off > RELOAD_TOLERANCE * proof.reload.largest:
        return Verdict("reload", "bad", "Do not use this one.", "Reloaded from disk it answers differently.")
    wrong = [one for one in contradictions(proof) if one.code not in (*_NOT_THE_BEST, *_WORSE)]
    if wrong:
        return Verdict("contradiction", "bad", "Something is wrong: its figures contradict each other.", _said(wrong))
    return None


def _said(wrong: list[Contradiction]) -> str:
    return " ".join(one.sentence for one in wrong)


def _measured(proof: Proof) -> Verdict:
    codes = [one.code for one in contradictions(proof)]
    held_out = proof.heldout
    if proof.preferred.trainer:
        return _of_preferences(proof.preferred)
    if "fewer_right_than_the_base" in codes:
        return Verdict("worse", "bad", "It got worse.", _right_words(held_out))
    answered = _of_answers(held_out) if _is_asked(held_out) else None
    if answered is not None:
        return _with_better(answered, codes)
    if "learned_by_heart" in codes:
        return Verdict("by_heart", "bad", "It learned its rows by heart.", _loss_words(held_out))
    return _with_better(_of_loss(proof), codes)


def _of_preferences(preferred: Preferred) -> Verdict:
    """By the pairs it learned nothing from, and by what it still knows of what it began with."""
    words = _joined(*preferred_words(preferred), *still_known_words(preferred.still_known))
    if preferred.pairs < FEWEST_ASKED or preferred.accuracy is None:
        few = f"Held out: {count_of(preferred.pairs, 'pair')}, too few to say."
        return Verdict("too_few", "fair", "How well it learned cannot be said.", _joined(few, words))
    share = preferred.accuracy if preferred.likelier.after is None else preferred.likelier.after
    if min(share, preferred.accuracy) < LEARNED:
        return Verdict("not_preferred", "fair", "It hardly prefers what you prefer.", words)
    known = preferred.still_known.same_words
    if (known.before or 0.0) - (known.after or 0.0) > FORGOTTEN:
        return Verdict("forgot", "fair", "It prefers what you prefer, and forgot some of what it knew.", words)
    return Verdict("preferred", "good", "It prefers what you prefer.", words)


def _with_better(found: Verdict, codes: list[str]) -> Verdict:
    """Whoever keeps the last adapter though an earlier one was better has not the best that was there."""
    if found.colour == "good" and "was_better_before" in codes:
        return found._replace(colour="fair", why=_joined(found.why, "An earlier step was better."))
    if found.colour == "good" and "learned_by_heart" in codes:
        too_long = "Its held-out loss rose: it was trained too long."
        return found._replace(colour="fair", why=_joined(found.why, too_long))
    return found


def _with_checks(found: Verdict, made: list[Check]) -> Verdict:
    """Right answers that never end, or go round, are not good ones."""
    wrong = [one.sentence for one in made if one.colour == "bad"]
    if found.colour == "good" and wrong:
        return found._replace(colour="fair", why=_joined(found.why, *wrong))
    return found


def _is_asked(held_out: HeldOut) -> bool:
    return bool(held_out.questions) and held_out.exact_match.is_known


def _counts(held_out: HeldOut) -> tuple[int, int]:
    """Right before, right after."""
    before, after = held_out.exact_match.before or 0.0, held_out.exact_match.after or 0.0
    return round(before * held_out.questions), round(after * held_out.questions)


def _right_words(held_out: HeldOut) -> str:
    before, after = _counts(held_out)
    asked = held_out.questions
    if held_out.also_learned == 0:
        return f"{after:,} of {asked:,} questions it never saw answered right; {before:,} before."
    return f"{after:,} of {asked:,} questions answered right; {before:,} before."


def _of_answers(held_out: HeldOut) -> Verdict | None:
    """By its answers to questions that were asked; None where none is right, which long answers seldom are."""
    (before, after), asked = _counts(held_out), held_out.questions
    if asked < FEWEST_ASKED:
        few = f"Asked: {count_of(asked, 'held-out question')}, too few to say."
        return Verdict("too_few", "fair", "How well it learned cannot be said.", _joined(few, _right_words(held_out)))
    gained = after - before
    if after >= LEARNED * asked:
        if gained >= max(2, 0.05 * asked):
            return Verdict("learned", "good", "It learned this.", _right_words(held_out))
        return Verdict("knew", "fair", "It knew this before.", _right_words(held_out))
    if gained >= max(2, 0.05 * asked):
        return Verdict("learned_some", "fair", "It learned a part of this.", _right_words(held_out))
    return None


def _loss_words(held_out: HeldOut) -> str:
    before, after = held_out.loss.before, held_out.loss.after
    if before is None or after is None:
        return ""
    return f"Held-out loss {loss_figure(before)} before, {loss_figure(after)} after."


def _of_loss(proof: Proof) -> Verdict:
    """Where no answer tells: by the loss on held-out rows, which says how alike it writes and not what is right."""
    held_out, rows = proof.heldout, proof.data.held_out
    before, after = held_out.loss.before, held_out.loss.after
    if before is None or after is None:
        return Verdict("not_measured", "fair", "How well it learned was not measured.", "Nothing was held out.")
    words = _loss_words(held_out)
    if rows and rows < FEWEST_HELD_OUT:
        few = f"Held out: {count_of(rows, 'row')}, too few to say."
        return Verdict("too_few", "fair", "How well it learned cannot be said.", _joined(few, words))
    if after > 1.02 * before:
        return Verdict("worse", "bad", "It got worse.", words)
    if after > FALLS * before:
        return Verdict("not_learned", "bad", "It did not learn this.", words)
    if not _is_asked(held_out):
        why = _joined(words, "Whether it answers right was not asked.")
        return Verdict("alike", "fair", "It writes more like your data.", why)
    why = _joined(_right_words(held_out), words)
    if _counts(held_out)[1] < FEW_RIGHT * held_out.questions:
        return Verdict("form_only", "fair", "It learned the form, not the answers.", why)
    return Verdict("hardly", "fair", "It hardly learned this.", why)
