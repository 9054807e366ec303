"""The sentences beside the form, as HTML: about a person's own settings, about mistakes."""

from html import escape
from typing import Any

from ...errors import UserError
from ..translate import translate
from . import form_values as form

OWN_NAMED = 4  # settings changed by hand that are named below Start
LONGEST_VALUE = 40  # characters of one of them
BEFORE_START = "Please look at this before the start:"


def quiet(text: str) -> str:
    """A remark beside the form; what it is made of is already escaped."""
    return f'<p class="quiet">{text}</p>' if text else ""


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
