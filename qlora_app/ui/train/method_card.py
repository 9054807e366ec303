"""The card of a method as the page shows it."""

from html import escape
from typing import Any

from ...choices import kinds_of
from ...recipe import Recipe


def card_words(name: str) -> str:
    """What a method does, and in a fold when to choose it, what it costs and what it is not."""
    method: Any = kinds_of(Recipe.model_fields["method"]).get(name)
    if method is None:
        return ""
    (_, what), *rest = method.card.sections(method.learning_rate)
    names = {"Paper": ' translate="no"'}  # of people and of papers
    parts = "".join(
        f"<dt>{escape(heading)}</dt><dd{names.get(heading, '')}>{escape(text)}</dd>" for heading, text in rest
    )
    return f"<p>{escape(what)}</p><details><summary>More about this method</summary><dl>{parts}</dl></details>"
