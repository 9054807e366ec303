"""What a judge decided, read from what it wrote. Judges seldom keep to the form they are asked for.

Read is only what can mean one thing: where the last lines contradict each other, or an answer was cut off, there is no
verdict.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

Verdict = Literal[1, 2, 3]  # the first answer, the second, both equally good
Read = TypeVar("Read", int, float)

LAST_LINES = 3
LOWEST, HIGHEST = 1.0, 10.0  # of a single score

_CALLED: dict[str, Verdict] = {"1": 1, "2": 2, "3": 3, "a": 1, "b": 2, "c": 3}
_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.S | re.I)
_MARKUP = re.compile(r"[*_`\"#“”]")
_ONE = r"(?:assistant|answer|response|model|option|candidate)\s*#?\s*([12ab])(?:'s\s+(?:answer|response))?"
_LABEL = (
    r"(?:(?:my|the|so)\W+)*(?:(?:final|overall|better|best)\W+)*"
    r"(?:verdict|decision|winner|choice|preference|conclusion|judge?ment|answer|response|output)\W*(?:is|:|=|-|—)?\W*"
)
_STATEMENTS = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        rf"(?:{_LABEL})?\W*([123abc])",
        rf"(?:{_LABEL})?\W*{_ONE}",
        r"([123])\W+(?:assistant|answer|response|model)\s*\1",
        r"(?:(?:so|therefore|thus|hence|overall)\W+)?i\s+(?:would\s+)?(?:choose|pick|prefer|select)\W+"
        r"(?:the\s+)?(?:(?:assistant|answer|response|model)\W*)?([123ab])",
        rf"(?:(?:so|therefore|thus|hence|overall|in conclusion)\W+)?{_ONE}"
        r"\s+(?:is|was|gives|gave|provides|provided|has|wins)"
        r"(?:\s+(?:the|a|an|clearly|slightly|much|far|overall|more|somewhat|generally|significantly|marginally))*"
        r"(?:\s+(?:better|best|superior|stronger|winner|preferable|helpful|accurate))?"
        r"(?:\s+(?:answer|response|one))?(?:\s+(?:than|to)\s+(?:assistant|answer|response|model)\s*#?\s*[12ab])?",
    )
)
_WINS = re.compile(r"\b(?:better|best|superior|stronger|winner|wins|preferable|helpful|accurate)\b", re.I)
_TIE = re.compile(r"\b(?:tie|tied|draw|equal|equally|equivalent)\b", re.I)
_DENIED = re.compile(  # "equally clear, but the second is right" is no tie
    r"\b(?:not|no|never|neither|hardly|un\w+|but|however|though|although|while|whereas|except|if|better|more|less)\b|n't\b",
    re.I,
)
_TIES = ("tie", "draw", "equal", "both", "3 tie", "3 (tie", "3 - tie", "3: tie", "3, tie")
_AROUND = " .:!()[]{}<>'‘’"  # noqa: RUF001 - of a verdict, and no part of it
_NAMES = ("verdict", "winner", "choice", "decision", "better", "preference", "result", "answer")
_SCORES = ("score", "rating", "grade", "overall", "result")
_SCORE = re.compile(
    r"(?:(?:my|the|final|overall|i(?:\s+would)?(?:\s+give|\s+rate)?(?:\s+(?:it|this))?(?:\s+a)?)\W+)*"
    r"(?:(?:score|rating|grade|verdict)\W*(?:is|:|=|-|—)?\W*)?"
    r"(\d{1,2}(?:\.\d+)?)(?:\s*(?:/|out of|of)\s*10(?:\.0)?)?",
    re.I,
)


def verdict_of(text: str) -> Verdict | None:
    """Which of two answers a judge took for better; None where that cannot be read."""
    said = _THINKING.sub("", text).strip()
    found = _in_json(said, _NAMES, _verdict_named)
    if found is None:
        found = _in_brackets(said, r"\[\[\s*([123abc])\s*\]\]", lambda one: _CALLED[one.lower()])
    return found if found is not None else _verdict_in_lines(said)  # type: ignore[return-value]


def score_of(text: str) -> float | None:
    """The score from 1 to 10 that a judge gave; None where it cannot be read, or is another number."""
    said = _THINKING.sub("", text).strip()
    found = _in_json(said, _SCORES, _score_named)
    if found is None:
        found = _in_brackets(said, r"\[\[\s*(\d{1,2}(?:\.\d+)?)\s*\]\]", float)
    if found is None:
        found = _agreed(_score_lines(said))
    return found if found is not None and LOWEST <= found <= HIGHEST else None


# ---- lines


def _last_lines(said: str) -> list[str]:
    lines = [_MARKUP.sub("", line).strip() for line in said.splitlines()]
    return [line for line in lines if line][-LAST_LINES:]


def _verdict_in_lines(said: str) -> int | None:
    """What the last lines state, a number by itself before any sentence; where none does, is one about a tie?"""
    lines = [line.strip(_AROUND) for line in _last_lines(said)]
    numbers = [line for line in lines if line in ("1", "2", "3")]
    stated = {found for line in numbers or lines if (found := _stated(line)) is not None}
    if len(stated) > 1:
        return None
    is_tie = any(_TIE.search(line) and not _DENIED.search(line) for line in lines)
    return next(iter(stated), 3 if is_tie else None)


def _stated(line: str) -> int | None:
    for pattern in _STATEMENTS:
        match = pattern.fullmatch(line)
        if match and (pattern is not _STATEMENTS[-1] or _WINS.search(line)):
            return _CALLED[match[1].lower()]
    return 3 if line.lower() in _TIES else None


def _score_lines(said: str) -> Iterator[float]:
    for line in _last_lines(said):
        match = _SCORE.fullmatch(line.strip(_AROUND))
        if match:
            yield float(match[1])


def _agreed(found: Iterator[Read]) -> Read | None:
    """The one thing that all lines say which say one."""
    different = set(found)
    return different.pop() if len(different) == 1 else None


# ---- other forms


def _in_brackets(said: str, pattern: str, read: Callable[[str], Read]) -> Read | None:
    """[[A]], as MT-Bench asks for it; None where several of them differ."""
    return _agreed(read(one) for one in re.findall(pattern, said, re.I))


def _in_json(said: str, names: tuple[str, ...], read: Callable[[Any], Read | None]) -> Read | None:
    """The value of one of these names in the last object of JSON that the text ends with."""
    text = said.removesuffix("```").strip()
    start = text.rfind("{")
    if start < 0 or not text.endswith("}"):
        return None
    try:
        values = json.loads(text[start:])
    except (ValueError, RecursionError):
        return None
    called = {str(name).lower(): value for name, value in values.items()}
    found = (read(called[name]) for name in names if name in called)
    return next((one for one in found if one is not None), None)


def _verdict_named(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _stated(_MARKUP.sub("", str(value)).replace("_", " ").strip(" .[]"))


def _score_named(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
