"""How figures, tasks and the proof of a run are said, on the page, in a terminal, on a model card and in the sentences of a run."""

from typing import Any

TASK_NAMES = {"chat": "Chat", "text_to_text": "Text to text", "classification": "Classification", "fill_mask": "Fill the blank"}
FIGURES = {"token_accuracy": "Tokens predicted", "accuracy": "Accuracy", "masked_accuracy": "Hidden tokens predicted", "rouge_l": "ROUGE-L",
           "f1": "Macro F1"}  # shares from 0 to 1
# How far a logit of the reloaded adapter may be off, as a share of the largest one. In bf16 a number is known to 1/256 of itself, and
# 8-bit layers round their inputs to 1/127 of the largest; an adapter that is lost or another one is off by far more.
RELOAD_TOLERANCE = 0.01


def duration(seconds: float) -> str:
    """45 -> "45 s", 75 -> "1 min 15 s", 7500 -> "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def about(seconds: float) -> str:
    """A length of time as one says it beforehand: 23 -> "25 s", 74 -> "75 s", 170 -> "3 min"."""
    if seconds < 100:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 5400:
        return f"{max(2, round(seconds / 60))} min"
    return f"{round(seconds / 3600)} h" if seconds > 10 * 3600 else f"{seconds / 3600:.1f} h".replace(".0", "")


def left(seconds: float) -> str:
    """Time that is left: seconds near the end, else rounded, because it is a guess."""
    return f"{max(0, round(seconds))} s" if seconds < 100 else about(seconds)


def loss_figure(loss: float) -> str:
    """2.2278 -> "2.23", 0.0041 -> "0.004": a small loss is not zero, and does not read like it."""
    return f"{loss:.2f}" if loss >= 0.1 else f"{loss:.3f}"


def size(count: float) -> str:
    """Bytes for people: 5_600_000 -> "5.6 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def millions(count: float) -> str:
    """How many parameters: 134_515_008 -> "135 M", 6_738_415_616 -> "6.7 B"."""
    if count >= 999.5e6:
        return f"{count / 1e9:.1f} B"
    return f"{count / 1e6:.0f} M" if count >= 9.95e6 else f"{count / 1e6:.1f} M"


def count_of(number: int, thing: str) -> str:
    """1, "row" -> "1 row"; 5786, "row" -> "5,786 rows"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def proof_words(proof: dict[str, Any]) -> list[str]:
    """proof.json in sentences; each figure is from the file, and a sentence without its figure is left out."""
    held_out, update, reload, seconds = (proof.get(name) or {} for name in ("heldout", "update", "reload", "seconds"))
    lines = [*_score_words(held_out), *_held_out_words(held_out)]
    if layers := update.get("layers"):
        zero = update.get("zero_layers") or 0
        lines.append(f"{zero} of {layers} adapter layers did not change." if zero else f"Every one of {layers} adapter layers changed.")
    if reload.get("max_difference") is not None:
        lines.append(_reload_words(float(reload["max_difference"]), float(reload.get("largest") or 1)))
    if words := (proof.get("method") or {}).get("in_words"):
        lines.append(words)
    if seconds.get("training") is not None:
        took, first = duration(seconds["training"]), seconds.get("to_first_loss")
        came = None if first is None else f"{first:.1f} s"  # not in a run that was resumed
        lines.append(f"First loss after {came}; trained for {took}." if came else f"Trained for {took}.")
    return lines


def _score_words(held_out: dict[str, Any]) -> list[str]:
    right, questions, known = held_out.get("exact_match") or {}, held_out.get("questions"), held_out.get("also_learned")
    if not questions or None in (right.get("before"), right.get("after")):
        return []
    before, after = (round(right[when] * questions) for when in ("before", "after"))
    seen = "" if known is None else f" ({known:,} also learned, with another answer)" if known else " it never saw"  # old runs do not know
    return [f"On {count_of(questions, 'held-out question')}{seen}: " + f"{before:,} right before, {after:,} right after."]


def _held_out_words(held_out: dict[str, Any]) -> list[str]:
    def known(value: dict[str, Any]) -> bool:
        return None not in (value.get("before"), value.get("after"))

    loss = held_out.get("loss") or {}
    lines = [f"Held-out loss: {loss_figure(loss['before'])} before, {loss_figure(loss['after'])} after. Lower is better."] \
        if known(loss) else []
    return lines + [f"{FIGURES.get(name, name)}: {value['before']:.0%} before, {value['after']:.0%} after."
                    for name, value in (held_out.get("figures") or {}).items() if known(value)]


def _reload_words(difference: float, largest: float) -> str:
    """`largest`: the largest logit of the adapter in memory."""
    if difference == 0:
        return "Reloaded from disk it gives exactly the same answers."
    if difference <= RELOAD_TOLERANCE * largest:
        return f"Reloaded from disk its numbers differ by at most {difference:.2g}, as rounding does."
    return (f"Warning: reloaded from disk it answers differently, a logit is off by {difference:.2g}. The saved adapter is not what was "
            "measured here: do not use it, and train again.")
