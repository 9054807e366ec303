"""Answers that are to be JSON: can they be read, and do their fields hold what is right?"""

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from ..choices import setting
from ..tasks import Question
from .evaluator import Evaluator

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)


class JsonValid(Evaluator):
    """The whole answer is one value of JSON."""

    name: Literal["json_valid"] = "json_valid"
    title: ClassVar[str] = "Answers that are JSON"
    needs_expected: ClassVar[bool] = False
    fenced: bool = setting(True, "Fences", "May it stand between three backticks, as in Markdown?")

    def score(self, question: Question, answer: str) -> float:
        return float(_read(answer, self.fenced) is not _UNREAD)


class JsonFields(Evaluator):
    """The share of the right answer's fields that hold the same, however deep; other fields than these count against
    it. An answer that is no JSON has none of them.
    """

    name: Literal["json_fields"] = "json_fields"
    title: ClassVar[str] = "Fields of JSON that are right"
    fenced: bool = setting(True, "Fences", "May it stand between three backticks, as in Markdown?")

    def score(self, question: Question, answer: str) -> float:
        wanted, given = _read(question.expected, True), _read(answer, self.fenced)
        if wanted is _UNREAD or given is _UNREAD:
            return 0.0
        right, there = dict(_leaves(wanted)), dict(_leaves(given))
        same = sum(path in there and there[path] == value for path, value in right.items())
        return same / max(1, len(right.keys() | there.keys()))


_UNREAD: Any = object()


def _read(text: str, fenced: bool) -> Any:
    found = _FENCE.fullmatch(text) if fenced else None
    try:
        return json.loads(found[1] if found else text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return _UNREAD


def _no_number(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(where it stands, its JSON) of every value that holds no other; 1 and true are not the same."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not inner or not value:
        yield path, json.dumps(value)
        return
    for name, one in inner:
        yield from _leaves(one, (*path, name))
