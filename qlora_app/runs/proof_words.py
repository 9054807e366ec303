"""The proof of a run in sentences: on the page, in a terminal and on a model card they are the same."""

from typing import Any, Literal, NamedTuple

from ..formatting import (
    FIGURES,
    count_of,
    duration,
    loss_figure,
)
from .contradictions import contradictions
from .effect import KNEW, Colour, checks
from .proof import (
    Answered,
    General,
    HeldOut,
    Kept,
    Preferred,
    Proof,
    Reload,
    Seconds,
    StillKnown,
)

# How far a logit of the reloaded adapter may be off, as a share of the largest one. In bf16 a number is known to 1/256
# of itself, and 8-bit layers round their inputs to 1/127 of the largest; an adapter that is lost or another one is off
# by far more.
RELOAD_TOLERANCE = 0.01


class Line(NamedTuple):
    """A sentence, and what it is: the score, how good a figure is, a warning, or any other fact."""

    kind: Literal["score", "warning", "fact"] | Colour
    text: str


def proof_words(proof: dict[str, Any] | Proof) -> list[str]:
    """The texts of `proof_lines`."""
    return [line.text for line in proof_lines(proof)]


def proof_lines(proof: dict[str, Any] | Proof) -> list[Line]:
    """proof.json in sentences; each figure is from the file, and a sentence without its figure is left out."""
    known = proof if isinstance(proof, Proof) else Proof.from_json(proof)
    score = [Line("score", text) for text in preferred_words(known.preferred) or _score_words(known.heldout)]
    found = [Line(one.colour, one.sentence) for one in checks(known)]
    wrong = [Line("warning", one.sentence) for one in contradictions(known)]
    facts = [
        *_learned_words(known.learned),
        *_general_words(known.general),
        *_not_asked_words(known.heldout),
        *_changed_words(known.preferred),
        *_held_out_words(known.heldout),
        *_kept_words(known.kept),
        *_update_words(known),
    ]
    facts += [words] if isinstance(words := known.method.get("in_words"), str) and words else []
    return [
        *score,
        *found,
        *wrong,
        *(Line("fact", text) for text in facts),
        *_reload_lines(known.reload),
        *(Line("fact", text) for text in [*_data_words(known), *_seconds_words(known.seconds)]),
    ]


def _before_after(answered: Answered) -> str:
    before, after = (
        round((share or 0.0) * answered.questions)
        for share in (answered.exact_match.before, answered.exact_match.after)
    )
    return f"{before:,} right before, {after:,} right after."


def _score_words(held_out: HeldOut) -> list[str]:
    if not held_out.questions or not held_out.exact_match.is_known:
        return []
    known, seen = held_out.also_learned, ""  # old runs do not know
    if known is not None:
        seen = f" ({known:,} also learned, with another answer)" if known else " it never saw"
    return [f"On {count_of(held_out.questions, 'held-out question')}{seen}: {_before_after(held_out)}"]


def preferred_words(preferred: Preferred) -> list[str]:
    """Which answers of held-out pairs it prefers; nothing of a run that learned answers."""
    pairs, likelier, accuracy = preferred.pairs, preferred.likelier, preferred.accuracy
    if not preferred.trainer or not pairs or accuracy is None:
        return []
    if not likelier.is_known:
        return [f"Held-out answers: {pairs:,}, of which {accuracy:.0%} became likelier if good, unlikelier if bad."]
    before, after = (round((share or 0.0) * pairs) for share in (likelier.before, likelier.after))
    return [
        f"Held-out pairs: {pairs:,}, of which it gives the chosen answer rather than the rejected one in {after:,}; "
        f"{before:,} before."
    ]


def _changed_words(preferred: Preferred) -> list[str]:
    """How far it went from what it began with, and what of that it still knows."""
    lines = []
    if preferred.margin is not None:
        lines.append(f"Margin of the rewards on held-out pairs: {preferred.margin:.2f}.")
    if preferred.begun_with.nats is not None:
        lines.append(f"It differs from what it began with, by {preferred.begun_with.nats:.2f} nats on average.")
    return [*lines, *still_known_words(preferred.still_known)]


def still_known_words(known: StillKnown) -> list[str]:
    """Of the questions of the run it began with."""
    if not known.questions or not known.exact_match.is_known or not known.same_words.is_known:
        return []
    exact, words = known.exact_match, known.same_words
    return [
        f"Of {known.questions:,} held-out questions of the run it began with, {exact.before:.0%} were answered right "
        f"word for word before and {exact.after:.0%} are now; style aside {words.before:.0%} and {words.after:.0%}."
    ]


def _learned_words(learned: Answered) -> list[str]:
    if not learned.questions or not learned.exact_match.is_known:
        return []
    asked = f"{learned.questions:,} learned questions" if learned.questions > 1 else "1 learned question"
    return [f"On {asked}: {_before_after(learned)}"]


def _general_words(general: General) -> list[str]:
    lines = []
    if general.questions and general.before < KNEW:
        lines.append(
            f"Of {general.questions:,} general questions the base answers {general.before:,} right: too few to see "
            "what is forgotten."
        )
    if general.not_asked:
        lines.append(f"{general.not_asked:,} general questions were not asked: it would have taken too long.")
    return lines


def _not_asked_words(held_out: HeldOut) -> list[str]:
    """Why fewer questions were scored than were drawn, and how many answers had no end."""
    lines = []
    drawn = held_out.questions + held_out.out_of_reach + held_out.not_asked
    if held_out.out_of_reach:
        lines.append(
            f"{held_out.out_of_reach:,} of {drawn:,} questions were not asked: with the right answer they are longer "
            f"than what "
            "the model reads."
        )
    if held_out.not_asked:
        lines.append(
            f"{held_out.not_asked:,} of {drawn:,} questions were not asked: to answer them would have taken too long."
        )
    if held_out.unended:
        lines.append(
            f"{held_out.unended:,} of {held_out.questions:,} answers were longer than any right one and were cut off."
        )
    return lines


def _held_out_words(held_out: HeldOut) -> list[str]:
    loss, lines = held_out.loss, []
    if loss.before is not None and loss.after is not None:
        lines.append(
            f"Held-out loss: {loss_figure(loss.before)} before, {loss_figure(loss.after)} after. Lower is better."
        )
    for name, value in held_out.figures.items():
        if None not in (value.get("before"), value.get("after")):
            lines.append(f"{FIGURES.get(name, name)}: {value['before']:.0%} before, {value['after']:.0%} after.")
    return lines


def _kept_words(kept: Kept) -> list[str]:
    if not kept.is_earlier or "loss" not in kept.best or "loss" not in kept.last:
        return []
    lines = [
        f"Kept is step {kept.step:,} of {kept.of:,}, the best on held-out examples: loss "
        f"{loss_figure(kept.best['loss'])} there, "
        f"{loss_figure(kept.last['loss'])} at the last step."
    ]
    for name, share in kept.best.items():
        if name != "loss" and name in kept.last:
            lines.append(f"{FIGURES.get(name, name)}: {share:.0%} there, {kept.last[name]:.0%} at the last step.")
    return [" ".join(lines)]


def _update_words(proof: Proof) -> list[str]:
    layers, zero = proof.update.layers, proof.update.zero_layers
    if not layers:
        return []
    return [
        f"{zero} of {layers} adapter layers did not change."
        if zero
        else f"Every one of {layers} adapter layers changed."
    ]


def _reload_lines(reload: Reload) -> list[Line]:
    difference = reload.max_difference
    if difference is None:
        return []
    if difference == 0:
        return [Line("fact", "Reloaded from disk it gives exactly the same answers.")]
    if difference <= RELOAD_TOLERANCE * reload.largest:
        return [Line("fact", f"Reloaded from disk its numbers differ by at most {difference:.2g}, as rounding does.")]
    return [
        Line(
            "warning",
            f"Warning: reloaded from disk it answers differently, a logit is off by {difference:.2g}. The saved "
            f"adapter is "
            "not what was measured here: do not use it, and train again.",
        )
    ]


def _data_words(proof: Proof) -> list[str]:
    """What of the data was not learned."""
    data, lines = proof.data, []
    if data.cut and data.max_length:
        lines.append(f"Cut at {data.max_length:,} tokens: {data.cut:,} of {data.trained:,} learned rows.")
    if data.left_out:
        lines.append(f"Left out: {data.left_out:,} of {data.rows:,} rows.")
    return lines


def _seconds_words(seconds: Seconds) -> list[str]:
    if seconds.training is None:
        return []
    took = duration(seconds.training)
    if seconds.to_first_loss is None:  # a run that was resumed
        return [f"Trained for {took}."]
    first = f"{seconds.to_first_loss:.1f} s"
    return [f"First loss after {first}; trained for {took}."]
