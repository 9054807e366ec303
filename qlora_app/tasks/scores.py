"""Figures that compare answers with what was expected."""

from collections import Counter


def rouge_l(answers: list[str], expected: list[str]) -> float:
    """Mean ROUGE-L F1 (Lin 2004): how much of both texts their longest common sequence
    of words is, letter case aside; 0 to 1.
    """
    return sum(map(_rouge_l, answers, expected)) / max(1, len(expected))


def _rouge_l(answer: str, expected: str) -> float:
    a, b = answer.lower().split(), expected.lower().split()
    if not a or not b:
        return float(a == b)
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
