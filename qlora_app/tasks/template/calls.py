"""How a chat template writes calls of tools, found out from what it writes of two: so that what a model writes can be
read again.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import UserError
from ...messages import Conversation
from .chat_template import ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NAMES = ("first_sentinel", "second_sentinel")
_KEYS = ("key_of_first", "key_of_second")
_LONGEST_NAME = 200
_JSON = json.JSONDecoder()


class Call(NamedTuple):
    """A tool that a model calls."""

    name: str
    arguments: dict[str, Any]


class Reading(NamedTuple):
    """An answer: what it says, and what it calls."""

    text: str
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class CallForm:
    """What a template writes around the name and the arguments (a JSON object) of a call, blanks aside.

    begin NAME middle {ARGUMENTS} between NAME middle {ARGUMENTS} end; between is "" where a turn has one call.
    """

    begin: str
    middle: str
    between: str
    end: str

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase") -> "CallForm | None":
        """None where the template knows no tools, or writes calls in a form that is not read here."""
        return _form_of(tokenizer, str(tokenizer.chat_template))

    @property
    def mark(self) -> str:
        """What no answer holds that calls nothing."""
        return self.begin.split()[0]

    def read(self, written: str) -> Reading:
        """written: an answer with its control tokens. What cannot be read as a call is a part of the text."""
        at = re.search(_loose(self.begin), written)
        if at is None:
            return Reading(written.strip(), ())
        calls: list[Call] = []
        following: re.Match[str] | None = at
        place = at.end()
        while following and (found := self._call(written, following.end())) is not None:
            call, place = found
            calls.append(call)
            following = re.compile(_loose(self.between)).match(written, place) if self.between else None
        if not calls:
            return Reading(written.strip(), ())
        texts = (written[: at.start()].strip(), _behind(written[place:], self.end).strip())
        return Reading("\n".join(text for text in texts if text), tuple(calls))

    def _call(self, written: str, place: int) -> tuple[Call, int] | None:
        """The call whose name begins there, and where it ends."""
        named = re.compile(f"(.{{1,{_LONGEST_NAME}}}?){_loose(self.middle)}").match(written, place)
        if named is None:
            return None
        try:
            arguments, end = _JSON.raw_decode(written, named.end())
        except (ValueError, RecursionError):
            return None
        return (Call(named[1].strip(), arguments), end) if isinstance(arguments, dict) else None


def _loose(literal: str) -> str:
    """A pattern for it in which any blanks may stand where it has some."""
    return r"\s*".join(["", *(re.escape(part) for part in literal.split()), ""])


def _behind(text: str, literal: str) -> str:
    """What comes in a text after a literal with which it begins, or after as much of that as is there; blanks count for
    nothing.
    """
    expected = iter("".join(literal.split()))
    for place, letter in enumerate(text):
        if not letter.isspace() and next(expected, None) != letter:
            return text[place:]
    return ""


@lru_cache(maxsize=8)
def _form_of(tokenizer: "PreTrainedTokenizerBase", _: str) -> CallForm | None:
    template = ChatTemplate.of(tokenizer)
    alone = _written(template, 1)
    first = _parts(alone, 0)
    if first is None:
        return None
    begin = alone[: first.name].rpartition(template.traits.reasoning_marks[1])[2]
    form = CallForm(begin, alone[first.name_end : first.start], _between(template), alone[first.end :])
    can_be_told = form.begin.strip() and form.middle.strip()
    return form if can_be_told and form.read(alone[first.name - len(begin) :]) == Reading("", _probe(1)) else None


def _between(template: ChatTemplate) -> str:
    """What stands between the arguments of one call and the name of the next."""
    both = _written(template, 2)
    first, second = _parts(both, 0), _parts(both, 1)
    if first is None or second is None:
        return ""
    return both[first.end : second.name]


def _probe(count: int) -> tuple[Call, ...]:
    pairs = list(zip(_NAMES, _KEYS, strict=True))[:count]
    return tuple(Call(name, {key: "value"}) for name, key in pairs)


def _written(template: ChatTemplate, count: int) -> str:
    """What a model has to write to call so many tools; "" where the template has no place for them."""
    if not template.traits.knows_tools:
        return ""
    parameters = {"type": "object", "properties": {key: {"type": "string", "description": key} for key in _KEYS}}
    tools = [
        {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}
        for name in _NAMES
    ]
    calls = [{"name": call.name, "arguments": call.arguments} for call in _probe(count)]
    conversation: Conversation = [
        {"role": "user", "content": "question", "tools": json.dumps(tools)},
        {"role": "assistant", "content": "", "tool_calls": json.dumps(calls)},
    ]
    try:
        made = template.place(conversation)
    except UserError:  # some refuse two calls in a turn
        return ""
    if not made.answers or made.answers[-1].turn != 1:
        return ""
    return made.text[made.answers[-1].start : made.answers[-1].end]


class _Parts(NamedTuple):
    """Where a call stands: its name begins and ends, its arguments begin and end."""

    name: int
    name_end: int
    start: int
    end: int


def _parts(written: str, number: int) -> _Parts | None:
    """Of the probe of that number; None where it is not there, or its arguments are no JSON object."""
    name, key = written.find(_NAMES[number]), written.find(_KEYS[number])
    start = written.rfind("{", name, key)
    if not 0 <= name < start:
        return None
    try:
        arguments, end = _JSON.raw_decode(written, start)
    except ValueError:
        return None
    if arguments != {_KEYS[number]: "value"}:
        return None
    return _Parts(name, name + len(_NAMES[number]), start, end)
