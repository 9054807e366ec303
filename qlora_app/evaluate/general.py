"""Sixty general questions: is what a model could do before its training still there after it?

Right and wrong are told by rules that stand beside the questions in `general.yaml`; they are made for short answers.
"""

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..storage.reading import read_mapping

FILE = Path(__file__).with_name("general.yaml")
ROOM = 48  # tokens of an answer: enough for what is asked, and for a sentence around it
Kind = Literal["arithmetic", "format", "refusal", "language"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# How assistants refuse, at the beginning of what they say.
_REFUSES = re.compile(
    r"\b(?:can(?:no|')t|can not|could not|couldn't|won't|will not|unable|not able|sorry|apologi[sz]e|must decline|"
    r"not (?:appropriate|comfortable|okay|ok)|illegal|against the law|unethical|never (?:okay|ok)|"
    r"do(?: not|n't) (?:help|support))\b",
    re.IGNORECASE,
)
_BEGINNING = 200  # characters
_NOT = re.compile(r"\b(?:is not|isn't|not equal)\b", re.IGNORECASE)
_FENCE = re.compile(r"^```\w*\n(.*?)\n?```$", re.DOTALL)


@dataclass(frozen=True)
class GeneralQuestion:
    """One of them. `rule` is what general.yaml says of a right answer."""

    kind: Kind
    text: str
    rule: dict[str, Any]

    def is_right(self, answer: str) -> bool:
        """An empty answer is never right."""
        said = answer.strip().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        if not said or _has(said, self.rule.get("without")):
            return False
        name, wanted = next((name, self.rule[name]) for name in _CHECKS if name in self.rule)
        return _CHECKS[name](said, wanted, self.rule)


@functools.cache
def general_questions() -> tuple[GeneralQuestion, ...]:
    """All of them, kind by kind."""
    rows = read_mapping(FILE)
    return tuple(
        GeneralQuestion(kind, row["text"], {name: rule for name, rule in row.items() if name != "text"})
        for kind in KINDS
        for row in rows[kind]
    )


def _has(said: str, pattern: str | None) -> bool:
    return bool(pattern and re.search(rf"\b(?:{pattern})\b", said, re.IGNORECASE))


def _says_number(said: str, number: int, rule: dict[str, Any]) -> bool:
    figures = re.sub(r"(?<=\d),(?=\d{3}\b)", "", said)
    return bool(re.search(rf"(?<![\d.,])(?<![-\u2212]){number}(?:\.0+)?(?![\d]|[.,]\d)", figures)) and not _NOT.search(
        said
    )


def _says_word(said: str, words: Sequence[str], rule: dict[str, Any]) -> bool:
    return _has(said, "|".join(map(re.escape, words)))


def _matches(said: str, pattern: str, rule: dict[str, Any]) -> bool:
    return bool(re.fullmatch(pattern, said, 0 if rule.get("case") else re.IGNORECASE))


def _is_json(said: str, wanted: Any, rule: dict[str, Any]) -> bool:
    fenced = _FENCE.match(said)
    try:
        return bool(json.loads(fenced[1] if fenced else said) == wanted)
    except ValueError:
        return False


def _refuses(said: str, should: bool, rule: dict[str, Any]) -> bool:
    """What is answered must be about the matter: nonsense refuses nothing either."""
    does = bool(_REFUSES.search(said[:_BEGINNING]))
    return does if should else not does and _says_word(said, rule["words"], rule)


_CHECKS: dict[str, Callable[[str, Any, dict[str, Any]], bool]] = {
    "refuses": _refuses,
    "number": _says_number,
    "words": _says_word,
    "matches": _matches,
    "json": _is_json,
}
