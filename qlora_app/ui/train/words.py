"""The sentences beside the form, as HTML: about the data, about a person's own settings, about mistakes."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from ... import starter
from ...errors import UserError
from ...formatting import count_of
from ...messages import Conversation, flatten
from ...preflight import examples_of, taught_by
from ...training_data import DatasetChoice, Examples, NotHere
from ...training_data.formats.columns import AskColumns
from ..context import PRIVATE
from ..translate import translate
from . import form_values as form
from .data_pictures import fit_words

OWN_NAMED = 4  # settings changed by hand that are named below Start
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


def own_words(own: dict[str, Any]) -> str:
    """Which settings, {control: value}, are not as suggested."""
    if not own:
        return ""
    named = ", ".join(_own(name, value) for name, value in list(own.items())[:OWN_NAMED])
    more = f" <span>and {len(own) - OWN_NAMED} more</span>" if len(own) > OWN_NAMED else ""
    return quiet(f"Your own settings: {named}{more}.")


def _own(name: str, value: Any) -> str:
    written = ' translate="no"' if isinstance(value, str) and form.is_written(name) else ""
    shown = escape(form.display_value(name, value)[:LONGEST_VALUE])
    return f"<span>{escape(form.title(name))}</span> <span{written}>{shown}</span>"


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
