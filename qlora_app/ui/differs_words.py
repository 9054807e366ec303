"""What differs from the recommendation, "epochs 7.25 · no packing", in another language. The words are the field's own
short ones; names of runs, which are made of the same, stay as they are.
"""

import functools

from ..choices import iter_settings
from ..differs import SHORT, short_of
from ..recipe import Recipe
from .language import LANGUAGES, spoken

BETWEEN = " · "
NOT = "no "


def differs_in(words: str, language: str) -> str:
    """The words of `differs_words` in a language; what somebody wrote in them stays as it is."""
    if language not in LANGUAGES:
        return words
    return BETWEEN.join(_in(part, language) for part in words.split(BETWEEN))


def _in(part: str, language: str) -> str:
    is_off = part.startswith(NOT)
    said = part.removeprefix(NOT) if is_off else part
    short = next((one for one in _names() if said == one or said.startswith(f"{one} ")), "")
    value = said.removeprefix(short).strip()
    if not short:
        return spoken(part, language)
    if is_off:
        return spoken(f"{NOT}{_names()[short]}", language)
    return f"{spoken(_names()[short], language)} {spoken(value, language)}".strip()


@functools.cache
def _names() -> dict[str, str]:
    """{short words of a setting: the text of the page they are translated as}, the longest first."""
    found = {}
    for name, field in iter_settings(Recipe):
        short = short_of(name, field)
        found[short] = short if short in SHORT.values() else field.title or short
    return {short: found[short] for short in sorted(found, key=len, reverse=True) if short}
