"""Chats that are exported as text: WhatsApp, as any phone writes it, and LINE. Every message is a row."""

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TextIO

from ..formats.people import clean_name
from .other_chats import other_chat_lines
from .reading import Found

Row = dict[str, Any]
LineReader = Callable[[TextIO], Iterator[Found]]

_LOOKED_AT = 400  # lines
_SIGNS = "[\u200e\u200f\u202a-\u202c\u2066-\u2069\ufeff]*"
_GAP = "[\\s\u200e\u200f]{0,2}"  # dates of languages that are written from the right have marks inside
_DATE = rf"\d{{1,4}}{_GAP}[./-]{_GAP}\d{{1,2}}{_GAP}[./-]{_GAP}\d{{1,4}}"
_HALF = r"[ap]\.?\s?m\.?|午前|午後|上午|下午|오전|오후|ص|م|π\.μ\.|μ\.μ\.|de\.|du\.|öö|ös"
_TIME = (
    rf"(?P<before>(?:{_HALF})\s?)?(?P<time>\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}})?)(?:\s?(?P<after>{_HALF}))?(?:\s?ч\.)?"
)
_REST = r"(?(open)\]\s?|(?:\s?[-\u2013]\s|:\s(?=[^:]{1,40}:\s)))(?P<rest>.*)"
# [1.2.24, 10:00:01] Ann: hello     1/2/24, 10:00 PM - Ann: hello     1.2.2024 klo 10.00 - Ann: hello
_DATE_FIRST = re.compile(
    rf"{_SIGNS}(?P<open>\[)?(?P<date>{_DATE})\.?[,،]?{_GAP}[^\W\d]{{0,4}}\.?,?{_GAP}{_TIME}{_REST}", re.IGNORECASE
)
_TIME_FIRST = re.compile(rf"{_SIGNS}(?P<open>\[)?{_TIME},?\s(?P<date>{_DATE}){_REST}", re.IGNORECASE)
_SENDER = re.compile(r"(?P<who>[^:\n\"“”«»]{1,60}):(?:[ \u200e]|$)(?P<text>.*)", re.DOTALL)
_LEVELS = {"INFO", "DEBUG", "WARN", "WARNING", "ERROR", "CRITICAL", "TRACE", "NOTICE", "FATAL"}  # of a log, no people
_LATE = ("pm", "p.m", "午後", "下午", "오후", "م", "μ", "du", "ös")
_ORDERS = ("dmy", "mdy", "ymd")


def chat_lines(sample: str) -> LineReader | None:
    """The reader of a chat in text form; None for any other text."""
    lines = [line for line in sample.split("\n")[:_LOOKED_AT] if line.strip()]
    starts = [found for line in lines if (found := _start(line.rstrip("\r")))]
    senders = [found["who"].strip().upper() for one in starts if (found := _SENDER.match(one["rest"]))]
    named = [name for name in senders if name not in _LEVELS]
    first_is = bool(lines) and _start(lines[0].rstrip("\r")) is not None
    if first_is and len(named) > 1 and 2 * len(named) >= len(starts):
        order = _order([one["date"] for one in starts])
        return lambda file: _whatsapp(file, order)
    if _is_line(lines):
        return _line
    return other_chat_lines(lines)


def _start(line: str) -> re.Match[str] | None:
    """The date and time that a message begins with."""
    if not line[:40].strip() or not any([character.isdecimal() for character in line[:12]]):
        return None  # most lines that go on
    return _DATE_FIRST.match(line) or _TIME_FIRST.match(line)


def _whatsapp(file: TextIO, order: str) -> Iterator[Found]:
    row: Row = {}
    first = 0
    for number, text in enumerate(file, start=1):
        text = text.rstrip("\r\n")
        found = _start(text)
        if found and (when := _when(found, order)):
            if row:
                yield first, row, None
            first, row = number, _message(when, found["rest"])
        elif row:
            key = "text" if "text" in row else "event"
            row[key] += f"\n{text}"
        elif text.strip():
            yield number, None, "it stands before the first message"
    if row:
        yield first, row, None


def _message(when: datetime, rest: str) -> Row:
    said = _SENDER.match(rest)
    if not said:
        return {"date": when.isoformat(), "event": rest}
    text = said["text"]
    if rest[said.end("who") + 1 :].startswith("\u200e"):
        text = f"\u200e{text}"
    return {"date": when.isoformat(), "from": clean_name(said["who"]), "text": text}


def _order(dates: list[str]) -> str:
    """How day, month and year follow each other: the way by which all are dates and time goes on."""

    def fit(order: str) -> tuple[int, int]:
        made = [_date(text, order) for text in dates]
        there = [one for one in made if one]
        going_on = sum([a <= b for a, b in itertools.pairwise(there)])
        return len(there), going_on

    return max(_ORDERS, key=fit)


def _date(text: str, order: str) -> tuple[int, int, int] | None:
    """(year, month, day); None for what is none in this order."""
    numbers = [int(part) for part in re.findall(r"\d+", text)]
    named = dict(zip(order, numbers, strict=True))
    is_year = len(re.findall(r"\d+", text)[order.index("y")]) in (2, 4)
    if not is_year or not (1 <= named["m"] <= 12 and 1 <= named["d"] <= 31):
        return None
    year = _gregorian(named["y"])
    return year, named["m"], named["d"]


def _gregorian(year: int) -> int:
    if year < 100:
        return 2000 + year
    if 2400 < year < 2700:  # Thailand counts from Buddha
        return year - 543
    if 1300 < year < 1500:  # Iran's calendar: only the order and the gaps matter
        return year + 621
    return year


def _when(found: re.Match[str], order: str) -> datetime | None:
    date = next((made for way in (order, *_ORDERS) if (made := _date(found["date"], way))), None)
    hour, minute, second = [*(int(part) for part in re.split("[:.]", found["time"])), 0][:3]
    half = re.sub(r"\s", "", found["before"] or found["after"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half.startswith(_LATE) else 0)
    try:
        return datetime(*date, hour, minute, second) if date else None
    except ValueError:
        return None


# ---- LINE: a line with the date, then lines of time, name and text with tabs between

_DAY = re.compile(r"(?:\w{2,4},?\s)?(\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4})\b.{0,8}")
_ENTRY = re.compile(r"(?:(上午|下午|午前|午後|AM|PM)\s?)?(\d{1,2}:\d{2})(?:\s?(AM|PM))?\t([^\t]{1,60})\t(.*)")


def _is_line(lines: list[str]) -> bool:
    days = [at for at, line in enumerate(lines) if _DAY.fullmatch(line.strip())]
    entries = [at for at, line in enumerate(lines) if _ENTRY.match(line)]
    return bool(days) and len(entries) > 1 and days[0] < entries[0] and days[0] < 5


def _line(file: TextIO) -> Iterator[Found]:
    day, row, first = "", Row(), 0
    for number, text in enumerate(file, start=1):
        text = text.rstrip("\r\n")
        entry, new_day = _ENTRY.match(text), _DAY.fullmatch(text.strip())
        if (entry or new_day) and row:
            yield first, row, None
            row = {}
        if new_day:
            day = new_day[1]
        elif entry and day:
            clock = f"{entry[1] or ''}{entry[2]} {entry[3] or ''}".strip()
            found = _start(f"{day} {clock} - x")
            when = _when(found, _order([day])) if found else None
            if when:
                first = number
                row = {"date": when.isoformat(), "from": clean_name(entry[4]), "text": entry[5].strip('"')}
        elif row:
            row["text"] += f"\n{text}"
    if row:
        yield first, row, None
