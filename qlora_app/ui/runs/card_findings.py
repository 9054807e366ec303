"""What the training doctor found of a run, each as a sentence with its cause and a button for the changed recipe."""

import functools
from collections.abc import Sequence
from html import escape

from pydantic.fields import FieldInfo

from ...choices import dotted_name, iter_settings
from ...recipe import Recipe
from ...runs.diagnose import Finding
from ..language import problem_in
from .run_pages import value_words

MOST_SHOWN = 3


def findings_part(found: Sequence[Finding], may_change: bool, language: str) -> str:
    """The worst of them, in a language."""
    return "".join(_finding(one, may_change, language) for one in found[:MOST_SHOWN])


def _finding(one: Finding, may_change: bool, language: str) -> str:
    kind = "severe" if one.is_severe else ""
    return (
        f'<div class="finding {kind}"><p translate="no"><b>{escape(problem_in(one.sentence, language))}</b> '
        f"{escape(problem_in(one.cause, language))}</p>{_button(one) if may_change and one.change else ''}</div>"
    )


def _button(one: Finding) -> str:
    """It puts the recipe with the change on the form, where it is seen before it starts."""
    fields = _fields()
    changes = " · ".join(
        f"<span>{escape(fields[name].title or name)}</span> {value_words(fields[name], value)}"
        for name, value in one.change.items()
    )
    return (
        f'<button type="button" data-do="again" data-finding="{escape(one.code)}"><span>Train again with</span> '
        f"{changes}…</button>"
    )


@functools.cache
def _fields() -> dict[str, FieldInfo]:
    return {dotted_name(leaf): field for leaf, field in iter_settings(Recipe)}
