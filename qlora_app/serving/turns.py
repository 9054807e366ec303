"""The messages of a request as a conversation: roles, texts in parts, calls of tools and what those said."""

import json
from typing import Any

from ..messages import Conversation, Message
from .problems import ApiError

_ROLES: dict[str, Any] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def conversation_of(messages: list[dict[str, Any]]) -> Conversation:
    """What tools said stands in the order of their calls, whichever came first. Raises ApiError that names the message
    at fault.
    """
    turns: Conversation = []
    waiting: list[str] = []  # ids of the calls of the turn before, in their order
    answers: dict[str, Message] = {}  # by those
    for place, message in enumerate(messages):
        where = f"messages.{place}"
        turn = _turn(message, where)
        if turn["role"] != "tool":
            _check_answered(waiting, answers, where)
            turns.append(turn)
            waiting, answers = _ids(message), {}
            continue
        id = str(message.get("tool_call_id"))
        if id not in waiting or id in answers:
            raise _fault(f"{where}.tool_call_id", "the id of a call in the turn before, answered once.")
        answers[id] = turn
        if len(answers) == len(waiting):
            turns += [answers[one] for one in waiting]
    _check_answered(waiting, answers, f"messages.{len(messages) - 1}")
    return turns


def _ids(message: dict[str, Any]) -> list[str]:
    calls = message.get("tool_calls")
    if message.get("role") != "assistant" or not calls:
        return []
    return [str(call.get("id")) for call in calls]


def _check_answered(waiting: list[str], answers: dict[str, Message], where: str) -> None:
    for id in waiting:
        if id not in answers:
            raise _fault(where, f"the call {id!r} must be answered by its tool first.")


def _turn(message: dict[str, Any], where: str) -> Message:
    role = _ROLES.get(str(message.get("role")))
    if role is None or message.get("function_call"):
        raise ApiError(400, f"{where}.role: one of {', '.join(_ROLES)}; calls as tool_calls.", where, "invalid_value")
    content = message.get("content")
    if content is None and role == "assistant":  # a refusal is kept so, and a call that says nothing
        content = ""
    turn: Message = {"role": role, "content": _text(content, f"{where}.content")}
    if role == "assistant" and message.get("tool_calls"):
        turn["tool_calls"] = _calls(message["tool_calls"], f"{where}.tool_calls")
    return turn


def _calls(calls: Any, where: str) -> str:
    """As the house keeps calls: JSON of [{"name", "arguments"}]."""
    if not isinstance(calls, list):
        raise _fault(where, "a list of calls.")
    made = []
    for place, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        try:
            arguments = json.loads(function["arguments"])  # type: ignore[index]
            name = function["name"]  # type: ignore[index]
        except (TypeError, KeyError, ValueError, RecursionError):
            raise _fault(f"{where}.{place}", "a function with a name, and arguments that are JSON.") from None
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise _fault(f"{where}.{place}", "a function with a name, and arguments that are an object of JSON.")
        made.append({"name": name, "arguments": arguments})
    return json.dumps(made, ensure_ascii=False)


def _text(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _fault(where, "a text, or a list of parts that are text.")
    parts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise _fault(where, "these models read text alone.")
        parts.append(text)
    return "".join(parts)


def _fault(where: str, wanted: str) -> ApiError:
    return ApiError(400, f"{where}: {wanted}", where, "invalid_value")
