"""A turn a row without the conversation it belongs to: a question and the answer right after it are one row."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from ..formats.turns import ROLES
from .reading import Found

_SPEAKERS, _SAYINGS = {"role", "from", "speaker", "sender"}, {"content", "value", "text", "message"}
_BEGINS = "system"
_SAID = (
    "Its rows are single turns, and nothing says which conversation they belong to: each question and the answer right "
    "after it are learned as one conversation."
)


def in_pairs(found: Iterable[Found], notes: dict[str, None]) -> Iterator[Found]:
    """Every row. Of bare turns each question with its answer is one row: nobody knows which of them belong together.
    Where a system turn begins a conversation, all turns up to the next one do. `notes`: what is to be said of it.
    """
    waiting: list[Found] = []
    for one in found:
        role = "" if one[2] else _role(one[1])
        if waiting and not _follows(waiting, role):
            yield from _joined(waiting)
            waiting = []
        if waiting and role == "assistant" and _role(waiting[0][1]) == "user":
            notes[_SAID] = None
        if role in ("user", _BEGINS) or (waiting and role):
            waiting.append(one)
        else:
            yield one
    yield from _joined(waiting)


def _role(value: Any) -> str:
    names = _names(tuple(value)) if type(value) is dict and len(value) == 2 else None
    if names is None or not isinstance(value[names[0]], str) or not isinstance(value[names[1]], str):
        return ""
    return ROLES.get(value[names[0]].strip().lower(), "")


@lru_cache(maxsize=1000)
def _names(keys: tuple[str, ...]) -> tuple[str, str] | None:
    """The columns of who speaks and of what is said, where a row has no other."""
    lowered = {str(key).strip().lower(): key for key in keys}
    who = [key for name, key in lowered.items() if name in _SPEAKERS]
    says = [key for name, key in lowered.items() if name in _SAYINGS]
    return (who[0], says[0]) if len(who) == len(says) == 1 else None


def _follows(waiting: list[Found], role: str) -> bool:
    """Does a turn of this role belong to those before it?"""
    last = _role(waiting[-1][1])
    if role == "user":
        return last == _BEGINS or (last == "assistant" and _role(waiting[0][1]) == _BEGINS)
    return role == "assistant" and last == "user"


def _joined(waiting: list[Found]) -> Iterator[Found]:
    if len(waiting) < 2:
        yield from waiting
        return
    turns = []
    for _, value, _ in waiting:
        who, says = _names(tuple(value)) or ("", "")
        turns.append({"role": value[who], "content": value[says]})
    yield waiting[0][0], {"messages": turns}, None
