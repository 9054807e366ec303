"""What stands beside a conversation and belongs to it: its system text, the tools that may
be called, what the assistant thought.
"""

from typing import Any

from ...messages import Message
from .chat_turns import REASONING
from .row_view import Reading
from .tool_calls import (
    TOOLS,
    as_json,
    first_key,
    spellings,
    tools_of,
)
from .turns import (
    RowError,
    is_blank,
    kind_of_value,
    text_of,
    turn,
)

_SYSTEM_WORDS = ("prompt", "message", "instruction", "instructions", "text", "content", "msg", "role")
SYSTEMS = ("system", *spellings(*(f"{start}_{word}" for start in ("system", "sys") for word in _SYSTEM_WORDS)))
_BESIDE = (
    "metadata",
    "meta",
    "extra",
    "extra_info",
    "additional_info",
    "chat_template_kwargs",
    "kwargs",
    "additional_kwargs",
    "request",
)
_PLACES = frozenset((*SYSTEMS, *TOOLS, *_BESIDE))
_THOUGHTS = frozenset(REASONING)
_INNER = frozenset((*SYSTEMS, *TOOLS))


def opened(row: Reading, turns: list[Message]) -> list[Message]:
    """The turns of a row with the system text before them and the tools on the first one. Raises RowError.

    Where the conversation has a system turn or tools of its own, these stay, and what the row has is not read unless it
    says the same.
    """
    if row.keys().isdisjoint(_PLACES):
        return turns
    for place in (row, *_objects_beside(row)):
        turns = _with_tools(place, _with_system(place, turns))
    return turns


def _objects_beside(row: Reading) -> list[Reading]:
    """Objects in a row that hold a system text or tools."""
    objects = []
    for name in _BESIDE:
        value = row.peek(name)
        if type(value) is dict and not _INNER.isdisjoint(key.lower() for key in value):
            objects.append(row.inside(row[name], f"`{name}`"))
    return objects


def _with_system(place: Reading, turns: list[Message]) -> list[Message]:
    key = first_key([name for name in place if place.peek(name)], SYSTEMS)
    if key is None:
        return turns
    text = _system_text(place, key)
    if is_blank(text):
        return turns
    own, others = "", turns
    if turns[0]["role"] == "system":
        own, others = turns[0]["content"], turns[1:]
    if is_blank(own):
        _take_system(place, key)
        return [turn("system", text, key), *others]
    if text.strip() in own:
        _take_system(place, key)
    return turns


def _system_text(place: Reading, key: str) -> str:
    """A text, or an object with parts as in Gemini's API, or a turn."""
    value = place.peek(key)
    if isinstance(value, dict):
        holder = _holder(value)
        value = value[holder] if holder else value
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        value = "".join(str(_text_of_part(part)) for part in value)
    if not isinstance(value, str):
        raise RowError(f"`{key}` is {kind_of_value(value)}; only text can be learned")
    return text_of(value, key)


def _holder(value: dict[str, Any]) -> str | None:
    """The key of an object that holds its text or its parts."""
    return next((name for name in ("parts", "content", "text", "value") if value.get(name) is not None), None)


def _text_of_part(part: Any) -> Any:
    if isinstance(part, dict):
        return part.get("text", part.get("content", ""))
    return part


def _take_system(place: Reading, key: str) -> None:
    """The system text is learned. Of an object only what holds the text is; everything else in it stays to be named."""
    value, where = place[key], f"`{key}`"
    if isinstance(value, dict):
        outer = place.inside(value, where)
        outer.taken.add("role")
        value = outer.get(_holder(value) or "")
    parts = value if isinstance(value, list) else [value]
    for part in parts:
        if isinstance(part, dict):
            inner = place.inside(part, where)
            text_key = "text" if "text" in part else "content"
            inner.taken |= {"type", text_key}


def _with_tools(place: Reading, turns: list[Message]) -> list[Message]:
    key = first_key([name for name in place if place.peek(name)], TOOLS)
    if key is None:
        return turns
    tools, listed = tools_of(place.peek(key))
    if listed.strip("[]{} \n") in ("", "null") and not tools:
        place.taken.add(key)  # an empty list says that there are none
        return turns
    own = next((turn["tools"] for turn in turns if "tools" in turn), None)
    made: Any = as_json(tools, key)
    if own in (None, made):
        place.get(key)
    if own:
        return turns
    if own is None and tools:
        first: Message = {**turns[0], "tools": made}
        return [first, *turns[1:]]
    return _tools_in_words(listed, turns)


def _tools_in_words(listed: str, turns: list[Message]) -> list[Message]:
    """Tools that no JSON describes stand in the system text."""
    words = f"You can call these tools:\n{listed}"
    if turns[0]["role"] != "system":
        return [turn("system", words, "tools"), *turns]
    if turns[0]["content"]:
        words = f"{turns[0]['content']}\n\n{words}"
    return [{**turns[0], "content": words}, *turns[1:]]


def reasoned(row: Reading, turns: list[Message]) -> list[Message]:
    """What a column of reasoning says was thought before the answer of a row that is one question and its answer."""
    if row.keys().isdisjoint(_THOUGHTS):
        return turns
    key = first_key([name for name in row if name not in row.taken and row.peek(name)], REASONING)
    if key is None or not isinstance(row.peek(key), str):
        return turns
    answer = turns[-1]
    if answer["role"] != "assistant" or "reasoning" in answer:
        return turns
    row.notes.add(f"`{key}` is learned as what the assistant thinks before it answers")
    return [*turns[:-1], {**answer, "reasoning": text_of(row[key], key)}]
