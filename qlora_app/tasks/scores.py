"""Figures that compare answers with what was expected."""

import re
from collections import Counter

WORDS = re.compile(r"[^\W_]+")


def rouge_l(answers: list[str], expected: list[str]) -> float:
    """Mean ROUGE-L F1 (Lin 2004): how much of both texts their longest common sequence
    of words is, letter case and punctuation aside; 0 to 1. As the library rouge-score counts
    it, though a word may have any letters and not only a to z.
    """
    return sum(map(_rouge_l, answers, expected)) / max(1, len(expected))


def _rouge_l(answer: str, expected: str) -> float:
    a, b = WORDS.findall(answer.lower()), WORDS.findall(expected.lower())
    if not a or not b:
        return float(answer.strip() == expected.strip())
    row = [0] * (len(b) + 1)  # the longest common sequence of the words of `a` so far with each beginning of `b`
    for word in a:
        before = row
        row = [0]
        for place, other in enumerate(b):
            if word == other:
                row.append(before[place] + 1)
            else:
                row.append(max(before[place + 1], row[-1]))
    return 2 * row[-1] / (len(a) + len(b))


def macro_f1(answers: list[str], expected: list[str]) -> float:
    """Mean over the labels of 2 hits / (given + expected): a rare label counts as much as a frequent one; 0 to 1."""
    given, wanted = Counter(answers), Counter(expected)
    hits = Counter(a for a, e in zip(answers, expected, strict=True) if a == e)
    every = given.keys() | wanted.keys()
    return sum(2 * hits[label] / (given[label] + wanted[label]) for label in every) / max(1, len(every))
