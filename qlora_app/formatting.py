"""How figures and tasks are said, on the page, in a terminal, on a model card and in the sentences of a run."""

import itertools
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
TASK_NAMES = {
    "chat": "Chat",
    "text_to_text": "Text to text",
    "classification": "Classification",
    "fill_mask": "Fill the blank",
}
FIGURES = {
    "token_accuracy": "Tokens predicted",
    "accuracy": "Accuracy",
    "masked_accuracy": "Hidden tokens predicted",
    "rouge_l": "ROUGE-L",
    "f1": "Macro F1",
}  # shares from 0 to 1


def duration(seconds: float) -> str:
    """45 -> "45 s", 75 -> "1 min 15 s", 7500 -> "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        if rest and minutes < 10:
            return f"{minutes} min {rest} s"
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if minutes:
        return f"{hours} h {minutes} min"
    return f"{hours} h"


def about(seconds: float) -> str:
    """A length of time as one says it beforehand: 23 -> "25 s", 74 -> "75 s", 170 -> "3 min"."""
    if seconds < 100:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 5400:
        return f"{max(2, round(seconds / 60))} min"
    if seconds > 10 * 3600:
        return f"{round(seconds / 3600)} h"
    return f"{seconds / 3600:.1f} h".replace(".0", "")


def step_time(seconds: float) -> str:
    """How long a step takes: 0.0341 -> "0.034 s", 1.25 -> "1.2 s", 42.3 -> "42 s", 120 -> "2 min"."""
    if seconds < 10:
        return f"{max(0.001, seconds):.2g} s"
    return duration(seconds)


def left(seconds: float) -> str:
    """Time that is left: seconds near the end, else rounded, because it is a guess."""
    if seconds < 100:
        return f"{max(0, round(seconds))} s"
    return about(seconds)


def loss_figure(loss: float) -> str:
    """2.2278 -> "2.23", 0.0041 -> "0.004": a small loss is not zero, and does not read like it."""
    if loss >= 0.1:
        return f"{loss:.2f}"
    return f"{loss:.3f}"


def size(count: float) -> str:
    """Bytes for people: 5_600_000 -> "5.6 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            if unit == "bytes" or count >= 100:
                return f"{count:.0f} {unit}"
            return f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def gigabytes(count: float) -> str:
    """Memory as its makers and its drivers count it: 2**30 bytes are a gigabyte."""
    return f"{count / 2**30:.1f} GB"


def millions(count: float) -> str:
    """How many parameters: 134_515_008 -> "135 M", 6_738_415_616 -> "6.7 B"."""
    if count >= 999.5e6:
        return f"{count / 1e9:.1f} B"
    if count >= 9.95e6:
        return f"{count / 1e6:.0f} M"
    return f"{count / 1e6:.1f} M"


def count_of(number: int, thing: str) -> str:
    """1, "row" -> "1 row"; 5786, "row" -> "5,786 rows"."""
    if number == 1:
        return f"{number:,} {thing}"
    return f"{number:,} {thing}s"


def sparkline(values: Sequence[float], most: int = 24) -> str:
    """Numbers as a line of blocks, the newest last: [3, 2, 1] -> "█▅▁"; of many the mean of each part."""
    if len(values) > most:
        ends = [round(place * len(values) / most) for place in range(most + 1)]
        parts = [values[first:last] for first, last in itertools.pairwise(ends)]
        values = [sum(part) / len(part) for part in parts]
    low, high = min(values, default=0.0), max(values, default=0.0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((value - low) * scale)] for value in values)
