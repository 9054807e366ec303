"""The page's texts in other languages: English stands in the code and is the key, each other language is one folder of
`languages/`, with a file for each part of the page.

A key may have places for values. `{n}`, `{n2}` … take a figure, which is written as the language writes figures; a
place with a capital letter takes another text of the file; any other takes what it finds, untouched.

An error is none of these texts: it is looked up by its code (`errors:`) and filled with its values as `str.format`
does it, numbers as the language writes them. A value is another error, or with `{value:words}` one of the texts, or
with `{value:figure}` a text that is a figure; any other stays what it is.
"""

import functools
import re
import string
from collections.abc import Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

import yaml

from ..errors import Problem

FOLDER = Path(__file__).parent / "languages"
PLACE = re.compile(r"\{([A-Za-z]\w*)\}")
_NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
_FIGURE = rf"{_NUMBER}(?: ?(?:%|[kMGT]?B|M|bytes|s|min|h)(?![A-Za-z]))?"
FIGURES = rf"{_FIGURE}(?: {_FIGURE})*"
LONGEST, MOST_SENTENCES = (
    1200,
    8,
)  # no text of ours comes near them, and who sends a long one must not keep the page busy
_TAG = re.compile(r"(<[^>]*>)")
_NAME = re.compile(r"<(/?)([a-zA-Z][\w-]*)")
_SPOKEN = re.compile(r'(?<![\w-])(aria-label|placeholder|title)="([^"]*)"')


class Written(str):
    """A text that a person wrote, for where no HTML can say translate="no"."""


class Language:
    """One folder of `languages/`: how figures are written, every text of the page, and errors by their codes."""

    def __init__(self, folder: Path) -> None:
        self.figures: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        for file in sorted(folder.glob("*.yaml")):
            values = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            self.figures |= values.get("figures", {})
            self.texts |= values.get("texts", {})
            self.errors |= values.get("errors", {})
        # What says most comes first: a key with few places that take anything, then one with many letters of its own.
        templates = sorted((key for key in self.texts if PLACE.search(key)), key=_looseness)
        self.patterns = [(_pattern(key), self.texts[key]) for key in templates]
        self.say = functools.lru_cache(maxsize=4096)(self._say)

    def figure(self, text: str) -> str:
        """5,786 -> 5.786 and 6.7 B -> 6,7 Mrd., say."""
        marks = {",": self.figures["thousands"], ".": self.figures["decimal"]}
        units = self.figures["units"]
        return re.sub(
            r"[A-Za-z%]+", lambda unit: units.get(unit[0], unit[0]), re.sub("[,.]", lambda mark: marks[mark[0]], text)
        )

    def problem(self, problem: Problem) -> str:
        """A problem in this language, in English where it is not translated."""
        template = self.errors.get(problem.code)
        if template is None:
            return str(problem)
        try:
            return _Filled(self).vformat(template, (), problem.values)
        except (LookupError, ValueError, TypeError):  # written by another version, whose sentence had other values
            return str(problem)

    def _say(self, text: str) -> str | None:
        """A text in this language; None where it is none of ours."""
        if not text or len(text) > LONGEST:
            return None
        if text in self.texts:
            return self.texts[text]
        if re.fullmatch(FIGURES, text):
            return self.figure(text)
        for between in ("\n", " · "):
            if between in text:
                return self._parts(text, between)
        for pattern, other in self.patterns:
            if (match := pattern.fullmatch(text)) and (values := self._values(match.groupdict())) is not None:
                return PLACE.sub(lambda place, values=values: values[place[1]], other)
        return self._sentences(text)

    def _value(self, name: str, value: str) -> str | None:
        """What stands in one place, in this language; None where the place wants a text of ours and has another."""
        if _is_figure(name):
            return self.figure(value)
        wants_text_of_ours = name[0].isupper()
        return self.say(value) if wants_text_of_ours else value

    def _values(self, found: dict[str, str]) -> dict[str, str] | None:
        """What stands in the places, in this language; None where one that wants a text of ours has another."""
        spoken_parts = {}
        for name, value in found.items():
            other = self._value(name, value)
            if other is None:
                return None
            spoken_parts[name] = other
        return spoken_parts

    def _parts(self, text: str, between: str) -> str | None:
        """Parts of a line or a list, among which may be names."""
        parts = text.split(between)
        spoken_parts = [self.say(part) for part in parts]
        return (
            between.join(other or part for part, other in zip(parts, spoken_parts, strict=True))
            if any(spoken_parts)
            else None
        )

    def _sentences(self, text: str) -> str | None:
        """Texts that follow one another, the longest first one that is ours."""
        ends = [match.end() for match in re.finditer(r"[.!?:;,](?= )", text)]
        for end in reversed(ends[:MOST_SENTENCES]):
            if (first := self.say(text[:end])) and (rest := self.say(text[end + 1 :])):
                return f"{first} {rest}"
        return None


class _Filled(string.Formatter):
    """Fills a sentence with values as a language writes them."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        value = kwargs[str(key)]
        return self._language.problem(value) if isinstance(value, Problem) else value

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "words":
            return self._language.say(value) or value
        if format_spec == "figure":
            return self._language.figure(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        written = format(value, format_spec)
        return self._language.figure(written) if is_number else written


def _is_figure(name: str) -> bool:
    return re.fullmatch(r"n\d*", name) is not None


def _looseness(key: str) -> tuple[int, int]:
    names = PLACE.findall(key)
    return sum(not _is_figure(name) and not name[0].isupper() for name in names), -len(PLACE.sub("", key))


def _pattern(key: str) -> re.Pattern[str]:
    pattern = ""
    for i, part in enumerate(PLACE.split(key)):
        is_place = i % 2 == 1
        pattern += _place_pattern(part) if is_place else re.escape(part)
    return re.compile(pattern, re.DOTALL)


def _place_pattern(name: str) -> str:
    what = FIGURES if _is_figure(name) else ".+?"
    return f"(?P<{name}>{what})"


LANGUAGES = {folder.name: Language(folder) for folder in sorted(FOLDER.iterdir()) if folder.is_dir()}


def language_of(header: str | None) -> str:
    """The language somebody reads first ("de-DE,de;q=0.9,en;q=0.8" -> "de"), if the page has it, else English."""
    first = re.split("[-,;]", (header or "").strip().lower())[0]
    return first if first in LANGUAGES else "en"


def spoken(text: str, language: str) -> str:
    """A text without markup in a language; what is none of ours stays as it is."""
    if language not in LANGUAGES or isinstance(text, Written):
        return text
    return LANGUAGES[language].say(text) or text


def problem_in(problem: str, language: str) -> str:
    """What is wrong, in a language: an error by its code, any other sentence as one of the page's texts."""
    if language not in LANGUAGES or not isinstance(problem, Problem):
        return spoken(problem, language)
    return LANGUAGES[language].problem(problem)


def translated(html: str, language: str) -> str:
    """HTML with its texts and the names of its elements in a language. Elements with translate="no" are left alone."""
    if language not in LANGUAGES:
        return html
    parts, left_alone, depth = [], "", 0
    for part in _TAG.split(html):
        tag = _NAME.match(part)
        if left_alone:
            if tag and tag[2] == left_alone:
                depth += -1 if tag[1] else 1
            left_alone = left_alone if depth else ""
        elif tag and 'translate="no"' in part:
            left_alone, depth = tag[2], 1
        else:
            part = (
                _SPOKEN.sub(lambda found: f'{found[1]}="{_node(found[2], language)}"', part)
                if tag
                else _node(part, language)
            )
        parts.append(part)
    return "".join(parts)


def _node(text: str, language: str) -> str:
    """A text node or an attribute; blanks around it stay, and it is escaped as before if it is none of ours."""
    words = " ".join(unescape(text).split())
    spoken_parts = LANGUAGES[language].say(words)
    if spoken_parts is None:
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}{escape(spoken_parts)}{after}"


@functools.lru_cache(maxsize=32)  # thousands of texts are looked for, at every page that is built
def texts_in(script: str) -> dict[str, dict[str, str]]:
    """{language: {text: the same in it}} for the texts a script of the browser holds."""
    return {
        name: {key: text for key, text in language.texts.items() if key in script}
        for name, language in LANGUAGES.items()
    }
