"""Tools and calls of them, wherever data keep them, in one form: JSON lists, the same whether a
part was written as text or as object.
"""

import ast
import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from .row_view import Reading, present
from .turns import (
    RepeatedKey,
    RowError,
    kind_of_value,
    text_of,
)


def spellings(*names: str) -> tuple[str, ...]:
    """Each lower-case name in all its spellings: available_tools, available-tools, availabletools, available tools."""
    return tuple(dict.fromkeys(name.replace("_", between) for name in names for between in ("_", "-", "", " ")))


TOOLS = spellings(
    "tools",
    "functions",
    "available_tools",
    "available_functions",
    "tool_list",
    "tools_list",
    "tool_definitions",
    "function_definitions",
    "tool_schemas",
    "function_schemas",
    "tool_specs",
    "tools_json",
)
CALLS = ("tool_calls", "function_call", "tool_call", "function_calls", "toolcalls", "functioncall")
_NAMES, _ARGUMENTS = ("name", "tool_name", "function_name"), ("arguments", "args", "parameters", "input", "tool_input")
CALL_IDS = ("id", "call_id", "tool_call_id", "tool_use_id", "callid", "tooluseid")
_DECLARED = ("functiondeclarations", "function_declarations")


def first_key(given: Iterable[str], names: Iterable[str]) -> str | None:
    """The key, however it is capitalised, that has the first of the names."""
    there = {key.lower(): key for key in given}
    for name in names:
        if name in there:
            return there[name]
    return None


def written(text: str) -> Any:
    """What a text says as JSON or, as pandas writes it into a table, as Python.

    The text itself where it is neither list nor object.
    """
    if not text.lstrip().startswith(("[", "{")):
        return text
    for read in (_from_json, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return present(read(text.strip()))
    return text


def _from_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise RowError("a key stands twice in a text of JSON, so that one of its two values would be lost")
    return made


def as_json(value: Any, where: str) -> str:
    """Canonical for equal values. Raises RowError for what is no text."""
    return text_of(json.dumps(value, ensure_ascii=False, default=str), where)


def result_text(value: Any, where: str) -> str:
    """What a tool gave back, as text: an object or a list as JSON."""
    if value is None or isinstance(value, str):
        return text_of(value or "", where)
    return as_json(value, where)


# calls


def calls_in(given: Reading) -> Iterator[tuple[dict[str, Any], str]]:
    """(call, its id or "") of all calls of a turn. Raises RowError for what stands in their place and is none."""
    for key in [key for key in given if key.lower() in CALLS and given.peek(key)]:
        yield from calls_of(given[key], given, key)


def calls_of(value: Any, given: Reading, key: str) -> Iterator[tuple[dict[str, Any], str]]:
    """(call, its id or "") of one value: a call, a list of calls, or either as text. Raises RowError for anything else.

    `given`: the turn it stands in, under `key`.
    """
    if isinstance(value, str):
        value = written(value)
    calls = value if isinstance(value, list) else [value]
    for call in calls:
        if isinstance(call, str):
            call = written(call)
        if type(call) is not dict:
            raise RowError(f"`{key}` holds {kind_of_value(call)} instead of calls with `name` and `arguments`")
        yield one_call(given.inside(call, "tool calls"), key)


def one_call(call: Reading, key: str) -> tuple[dict[str, Any], str]:
    """({"name", "arguments"}, id or "")"""
    if call.peek("type") in ("function", "tool_use", "tool_call", "function_call"):
        call.get("type")
    inner = call
    for wrapper in ("function", "functionCall", "function_call"):
        if type(call.peek(wrapper)) is dict:
            inner = call.inside(call[wrapper], "tool calls")
    name = next((one for one in (*_NAMES, "function") if one in inner), None)
    if name is None:
        raise RowError(f"`{key}` holds a call without a name")
    arguments_key = next((key for key in _ARGUMENTS if key in inner), None)
    arguments = _arguments(inner[arguments_key]) if arguments_key else {}
    id_key = first_key(call, CALL_IDS)
    id = str(call[id_key]) if id_key else ""
    return {"name": text_of(inner[name], f"{name} of a call"), "arguments": arguments}, id


def _arguments(given: Any) -> Any:
    """Arguments as text and as object are the same; text that is no JSON stays what it is."""
    if isinstance(given, RepeatedKey):
        raise RowError("a key stands twice in the arguments of a call")
    if isinstance(given, str):
        given = written(given)
    if given is None or given == "":
        return {}
    return given


def spoken_calls(text: str, given: Reading) -> list[tuple[dict[str, Any], str]]:
    """The calls that a turn of the role `function_call` says as JSON; none where it says something else."""
    if not text.lstrip().startswith(("[", "{")):
        return []
    with contextlib.suppress(RowError):
        return list(calls_of(text, given, "function_call"))
    return []


# tools


def tools_of(value: Any) -> tuple[list[Any], str]:
    """(the tools as objects, or what is said of them where they are no objects)"""
    found = value
    if isinstance(value, str):
        found = written(value)
    if isinstance(found, dict):
        found = _only_value(found, TOOLS) or [found]
    if isinstance(found, list):
        found = [written(one) if isinstance(one, str) else one for one in found]
        if all(isinstance(one, dict) for one in found):
            return list(_each_tool(found)), ""
    if isinstance(value, str):
        return [], value.strip()
    return [], as_json(value, "tools")


def _each_tool(listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Gemini's API puts several declarations into one tool."""
    for one in listed:
        declared = _only_value(one, _DECLARED)
        if declared:
            yield from declared
        elif one:
            yield one


def _only_value(given: dict[str, Any], names: Iterable[str]) -> list[Any] | None:
    """The list in an object that holds nothing else."""
    if len(given) != 1:
        return None
    [(key, value)] = given.items()
    if key.lower() in names and isinstance(value, list):
        return value
    return None
