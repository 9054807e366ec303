"""The sentences beside the form, as HTML: about the data, about a person's own settings, about mistakes."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from ... import starter
from ...differs import method_words
from ...errors import UserError
from ...formatting import count_of
from ...hardware_fit import memory_here
from ...memory import gigabytes
from ...messages import Conversation, flatten
from ...preflight import examples_of, taught_by
from ...recipe import Recipe
from ...training_data import DatasetChoice, Examples, NotHere
from ...training_data.formats.columns import AskColumns
from ..context import PRIVATE
from ..translate import translate
from . import form_values as form
from .data_pictures import fit_words

OWN_NAMED = 6  # settings changed by hand that are named above Start
BITS = {"nf4": 4, "fp4": 4, "int8": 8, "bf16": 16, "fp32": 32}
LONGEST_VALUE = 40  # characters of one of them
SHOWN_ROWS = 3
BEFORE_START = "Please look at this before the start:"


def quiet(text: str) -> str:
    """A remark beside the form; what it is made of is already escaped."""
    return f'<p class="quiet">{text}</p>' if text else ""


def data_words(choice: DatasetChoice, data_folder: Path, may_show: Callable[[DatasetChoice], bool]) -> str:
    """The description, how much there is, what is odd about it, and a few rows as conversations."""
    if not choice.id:
        return ""
    if not may_show(choice):
        return quiet(translate(PRIVATE))
    try:
        examples = examples_of(choice, data_folder)
    except (NotHere, AskColumns) as error:
        return quiet(escape(translate(error.problem)))
    except UserError as error:
        return f'<p class="warning">{escape(translate(error.problem))}</p>'
    is_starter = choice.source == "starter"
    description = escape(starter.DATASETS[choice.id].description) if is_starter else ""
    about = f"<p>{description}</p>" if description else quiet(f"{escape(examples.because)}.")
    warnings = "".join(f"<li>{escape(str(text))}</li>" for text in (*examples.few, *examples.warnings))
    fits = fit_words(*taught_by(choice, data_folder))
    return f"{about}{_rows_words(examples)}{fits}" + (f'<ul class="warnings">{warnings}</ul>' if warnings else "")


def waits_words(choice: DatasetChoice, data_folder: Path) -> str:
    """Why a run cannot start with these data; empty where it can, as far as they are here."""
    if not choice.id:
        return "Start waits for data."
    try:
        examples_of(choice, data_folder)
    except NotHere:
        return ""
    except AskColumns:
        return "Start waits: say above how the data is to be learned."
    except UserError:
        return "Start waits: nothing can be learned from this data as it is. Choose other data."
    return ""


def refusal_words(problem: str) -> str:
    """What was brought and not taken stays said, until other data is chosen."""
    return f'<div class="alert" role="alert"><p>{escape(translate(problem))}</p><p>No data is chosen now.</p></div>'


def _rows_words(examples: Examples) -> str:
    rows = (
        f"{count_of(examples.rows, 'row')}: {len(examples.train):,} to learn from, {len(examples.held_out):,} held out"
    )
    rows += f", {len(examples.left_out):,} left out" if examples.left_out else ""
    shown = "".join(conversation_words(one) for one in examples.train[:SHOWN_ROWS])
    return f'<details class="rows"><summary>{rows}</summary>{shown}</details>'


def conversation_words(conversation: Conversation) -> str:
    """The first turns of a conversation, as a list of who says what."""
    turns = "".join(
        f"<dt>{escape(m['role'])}</dt><dd>{escape(m['content'][:300])}{'…' if len(m['content']) > 300 else ''}</dd>"
        for m in flatten(conversation)[:6]
    )
    return f'<dl class="turns" translate="no">{turns}</dl>'


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


def summary_words(recipe: Recipe | None, steps: int | None) -> str:
    """What a start would do: method, steps, memory; and the ways to the settings and to the command."""
    parts = []
    if recipe:
        bits = BITS[recipe.base_model.precision]
        parts.append(f"<span>{escape(method_words(recipe))} on {bits}-bit</span>")
        memory = memory_here(recipe)
        if steps:
            parts.append(f"<span>{count_of(steps, 'step')}</span>")
        if memory:
            parts.append(f"<span>{gigabytes(memory[0]).removesuffix(' GB')} of {gigabytes(memory[1])} free</span>")
    line = " · ".join(parts)
    links = (
        '<button type="button" class="link" data-command>Copy command</button>'
        '<button type="button" class="link" data-settings>Settings</button>'
    )
    said = '<span role="status"></span><i hidden>Copied.</i><i hidden>Please copy it below the settings.</i>'
    return f'<p class="quiet">{line}</p><p class="links">{links}{said}</p>'


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
    items = "".join(
        f'<li data-field="{escape(form.element_id(name))}"><b>{escape(_title(name))}</b> '
        f'<span class="text">{escape(translate(text))}</span></li>'
        for name, text in error.problems.items()
    )
    return f'<div class="alert" role="alert"><p>{escape(heading)}</p><ul>{items}</ul></div>'


def _title(name: str) -> str:
    control = form.place(name)
    return form.title(control) if control in form.NAMES else name
