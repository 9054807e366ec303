"""What a column is by its name, from a table of what people call theirs in a dozen and more languages (names.yaml)."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ...storage.reading import parse_yaml

FILE = Path(__file__).with_name("names.yaml")
ASIDE, LANGUAGE = "aside", "languages"
SURE, WHOLE, WITHIN = 3, 2, 1  # the whole name says it, the whole name is a usual one, a word of it is
# Of several roles whose words stand in a name the first is taken: "wrong answer text" is a rejected answer.
_ORDER = (
    "rejected",
    "system",
    "reasoning",
    "answer",
    "prompt",
    "context",
    "options",
    "target",
    "source",
    "label",
    "text",
)
_ASKS_OR_ANSWERS = {"answer", "prompt"}
_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")
_NO_BLANKS = re.compile("[\u0e00-\u0e7f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]")  # scripts written without blanks
_CODES = {"en", "de", "fr", "es", "pt", "nl", "ru", "pl", "tr", "zh", "ja", "ko", "ar", "hi"}  # no words of English
_SPEAKERS = {"user", "human", "assistant"}  # a column `user` holds what a user says only beside one of the assistant
_LETTERS = str.maketrans({"ł": "l", "đ": "d", "ø": "o", "\u0131": "i", "æ": "ae", "œ": "oe"})


class Role(NamedTuple):
    """What a column is, and how strongly its name says so: SURE, WHOLE or WITHIN; "" and 0 for a name of no meaning."""

    name: str
    strength: int


NO_ROLE = Role("", 0)


class _Table(NamedTuple):
    whole: dict[str, Role]  # by a whole name, what divides its words left out
    within: dict[str, list[tuple[str, ...]]]  # {role: usual names as words}
    aside: set[str]
    languages: set[str]


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, without case and accents: "finalAnswer?" -> ("final", "answer")."""
    apart = _CAMEL.sub(" ", unicodedata.normalize("NFC", name))
    return tuple(_WORD.findall(_plain(apart)))


@lru_cache(maxsize=10_000)
def role_of(name: str) -> Role:
    """What a column of this name is by the table; what only says something about a row is ASIDE."""
    table = _table()
    words = words_of(name)
    joined = "".join(words)
    if joined in table.whole:
        return table.whole[joined]
    if joined in table.languages and joined not in table.aside:  # "id" is Indonesian, and much more often a number
        return Role(LANGUAGE, WHOLE)
    if _is_aside(words, table):
        return Role(ASIDE, WITHIN)
    found = {role: _last_place(words, joined, phrases) for role, phrases in table.within.items()}
    there = [role for role in _ORDER if found[role] >= 0]
    if not there:
        return NO_ROLE
    first = there[0]
    if first in _ASKS_OR_ANSWERS:  # the last word is what it is: of "question answer" the answer
        first = max(_ASKS_OR_ANSWERS.intersection(there), key=lambda role: (found[role], role == first))
    return Role(first, WITHIN)


def is_language(name: str) -> bool:
    """Is it the name or the code of a language, or is one of its words?"""
    words = words_of(name)
    known = _table().languages
    return "".join(words) in known or any(word in known and (len(word) > 3 or word in _CODES) for word in words)


def is_sure_label(name: str) -> bool:
    """Does the name leave no doubt that a short value is what a text is to be told apart by?"""
    return role_of(name) == ("label", SURE)


@lru_cache(maxsize=10_000)
def sure_pair(names: tuple[str, ...]) -> tuple[str, str] | None:
    """(the column that asks, the one that answers) of a row of these columns, where their names leave no doubt: each
    is sure, and no other column could ask, answer, or belong to the question.
    """
    roles = {name: role_of(name) for name in names}
    for asks, answers in (("prompt", "answer"), ("source", "target")):
        asking, answering = (
            [name for name, role in roles.items() if role == (wanted, SURE)] for wanted in (asks, answers)
        )
        if len(asking) == len(answering) == 1:
            others = [role.name for name, role in roles.items() if name not in (*asking, *answering)]
            in_doubt = {"prompt", "answer", "context", "text", "rejected", "options", "target", LANGUAGE}
            if in_doubt.isdisjoint(others) and (asking[0] in _SPEAKERS) == (answering[0] in _SPEAKERS):
                return asking[0], answering[0]
    return None


def _is_aside(words: tuple[str, ...], table: _Table) -> bool:
    """Does it end in a word that says something of the row, such as question_id?"""
    if "".join(words) in table.aside:
        return True
    *_, last = [word for word in words if not word.isdecimal()] or [""]
    if last in table.aside or last == "":
        return True
    return bool(_NO_BLANKS.search(last)) and any(last.endswith(one) for one in table.aside if _NO_BLANKS.search(one))


def _last_place(words: tuple[str, ...], joined: str, phrases: Iterable[tuple[str, ...]]) -> int:
    """Where the last of the phrases ends in a name; -1 where there is none."""
    return max((place for phrase in phrases for place in _places(words, joined, phrase)), default=-1)


def _places(words: tuple[str, ...], joined: str, phrase: tuple[str, ...]) -> Iterator[int]:
    if len(phrase) == 1 and _NO_BLANKS.search(phrase[0]):
        place = joined.rfind(phrase[0])
        if place >= 0:
            yield place + len(phrase[0])
        return
    for start in range(len(words) - len(phrase) + 1):
        if words[start : start + len(phrase)] == phrase:
            yield start + len(phrase)


def _plain(text: str) -> str:
    """Without case and accents."""
    apart = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    return unicodedata.normalize("NFC", "".join(one for one in apart if unicodedata.category(one) != "Mn"))


@lru_cache(maxsize=1)
def _table() -> _Table:
    given = parse_yaml(FILE.read_text(encoding="utf-8"))
    aside = {"".join(words_of(name)) for name in _listed(given.pop(ASIDE))}
    languages = {"".join(words_of(name)) for name in _listed(given.pop(LANGUAGE))}
    whole: dict[str, Role] = {}
    within = {}
    for role, lists in given.items():
        for name in (*_listed(lists["sure"]), *_listed(lists.get("exactly", []))):
            whole["".join(words_of(name))] = Role(role, SURE)
        within[role] = [words_of(name) for name in (*_listed(lists["sure"]), *_listed(lists["likely"]))]
    for role, lists in given.items():
        for name in _listed(lists["likely"]):
            whole.setdefault("".join(words_of(name)), Role(role, WHOLE))
    return _Table(whole, within, aside, languages)


def _listed(lists: list[list[Any]]) -> Iterator[str]:
    for names in lists:
        yield from map(str, names)
