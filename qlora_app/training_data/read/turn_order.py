"""In which order the turns of one conversation follow each other, where their rows say it by numbers or by times."""

from itertools import pairwise
from typing import Any

from ..formats.people import SENT, seconds
from ..formats.turns import RowError

_NUMBERS = {"turn", "turn_id", "turn_index", "turn_number", "turn_no", "utterance_id", "utterance_idx", "message_index"}
_NUMBERS |= {"turn_idx", "message_idx", "message_no", "seq", "sequence", "sequence_number", "position", "step"}
_TIMES = {*SENT, "created", "sent", "created_time", "message_time", "date_time", "time_stamp", "createdat", "sentat"}
_TIMES |= {"start", "start_time", "starttime", "message_date", "sent_date", "event_time", "posted_at", "utc_time"}

Turns = list[dict[str, Any]]


def in_order(turns: Turns) -> Turns:
    """By the first column of numbers; else by the first one of times that all of them have; else as they stand."""
    numbered = [name for name in turns[0] if name.strip().lower() in _NUMBERS]
    if numbered:
        return _by_numbers(turns, numbered[0])
    for name in turns[0]:
        if name.strip().lower() in _TIMES and (times := _times(turns, name)):
            return _by_times(turns, times)
    return turns


def _by_numbers(turns: Turns, name: str) -> Turns:
    """By their numbers, where all have one."""
    try:
        return sorted(turns, key=lambda turn: float(turn[name]))
    except (KeyError, TypeError, ValueError):
        return turns


def _times(turns: Turns, name: str) -> list[float]:
    """When each was said, in seconds; none where one of them does not say it, or 1/2 and 2/1 may be day or month."""
    days = {str(turn.get(name)).split()[0] for turn in turns if "/" in str(turn.get(name))}
    if len(days) > 1:
        return []
    dates = [key for key in turns[0] if key.strip().lower() == "date" and key != name]
    try:
        return [_time(turn, name, dates) for turn in turns]
    except (KeyError, RowError):
        return []


def _time(turn: dict[str, Any], name: str, dates: list[str]) -> float:
    try:
        return float(turn[name])  # since the beginning of a call, or of 1970
    except (TypeError, ValueError):
        pass
    try:
        return seconds(turn[name])[0]
    except RowError:
        if not dates:
            raise
    return seconds(f"{turn[dates[0]]} {turn[name]}")[0]


def _by_times(turns: Turns, times: list[float]) -> Turns:
    """Newest first is turned round, so that turns of the same minute are too; anything else is sorted."""
    steps = [later - earlier for earlier, later in pairwise(times)]
    if all([step >= 0 for step in steps]):
        return turns
    if all([step <= 0 for step in steps]):
        return turns[::-1]
    places = sorted(range(len(turns)), key=times.__getitem__)
    return [turns[place] for place in places]
