"""The search among the settings: its field, and what it knows beside the words on the page."""

import json
from collections.abc import Iterable
from html import escape

from ...choices import dotted_name, options
from ..language import LANGUAGES, spoken
from .form_values import FIELDS, element_id
from .settings_synonyms import SYNONYMS


def search_words() -> dict[str, str]:
    """{element id of a control: what finds it beside its own words on the page}"""
    return {element_id(name): " ".join(dict.fromkeys(_words(name))) for name in FIELDS}


def search_box() -> str:
    """The field in which a setting is searched for, and how many were found."""
    return (
        '<div><input type="search" id="search-settings" placeholder="Find a setting" aria-label="Find a setting" '
        'autocomplete="off" spellcheck="false"><span class="quiet" role="status"></span>'
        "<i hidden>1 setting</i><i hidden>settings</i><i hidden>No setting is called that.</i></div>"
    )


def search_index() -> str:
    """`search_words` for the browser; the same in every language."""
    index = escape(json.dumps(search_words(), ensure_ascii=False))
    return f'<div hidden data-index="{index}"></div>'


def _words(name: str) -> Iterable[str]:
    field = FIELDS[name]
    setting = dotted_name(name)
    yield from (setting, field.title or "", field.description or "", SYNONYMS.get(setting, ""))
    for label, value in options(field) or []:
        yield from (value, label)
        yield from (spoken(label, language) for language in LANGUAGES)
