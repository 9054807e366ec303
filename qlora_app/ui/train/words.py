"""The sentences beside the form, as HTML: about a person's own settings, about mistakes."""

from html import escape
from pathlib import Path
from typing import Any

from ...differs import method_words
from ...effort import steps_of
from ...errors import UserError
from ...formatting import count_of
from ...hardware_fit import memory_here
from ...memory import gigabytes
from ...place import TITLES
from ...recipe import Recipe
from ..translate import translate
from . import form_values as form
from .stage import Face

OWN_NAMED = 6  # settings changed by hand that are named above Start
BITS = {"nf4": 4, "fp4": 4, "int8": 8, "bf16": 16, "fp32": 32}
LONGEST_VALUE = 40  # characters of one of them
BEFORE_START = "Please look at this before the start:"


def quiet(text: str) -> str:
    """A remark beside the form; what it is made of is already escaped."""
    return f'<p class="quiet">{text}</p>' if text else ""


def chips_words(own: dict[str, Any], before: dict[str, Any]) -> str:
    """Settings, {control: value}, that are not as suggested, each with a way back to what was there `before`."""
    if not own:
        return ""
    chips = "".join(_chip(name, value, before[name]) for name, value in list(own.items())[:OWN_NAMED])
    left = len(own) - OWN_NAMED
    more = f'<button type="button" class="link" data-settings>and {left} more</button>' if left > 0 else ""
    reset = '<button type="button" class="link" data-reset>Reset</button>'
    return f'<div class="chips" role="group" aria-label="Your own settings">{chips}{more}{reset}</div>'


def _chip(name: str, value: Any, before: Any) -> str:
    written = ' translate="no"' if form.is_written(name) else ""
    shown = escape(form.display_value(name, value)[:LONGEST_VALUE])
    title = escape(form.title(name))
    suggested = escape(form.display_value(name, before)[:LONGEST_VALUE])
    return (
        f'<span class="chip"><span>{title}</span> <b{written}>{shown}</b>'
        f'<button type="button" data-back="{escape(name)}" title="Suggested: {suggested}">'
        f'<span class="sr">Set back:</span><span class="sr">{title}</span>✕</button></span>'
    )


def steps_here(recipe: Recipe | None, data_folder: Path) -> int | None:
    """How many steps it takes; None where that cannot be said."""
    if recipe is None:
        return None
    try:
        return steps_of(recipe, data_folder)
    except UserError:  # the data cannot be read: the line under it says so
        return None


def summary_words(recipe: Recipe | None, steps: int | None) -> str:
    """What a start would do: where else than here, which adapter it goes on with, method, steps, memory; and the way to
    the settings.
    """
    parts = []
    if recipe and recipe.training.start_from:
        parts.append(f'<span>begins with <b translate="no">{escape(recipe.training.start_from)}</b></span>')
    if recipe:
        bits = BITS[recipe.base_model.precision]
        parts.append(f"<span>{escape(method_words(recipe))} on {bits}-bit</span>")
        is_here = recipe.launch.where == "here"
        memory = memory_here(recipe) if is_here else None
        if not is_here:
            parts.insert(0, f'<b translate="no">{escape(TITLES[recipe.launch.where])}</b>')
        if steps:
            parts.append(f"<span>{count_of(steps, 'step')}</span>")
        if memory:
            parts.append(f"<span>{gigabytes(memory[0]).removesuffix(' GB')} of {gigabytes(memory[1])} free</span>")
    line = " · ".join(parts)
    links = '<button type="button" class="link" data-settings>Settings</button>'
    return f'<p class="quiet">{line}</p><p class="links">{links}</p>'


def command_words(command: str | None) -> str:
    """The command that trains what is on the form, and a button that copies it; None where the form has mistakes."""
    if command is None:
        return quiet("The command for the terminal stands here when everything on the form is valid.")
    return (
        f'<h3 class="section">The same in a terminal</h3><pre translate="no"><code>{escape(command)}</code></pre>'
        '<button type="button" data-copy>Copy the command</button><span role="status"></span>'
        "<i hidden>Copied.</i><i hidden>It is selected: copy it with the keyboard.</i>"
    )


def problem_words(error: UserError, heading: str = BEFORE_START) -> str:
    """What is wrong: a sentence, or each mistake with the field it is shown at."""
    if not error.problems:
        return f'<div class="alert" role="alert"><p>{escape(translate(error.problem))}</p></div>'
    items = "".join(_mistake_words(name, text) for name, text in error.problems.items())
    return f'<div class="alert" role="alert"><p>{escape(heading)}</p><ul>{items}</ul></div>'


def _mistake_words(name: str, text: str) -> str:
    field, face = escape(form.element_id(name)), face_of(name) or ""
    return (
        f'<li data-field="{field}" data-name="{escape(name)}" data-face="{face}">'
        f'<button type="button" class="link">{escape(_title(name))}</button> '
        f'<span class="text">{escape(translate(text))}</span></li>'
    )


def sentences_words(error: UserError) -> str:
    """The same sentences where nothing is to be started: each with the field it is about."""
    named = "".join(
        f"<p><b>{escape(_title(name))}</b> {escape(translate(text))}</p>" for name, text in error.problems.items()
    )
    return f'<div class="warning" role="alert">{named or escape(translate(error.problem))}</div>'


def face_of(name: str) -> Face | None:
    """The face of the stage on which a setting is; None for what stands in the recipe on the left."""
    if name in (*form.PAIRS, form.NAME) or form.place(name) in form.PAIRS:
        return None
    is_of_data = name.startswith(form.COLUMNS) or name in (*form.HUB_PART, form.HELD_OUT)
    return "data" if is_of_data else "settings"


def _title(name: str) -> str:
    control = form.place(name)
    return form.title(control) if control in form.NAMES else name
