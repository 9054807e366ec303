"""What is said at the settings themselves: which are not as suggested, and which nothing makes use of."""

from html import escape
from typing import Any

from . import form_values as form

LONGEST_VALUE = 24  # characters of what a setting goes back to


def marks_words(own: dict[str, Any], before: dict[str, Any], unused: list[str]) -> str:
    """For the browser, which puts each mark into the field it belongs to: {control: value} of a person's `own`
    settings, the values that were there `before`, and the controls that are not to be seen.
    """
    marks = "".join(_mark(name, before[name]) for name in own)
    hidden = " ".join(form.element_id(name) for name in unused)
    return f'<div hidden data-unused="{escape(hidden)}">{marks}</div>'


def _mark(name: str, before: Any) -> str:
    title = escape(form.title(name))
    value = escape(form.display_value(name, before)[:LONGEST_VALUE])
    written = ' translate="no"' if form.is_written(name) else ""
    shown = f"<b{written}>{value}</b>" if value else "<b>empty</b>"
    return (
        f'<p data-of="{form.element_id(name)}"><span>changed</span>'
        f'<button type="button" data-back="{escape(name)}"><span class="sr">{title}</span> '
        f"<span>Back to</span> {shown}</button></p>"
    )
