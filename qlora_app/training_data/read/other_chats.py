"""Other chats that are kept as text: IRC, KakaoTalk of a computer, and DiscordChatExporter's text. Every message is a
row.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, TextIO

from ..formats.people import clean_name
from .reading import Found

Row = dict[str, Any]
_IRC = re.compile(r"\[?(?:(?P<date>\d{4}-\d{2}-\d{2})[T ])?(?P<time>\d{2}:\d{2}(?::\d{2})?)\]?\s+(?P<rest>.*)")
_NICK = re.compile(r"<[ @+%&~]?(?P<who>[^<>\s]{1,40})>\s(?P<text>.*)")
_DISCORD = re.compile(r"\[(?P<stamp>[\d./-]{6,10},? \d{1,2}:\d{2}(?::\d{2})?(?:\s?[AP]M)?)\] (?P<who>[^\[\]:]{1,60})")
_KAKAO_DAY = re.compile(r"-{5,} (?P<y>\d{4})\D{1,3}(?P<m>\d{1,2})\D{1,3}(?P<d>\d{1,2})\D.*-{5,}")
_KAKAO = re.compile(
    r"\[(?P<who>[^\[\]]{1,40})\] \[(?P<half>오전|오후|AM|PM)? ?(?P<time>\d{1,2}:\d{2})"
    r" ?(?P<after>AM|PM)?\] (?P<text>.*)"
)
_BESIDE = ("{Attachments}", "{Embed}", "{Reactions}", "{Stickers}")  # no words of the person follow
_FIRST_DAY = datetime(2000, 1, 1)  # where only the times of messages are known


def other_chat_lines(lines: list[str]) -> Callable[[TextIO], Iterator[Found]] | None:
    """The reader of such a chat by its first lines; None for any other text."""
    stamped = [found for line in lines if (found := _IRC.match(line))]
    nicks = [one for one in stamped if _NICK.match(one["rest"])]
    if lines and len(nicks) > 1 and 2 * len(stamped) > len(lines) and _IRC.match(lines[0]):
        return _irc
    if any([_KAKAO_DAY.match(line) for line in lines]) and sum([bool(_KAKAO.match(line)) for line in lines]) > 1:
        return _kakao
    heads = [line for line in lines if _DISCORD.fullmatch(line.strip())]
    if len(heads) > 1 and (lines[0].startswith("=====") or _DISCORD.fullmatch(lines[0].strip())):
        return _discord
    return None


def _irc(file: TextIO) -> Iterator[Found]:
    day, last = _FIRST_DAY, ""
    for number, line in enumerate(file, start=1):
        found = _IRC.match(line.rstrip("\r\n"))
        if not found:
            if line.strip():
                yield number, {"date": day.isoformat(), "event": line.strip()}, None
            continue
        if found["date"]:
            day = datetime.fromisoformat(found["date"])
        elif found["time"] < last:  # after midnight
            day += timedelta(days=1)
        last = found["time"]
        when = f"{day:%Y-%m-%d}T{found['time']}"
        said = _NICK.match(found["rest"])
        if said:
            yield number, {"date": when, "from": said["who"], "text": said["text"]}, None
        else:
            yield number, {"date": when, "event": found["rest"]}, None


def _discord(file: TextIO) -> Iterator[Found]:
    row: Row = {}
    first, is_text = 0, False
    for number, line in enumerate(file, start=1):
        found = _DISCORD.fullmatch(line.strip())
        if found or line.startswith("====="):
            if row:
                yield first, row | {"text": row["text"].strip()}, None
            row = {}
        if found:
            who = clean_name(found["who"].removesuffix("(pinned)"))
            first, row = number, {"date": found["stamp"].replace(",", ""), "from": who, "text": ""}
            is_text = True
        is_text = is_text and line.strip() not in _BESIDE
        if row and is_text and not found:
            row["text"] += line
    if row:
        yield first, row | {"text": row["text"].strip()}, None


def _kakao(file: TextIO) -> Iterator[Found]:
    row: Row = {}
    first, day = 0, _FIRST_DAY
    for number, line in enumerate(file, start=1):
        line = line.rstrip("\r\n")
        found, new_day = _KAKAO.match(line), _KAKAO_DAY.match(line)
        if (found or new_day) and row:
            yield first, row, None
            row = {}
        if new_day:
            day = datetime(int(new_day["y"]), int(new_day["m"]), int(new_day["d"]))
        elif found:
            first, row = number, _kakao_message(day, found)
        elif row:
            row["text"] += f"\n{line}"
    if row:
        yield first, row, None


def _kakao_message(day: datetime, found: re.Match[str]) -> Row:
    hour, minute = (int(part) for part in found["time"].split(":"))
    half = found["half"] or found["after"]
    if half:
        hour = hour % 12 + (12 if half in ("오후", "PM") else 0)
    when = day + timedelta(hours=hour, minutes=minute)
    return {"date": when.isoformat(), "from": clean_name(found["who"]), "text": found["text"]}
