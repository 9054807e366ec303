"""How large what a chat template makes may become: asked before it is made, of all that can make much of little."""

import re
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

MOST_WRITTEN = 5_000_000  # characters of one text; a model reads a million tokens at most
MOST_MADE = 1_000_000_000  # bytes of all that is made while one conversation is written
MOST_HELD = 200_000  # values within each other, each counted as often as it would be written
MOST_BITS = 100_000  # of a number
WIDEST = 10_000  # columns of what is filled up with blanks
LONGEST_SLOW = 100_000  # characters for what takes longer than once through a text
SLOW = ("strftime", "urlize", "wordwrap", "striptags", "xmlattr", "pprint", "do_urlize", "do_wordwrap")
# What makes as much as a number beside it says: of a text, of each of its lines, of a list, of nothing. What else is
# given numbers, as `int` or `string`, writes them.
BY_NUMBER = (
    *("center", "ljust", "rjust", "zfill", "expandtabs", "indent", "tojson", "batch", "slice", "round", "to_bytes"),
    *("generate_lorem_ipsum",),
)
ENCODINGS = ("utf-8", "utf8", "ascii", "latin-1")  # others may take longer than once through a text
# Widths and precisions: `%05.2f`, where a star stands for the number beside it; and `{:>5}` or `{0:5.2f}`.
_PERCENT = re.compile(r"%(?:\([^()]*\))?[-+ #0]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.)", re.DOTALL)
_NESTED = re.compile(r":[^{}]*\{")  # a width that stands beside it
_BRACES = re.compile(r"\{[^{}:]*:[^{}\d]*(\d+)(?:\.(\d+))?")


class Made(threading.local):
    """Of this thread: the bytes of all that the template made that is being rendered, also of what is gone again."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, value: Any) -> None:
        """Raises jinja2.TemplateRuntimeError where that is too much."""
        self.bytes += sys.getsizeof(value)
        if self.bytes > MOST_MADE:
            raise too_much(f"it makes more than {MOST_MADE:,} bytes")


MADE = Made()


def too_much(why: str) -> Exception:
    """The error of a template that does too much, and not that it refuses a conversation."""
    from jinja2 import TemplateRuntimeError

    error = TemplateRuntimeError(why)
    error.is_too_much = True  # type: ignore[attr-defined]
    return error


def check(length: int) -> None:
    """Raises jinja2.TemplateRuntimeError for more characters than a template may write."""
    if length > MOST_WRITTEN:
        raise too_much(f"it writes more than {MOST_WRITTEN:,} characters")


def held(value: Any) -> Any:
    """The value, which was made and may be written. Raises jinja2.TemplateRuntimeError where that is too much: lists
    that hold one another are small in memory, and may be longer than anything once they are written or compared.
    """
    if isinstance(value, list | tuple | dict):
        _unfold(value)
        MADE.add(value)
    if isinstance(value, str):
        check(len(value))
        MADE.add(value)
    if isinstance(value, int):
        _check_bits(value.bit_length())
    return value


def _unfold(value: Any) -> tuple[int, int]:
    """How many values it holds, and how many characters its texts have."""
    count, length, waiting = 0, 0, [value]
    while waiting:
        one = waiting.pop()
        count += 1
        if isinstance(one, str):
            length += len(one)
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        if count + len(waiting) > MOST_HELD:
            raise too_much(f"it holds more than {MOST_HELD:,} values within each other")
    check(length)
    return count, length


def check_call(name: str, subject: Any, given: Sequence[Any], named: dict[str, Any]) -> None:
    """Raises jinja2.TemplateRuntimeError before a function, filter or method of that name makes too much of these.

    subject: what a filter or method is of, whose own value bounds nothing; None for a function.
    """
    beside = [*given, *named.values()]
    every = [subject, *beside]
    texts = [one for one in every if isinstance(one, str)]
    if name in BY_NUMBER:
        _check_number(name, subject, max((abs(one) for one in beside if isinstance(one, int)), default=0))
    if name in SLOW and sum(map(len, texts)) > LONGEST_SLOW:
        raise too_much(f"{name} would take long")
    if name == "replace" and len(texts) > 2:
        text, old, new = texts[:3]
        check(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    if name in ("format", "format_map"):
        _check_format(texts, every)
    if name == "%":
        _check_percent(str(subject), beside)
    if name in ("join", "dict", "sum"):
        _check_joined(every)
    if name == "translate":
        _check_translated(subject, beside)
    if name in ("encode", "decode") and any(one.lower() not in ENCODINGS for one in beside if isinstance(one, str)):
        raise too_much(f"{name} would take long")


def _check_number(name: str, subject: Any, number: int) -> None:
    if number > WIDEST:
        raise too_much(f"{name} is asked for {number:.3g} times something")
    if isinstance(subject, str):
        check((1 + subject.count("\n") + subject.count("\t")) * number + len(subject))
    elif number:
        check(_unfold(subject)[0] * number)


def _check_joined(every: Sequence[Any]) -> None:
    lists = [one for one in every if isinstance(one, list | tuple | dict)]
    texts = [one for one in every if isinstance(one, str)]
    for one in lists:
        length = _unfold(one)[1]
        check(length + len(one) * max(map(len, texts), default=0))


def _check_translated(subject: Any, tables: Sequence[Any]) -> None:
    longest = max((len(str(one)) for table in tables if isinstance(table, dict) for one in table.values()), default=1)
    check(len(subject or "") * max(1, longest))


def _check_format(texts: Sequence[str], every: Sequence[Any]) -> None:
    """Of what is filled with braces. Widths stand in the text or beside it, and it may name one value many times."""
    form = texts[0] if texts else ""
    widths = [int(found) for width in _BRACES.findall(form) for found in width if found]
    beside = [abs(one) for one in every if isinstance(one, int)] if _NESTED.search(form) else []
    _check_filled(form, form.count("{"), [*widths, *beside], [one for one in every if one is not form])


def _check_percent(form: str, values: Sequence[Any]) -> None:
    """Of what is filled by `%`, where each star takes a value of its own."""
    widths: list[int] = []
    waiting = iter(values)
    for width, precision, letter in _PERCENT.findall(form):
        for one in (width, precision):
            number = next(waiting, 0) if one == "*" else int(one or 0)
            widths += [abs(number)] if isinstance(number, int) else []
        if letter != "%":
            next(waiting, None)
    _check_filled(form, form.count("%"), widths, values)


def _check_filled(form: str, places: int, widths: Sequence[int], values: Sequence[Any]) -> None:
    if max(widths, default=0) > WIDEST:
        raise too_much("it writes something that wide")
    longest = max([0, *map(_written_length, values), *widths])
    check(places * longest + len(form))


def _written_length(value: Any) -> int:
    """About how many characters it is written with."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, int):
        return value.bit_length() // 3 + 4
    count, length = _unfold(value)
    return 4 * count + length


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0


def _check_bits(bits: int) -> None:
    if bits > MOST_BITS:
        raise too_much(f"it computes a number of more than {MOST_BITS:,} bits")


def added(left: Any, right: Any) -> Any:
    """`left + right`"""
    check(_length(left) + _length(right))
    return held(left + right)


def times(left: Any, right: Any) -> Any:
    """`left * right`"""
    for text, count in ((left, right), (right, left)):
        if isinstance(count, int):
            check(_length(text) * max(0, count))
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    return held(left * right)


def power(left: Any, right: Any) -> Any:
    """`left ** right`"""
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * max(0, right))
    return left**right


def filled(left: Any, right: Any) -> Any:
    """`left % right`: of a text with places to fill in."""
    if isinstance(left, str):
        _check_percent(left, list(right) if isinstance(right, tuple | list) else [right])
    return held(left % right)


def joined(parts: Any) -> str:
    """`a ~ b`"""
    texts = [str(held(part)) for part in parts]
    return concat(texts)


def concat(parts: Iterable[str]) -> str:
    """What a macro or a block writes."""
    texts = list(parts)
    check(sum(map(len, texts)))
    return str(held("".join(texts)))
