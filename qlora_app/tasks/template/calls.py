"""How a chat template writes calls of tools, found out from what it writes of two: so that what a model writes can be
read again.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import UserError
from ...messages import Conversation
from .call_arguments import JsonObject, Marked, Schemas, loose
from .chat_template import ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NAMES = ("first_sentinel", "second_sentinel")
_KEYS = ("key_of_first", "key_of_second")
_VALUES = ("value_of_first", "value_of_second")
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
    """What a template writes around the name and the arguments of a call, blanks aside.

    begin NAME middle ARGUMENTS between NAME middle ARGUMENTS end; between is "" where a turn has one call.
    """

    begin: str
    middle: str
    between: str
    end: str
    arguments: JsonObject | Marked

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase") -> "CallForm | None":
        """None where the template knows no tools, or writes calls in a form that is not read here."""
        return _form_of(tokenizer, str(tokenizer.chat_template))

    @property
    def mark(self) -> str:
        """What no answer holds that calls nothing."""
        return self.begin.split()[0]

    def read(self, written: str, tools: Sequence[dict[str, Any]] = ()) -> Reading:
        """written: an answer with its control tokens; tools: that may be called. What cannot be read as a call is a
        part of the text.
        """
        schemas = {tool["function"]["name"]: properties_of(tool) for tool in tools}
        at = re.search(loose(self.begin), written)
        if at is None:
            return Reading(written.strip(), ())
        calls: list[Call] = []
        following: re.Match[str] | None = at
        place = at.end()
        while following and (found := self._call(written, following.end(), schemas)) is not None:
            call, place = found
            calls.append(call)
            following = re.compile(loose(self.between)).match(written, place) if self.between else None
        if not calls:
            return Reading(written.strip(), ())
        texts = (written[: at.start()].strip(), _behind(written[place:], self.end).strip())
        return Reading("\n".join(text for text in texts if text), tuple(calls))

    def _call(self, written: str, place: int, schemas: dict[str, Schemas]) -> tuple[Call, int] | None:
        """The call whose name begins there, and where it ends."""
        named = re.compile(f"({self.arguments.name}){loose(self.middle)}").match(written, place)
        if named is None:
            return None
        name = named[1].strip()
        found = self.arguments.read(written, named.end(), schemas.get(name, {}))
        return (Call(name, found[0]), found[1]) if found else None


def properties_of(tool: dict[str, Any]) -> Schemas:
    """By the name of an argument what a tool says of it."""
    parameters = tool["function"].get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return properties if isinstance(properties, dict) else {}


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
    return _json_form(template) or _marked_form(template)


def _json_form(template: ChatTemplate) -> CallForm | None:
    alone = _written(template, _probe(1))
    first = _parts(alone, 0)
    if first is None:
        return None
    begin = _behind_reasoning(template, alone[: first.name])
    form = CallForm(begin, alone[first.name_end : first.start], _between(template), alone[first.end :], JsonObject())
    can_be_told = form.begin.strip() and form.middle.strip()
    return form if can_be_told and form.read(alone[first.name - len(begin) :]) == Reading("", _probe(1)) else None


def _marked_form(template: ChatTemplate) -> CallForm | None:
    """Of a template that writes each argument between marks of its own. Where two texts differ that follow the same
    one, a mark ends that belongs to both.
    """
    calls = (Call(_NAMES[0], dict(zip(_KEYS, _VALUES, strict=True))), Call(_NAMES[1], {}))
    alone, bare = _written(template, calls[:1]), _written(template, (Call(_NAMES[0], {}),))
    split = _split(alone, _NAMES[0], _KEYS[0], _VALUES[0], _KEYS[1], _VALUES[1])
    nothing, both = _split(bare, _NAMES[0]), _split(_written(template, calls), _VALUES[1], _NAMES[1])
    if split is None or nothing is None:
        return None
    before, first, is_, then, again, last = split
    middle, closing = _common_mark(first, nothing[1]), _common_mark(then, last)
    opening, end = first[len(middle) :], last[len(closing) :]
    is_regular = is_ == again and then[len(closing) :] == opening and nothing[1][len(middle) :] == end
    begin = _behind_reasoning(template, before)
    if not is_regular or not all(mark.strip() for mark in (begin, opening, is_, closing, end)):
        return None
    between = both[1][len(closing) :] if both else ""
    form = CallForm(begin, middle, between, end, Marked(opening, is_, closing, end[: end.find(">") + 1]))
    return form if form.read(alone[len(before) - len(begin) :]) == Reading("", calls[:1]) else None


def _split(text: str, *parts: str) -> list[str] | None:
    """What stands before, between and behind parts that follow one another; None where one of them is missing."""
    pieces = []
    for part in parts:
        before, found, text = text.partition(part)
        if not found:
            return None
        pieces.append(before)
    return [*pieces, text]


def _common_mark(one: str, other: str) -> str:
    """The marks with which both begin."""
    count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return one[: one.rfind(">", 0, count) + 1]


def _behind_reasoning(template: ChatTemplate, text: str) -> str:
    return text.rpartition(template.traits.reasoning_marks[1])[2]


def _between(template: ChatTemplate) -> str:
    """What stands between the arguments of one call and the name of the next."""
    both = _written(template, _probe(2))
    first, second = _parts(both, 0), _parts(both, 1)
    if first is None or second is None:
        return ""
    return both[first.end : second.name]


def _probe(count: int) -> tuple[Call, ...]:
    pairs = list(zip(_NAMES, _KEYS, strict=True))[:count]
    return tuple(Call(name, {key: "value"}) for name, key in pairs)


def _written(template: ChatTemplate, calls: Sequence[Call]) -> str:
    """What a model has to write to call tools; "" where the template has no place for them."""
    if not template.traits.knows_tools:
        return ""
    parameters = {"type": "object", "properties": {key: {"type": "string", "description": key} for key in _KEYS}}
    tools = [
        {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}
        for name in _NAMES
    ]
    told = json.dumps([call._asdict() for call in calls])
    conversation: Conversation = [
        {"role": "user", "content": "question", "tools": json.dumps(tools)},
        {"role": "assistant", "content": "", "tool_calls": told},
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
