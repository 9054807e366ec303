"""Train again on the card of a run: the settings one changes most, as fields on the spot. Enter starts the run."""

from html import escape
from typing import Any

from pydantic.fields import FieldInfo

from ...choices import dotted_name, iter_settings, options, value_at
from ...differs import differs, figure
from ...recipe import Recipe

MOST_FIELDS = 6
FIRST = ("training.learning_rate", "method.rank", "training.epochs", "training.batch_size", "training.max_length")


def again_form(recipe: Recipe | None) -> str:
    """A form that the card shows when it is asked for; empty where there is no recipe to be seen."""
    if recipe is None:
        return ""
    fields = "".join(_field(name, field, value) for name, field, value in _changed_most(recipe))
    return (
        '<template data-again><form class="again-form"><h3>The same again, with</h3>'
        f'<div class="fields">{fields}</div><div class="does"><button type="submit" class="main">Start</button>'
        '<button type="button" data-all>All settings</button><button type="button" data-close>Close</button>'
        "</div></form></template>"
    )


def _changed_most(recipe: Recipe) -> list[tuple[str, FieldInfo, Any]]:
    """(dotted name, field, value): first what everybody changes, then what differs here already."""
    there = {}
    for leaf, field in iter_settings(Recipe):
        value = value_at(recipe, leaf, ...)
        if value is not ... and not isinstance(value, list):
            there[dotted_name(leaf)] = field, value
    named = [name for name in (*FIRST, *differs(recipe)) if name in there]
    names = list(dict.fromkeys(name for name in named if name != "method.name"))
    if there.get("training.max_steps", (None, 0))[1]:  # it ends the run, whatever the epochs are
        names = [name for name in names if name != "training.epochs"]
    return [(name, *there[name]) for name in names[:MOST_FIELDS]]


def _field(name: str, field: FieldInfo, value: Any) -> str:
    choices = options(field) or []
    if field.annotation is bool:
        choices = [("on", "true"), ("off", "false")]
    control = _select(name, choices, value) if choices else _input(name, value)
    return f"<label><span>{escape(field.title or name)}</span>{control}</label>"


def _select(name: str, choices: list[tuple[str, str]], value: Any) -> str:
    chosen = str(value).lower() if isinstance(value, bool) else str(value)
    listed = "".join(
        f'<option value="{escape(one)}"{" selected" if one == chosen else ""}>{escape(words)}</option>'
        for words, one in choices
    )
    return f'<select name="{escape(name)}">{listed}</select>'


def _input(name: str, value: Any) -> str:
    is_number = isinstance(value, int | float)
    shown = figure(value) if is_number else str(value)
    mode = ' inputmode="decimal"' if is_number else ""
    return f'<input name="{escape(name)}" value="{escape(shown)}"{mode} autocomplete="off">'
