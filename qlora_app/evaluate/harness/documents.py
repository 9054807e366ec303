"""A question of lm-eval as people read it: what was asked without the shots, what was right, what was answered."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 2000  # letters of a question or an answer that are kept


def asked_in(sample: Mapping[str, Any], category: str, metric: str, has_shots: bool) -> dict[str, str]:
    """{question, category, expected, answer}; what lm-eval does not say is "". sample: one of its logged samples."""
    found = dict.fromkeys(("question", "expected", "answer"), "")
    with contextlib.suppress(KeyError, IndexError, TypeError, ValueError):  # a version that logs otherwise
        requests, replies = sample["arguments"], sample["filtered_resps"]
        found["question"] = _own(str(requests[0][0]), has_shots)
        if isinstance(replies[0], str):
            found["expected"], found["answer"] = str(sample["target"]), str(sample["resps"][0][0])
        else:
            choices = _choices(requests)
            found["expected"] = _expected(sample["target"], choices)
            found["answer"] = _chosen(choices, replies, metric)
    return {"category": category, **{name: _short(text) for name, text in found.items()}}


def _own(prompt: str, has_shots: bool) -> str:
    """Shots stand before the question, with an empty line between."""
    return prompt.rsplit("\n\n", 1)[-1] if has_shots else prompt


def _choices(requests: Sequence[Sequence[str]]) -> list[str]:
    """What was weighed; where it is always the same (winogrande), the last line of what stands before it."""
    after = [str(one[1]).strip() for one in requests]
    if len(set(after)) > 1 or len(after) == 1:
        return after
    return [str(one[0]).rsplit("\n", 1)[-1] for one in requests]


def _expected(target: Any, choices: Sequence[str]) -> str:
    is_place = isinstance(target, int) and not isinstance(target, bool)
    if is_place and len(choices) > 1 and 0 <= target < len(choices):
        return choices[target]
    return choices[0] if len(choices) == 1 else str(target)


def _chosen(choices: Sequence[str], replies: Sequence[Sequence[Any]], metric: str) -> str:
    """The likeliest, by its length in bytes where the figure says so; of a single one whether it came first of all."""
    if len(choices) == 1:
        return choices[0] if replies[0][1] else "…"
    lengths = [len(one.encode()) or 1 for one in choices] if metric == "acc_norm" else [1] * len(choices)
    weighed = [float(reply[0]) / length for reply, length in zip(replies, lengths, strict=True)]
    return choices[weighed.index(max(weighed))]


def _short(text: str) -> str:
    """The end of a long one is what was asked."""
    return text.strip() if len(text) <= LONGEST else f"…{text[-LONGEST:].strip()}"
