"""The card of a method: what a person reads before choosing it, taken from the docstring of its class."""

import inspect

from .method import MethodChoices

HEADINGS = {
    "Paper:": "Paper",
    "Choose it": "When to choose it",
    "Cost:": "What it costs",
    "It is not": "What it is not",
}

RATE = "Learning rate to begin with"


def card(method: type[MethodChoices]) -> list[tuple[str, str]]:
    """[(heading, text)], the first being what it does. Raises ValueError for a docstring that lacks a part."""
    first, *rest = (" ".join(paragraph.split()) for paragraph in inspect.getdoc(method).split("\n\n"))
    parts = {start: text for text in rest for start in HEADINGS if text.startswith(start)}
    if missing := [start for start in HEADINGS if start not in parts]:
        raise ValueError(f"The docstring of {method.__name__} has no paragraph that begins with {missing[0]!r}.")
    value, source = method.learning_rate
    return [
        ("What it does", first),
        *((heading, _without(start, parts[start])) for start, heading in HEADINGS.items()),
        (RATE, f"{value:g}: {source}."),
    ]


def _without(start: str, text: str) -> str:
    """A label such as "Cost:" is the heading already; a sentence stays whole."""
    rest = text.removeprefix(start).strip() if start.endswith(":") else text
    return rest[:1].upper() + rest[1:]
