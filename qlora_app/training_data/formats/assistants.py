"""What people talked about with an assistant, as the services export it: ChatGPT, Claude, and requests to an API with
their responses.
"""

import re
from typing import Any

from ...messages import Message
from .chat_turns import turns_of
from .row_view import Reading
from .turns import Columns, RowError, first_turn, is_blank, text_of, turn

_REGENERATED = "other versions of a message are left out: the one that was shown last is learned"
_TOOLS = "what was said to tools and by tools is left out"
_HIDDEN = "hidden messages, such as instructions of the service and of the user's profile, are left out"
_PICTURE = "the conversation ends before the first picture or file, which cannot be read"
_CITED = re.compile("\ue200[^\ue201]*\ue201|【\\d+(?::\\d+)?†[^】]*】|[\ue200-\ue2ff]")
_CITATIONS = "marks of citations are left out of the answers"
_TALKING = ("text", "multimodal_text")
_OF_NODES = ("id", "parent", "children")
_OF_MESSAGES = ("id", "create_time", "update_time", "status", "end_turn", "channel", "author", "content", "metadata")
_INSIDE = ("thoughts", "reasoning_recap", "user_editable_context", "model_editable_context", "system_error")


# ---- ChatGPT


def is_chatgpt(row: Columns) -> bool:
    return isinstance(row.get("mapping"), dict)


def chatgpt(row: Reading) -> list[Message]:
    """The branch of the tree that was shown last, without what is hidden and what tools said."""
    row.taken.add("current_node")
    tree = row.child("mapping")
    path, beside = _path(tree, row.peek("current_node"))
    if any([_has_words(node.get("message")) for node in beside]):
        row.notes.add(_REGENERATED)
    turns: list[Message] = []
    for node in path:
        given = tree.inside(node, "messages")
        given.taken.update(_OF_NODES)
        if type(given.peek("message")) is not dict:
            continue
        made = _chatgpt_turn(given.inside(given["message"], "messages"), row)
        if made is _PICTURE:
            row.notes.add(_PICTURE)
            break
        if isinstance(made, dict):
            turns.append(made)
    if not turns:
        raise RowError("there is no text in it that can be learned")
    return turns


def _path(tree: Reading, current: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(the nodes from the root to the one that was shown last, all others)"""
    nodes = {key: node for key, node in tree.items() if isinstance(node, dict)}
    tree.taken.update(nodes)
    at = current if current in nodes else _last_leaf(nodes)
    path: list[dict[str, Any]] = []
    seen: set[Any] = set()
    while at in nodes and at not in seen:
        seen.add(at)
        path.append(nodes[at])
        at = nodes[at].get("parent")
    return path[::-1], [node for key, node in nodes.items() if key not in seen]


def _last_leaf(nodes: dict[str, Any]) -> Any:
    """Where the last children lead; where no root is, the last node."""
    roots = [key for key, node in nodes.items() if node.get("parent") not in nodes]
    at = next(iter(roots), next(iter(nodes), ""))
    for _ in nodes:
        children = [child for child in nodes.get(at, {}).get("children") or [] if child in nodes]
        if not children:
            children = [key for key, node in nodes.items() if node.get("parent") == at and key != at]
        if not children:
            break
        at = children[-1]
    return at


def _has_words(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    parts = (message.get("content") or {}).get("parts") or []
    return any([isinstance(part, str) and not is_blank(part) for part in parts])


def _chatgpt_turn(message: Reading, row: Reading) -> Message | str:
    """One turn; _PICTURE where something is shown that cannot be read; empty for what is left out."""
    message.taken.update(_OF_MESSAGES)
    content = _inside(message, "content")
    role, kind = str(_inside(message, "author").get("role")), str(content.get("content_type", "text"))
    metadata = message.peek("metadata") or {}
    parts = content.get("parts") or []
    is_empty = not any([not isinstance(part, str) or not is_blank(part) for part in parts])
    recipient = message.get("recipient", "all")
    if isinstance(message.peek("weight"), (int, float)):
        message.taken.add("weight")
    if role == "tool" or recipient not in ("all", None, ""):
        row.notes.add(_TOOLS)
        return ""
    is_hidden = metadata.get("is_visually_hidden_from_conversation") is True or message.peek("weight") == 0
    if is_hidden or role == "system" or kind in _INSIDE:
        if not is_empty or kind in _INSIDE:
            row.notes.add(_HIDDEN)
        return ""
    if kind not in _TALKING or role not in ("user", "assistant"):
        row.notes.add(_TOOLS)
        return ""
    if metadata.get("attachments") or any([_is_picture(part) for part in parts]):
        return _PICTURE
    texts = [text_of(_part_text(part), "parts") for part in parts if _part_text(part)]
    text = "\n".join(texts)
    return "" if is_blank(text) else turn(role, _without_citations(text, row), "parts")


def _inside(message: Reading, key: str) -> Reading:
    """The object under a key; an empty one where there is none."""
    if type(message.peek(key)) is not dict:
        return Reading({})
    made = message.inside(message[key], f"`{key}`")
    made.taken.update(("name", "metadata"))
    return made


def _is_picture(part: Any) -> bool:
    """Something else than words; what was said aloud is there in words too."""
    kind = str(part.get("content_type", "")) if isinstance(part, dict) else ""
    return "pointer" in kind and "audio" not in kind


def _part_text(part: Any) -> Any:
    return part.get("text", "") if isinstance(part, dict) else part


def _without_citations(text: str, row: Reading) -> str:
    shorter = _CITED.sub("", text)
    if shorter != text:
        row.notes.add(_CITATIONS)
    return shorter


# ---- Claude


def is_claude(row: Columns) -> bool:
    return isinstance(row.get("chat_messages"), list)


def claude(row: Reading) -> list[Message]:
    """The messages from the first to the last, along their parents where there are versions of a message."""
    messages = [one for one in row["chat_messages"] if type(one) is dict]
    turns: list[Message] = []
    for message in _shown(messages, row):
        given = row.inside(message, "messages")
        given.taken.update(("uuid", "parent_message_uuid", "created_at", "updated_at", "text", "content"))
        made = _claude_turn(given, row)
        if made is None:
            row.notes.add(_PICTURE)
            break
        if not is_blank(made["content"]):
            turns.append(made)
    if not turns:
        raise RowError("there is no text in it that can be learned")
    return turns


def _shown(messages: list[dict[str, Any]], row: Reading) -> list[dict[str, Any]]:
    by_id = {one["uuid"]: one for one in messages if isinstance(one.get("uuid"), str)}
    parents = [one.get("parent_message_uuid") for one in messages]
    if not any([parent in by_id for parent in parents]):
        return messages
    path: list[dict[str, Any]] = []
    at: Any = messages[-1].get("uuid")
    while at in by_id and len(path) < len(messages):
        path.append(by_id[at])
        at = by_id[at].get("parent_message_uuid")
    if len(path) < len(messages):
        row.notes.add(_REGENERATED)
    return path[::-1]


def _claude_turn(message: Reading, row: Reading) -> Message | None:
    """None where a file was shown whose text is not in the export."""
    attached = [one for one in message.get("attachments") or [] if isinstance(one, dict)]
    read = [one for one in attached if one.get("extracted_content")]
    names = {one.get("file_name") for one in read}
    shown = [one for one in message.get("files") or [] if isinstance(one, dict) and one.get("file_name") not in names]
    if shown or len(read) < len(attached):
        return None
    role: Any = "assistant" if message.get("sender") == "assistant" else "user"
    texts, thoughts = _blocks(message, row)
    texts = [f"{one.get('file_name') or 'file'}:\n{one['extracted_content']}" for one in read] + texts
    made = turn(role, "\n\n".join(texts), "text")
    if thoughts and role == "assistant" and not is_blank(made["content"]):
        made["reasoning"] = "\n\n".join(thoughts)
    return made


def _blocks(message: Reading, row: Reading) -> tuple[list[str], list[str]]:
    """(texts, thoughts) of one message."""
    blocks = [one for one in message.peek("content") or [] if type(one) is dict]
    if not blocks:
        return [text_of(message.get("text", ""), "text")], []
    texts: list[str] = []
    thoughts: list[str] = []
    for block in blocks:
        given = message.inside(block, "parts")
        given.taken.update(("type", "start_timestamp", "stop_timestamp", "flags"))
        kind = given.peek("type")
        if kind == "text" and given.get("text"):
            texts.append(text_of(given["text"], "text"))
        elif kind == "thinking" and given.get("thinking"):
            thoughts.append(text_of(given["thinking"], "thinking"))
        elif kind in ("tool_use", "tool_result"):
            given.taken.update(given)
            row.notes.add(_TOOLS)
    return texts, thoughts


# ---- OpenAI: preferences, and requests with their responses


def is_openai_preference(row: Columns) -> bool:
    return isinstance(row.get("input"), dict) and "preferred_output" in row


def openai_preference(row: Reading) -> list[Message]:
    """The conversation and the preferred answer to it."""
    row.taken.add("non_preferred_output")
    asked = row.child("input")
    preferred = row["preferred_output"]
    before = turns_of(asked.get("messages"), "messages", row)
    return _with_tools_of(asked, [*before, *turns_of(preferred, "preferred_output", row)])


def _with_tools_of(asked: Reading, turns: list[Message]) -> list[Message]:
    from .opening import opened  # which reads turns as this does

    return opened(asked, turns)


_REQUESTS, _RESPONSES = ("request", "body", "input", "kwargs"), ("response", "output", "completion", "result")


def is_request(row: Columns) -> bool:
    """A request to an API of chats, or a pair of request and response."""
    return any([_body(row, name, "messages") is not None for name in _REQUESTS]) or (
        "custom_id" in row and isinstance(row.get("response"), dict)
    )


def _body(row: Columns, name: str, key: str) -> dict[str, Any] | None:
    """The object under `name`, or its `body`, that holds `key`."""
    value = row.get(name) if not isinstance(row, Reading) else row.peek(name)
    for _ in range(2):
        if isinstance(value, dict) and isinstance(value.get(key), list):
            return value
        value = value.get("body") if isinstance(value, dict) else None
    return None


def request(row: Reading) -> list[Message]:
    """What was asked, and the first choice of the response. Raises RowError where one of the two is in another file."""
    asked = next((found for name in _REQUESTS if (found := _body(row, name, "messages"))), None)
    said = next((found for name in _RESPONSES if (found := _body(row, name, "choices"))), None)
    if asked is None:
        raise RowError("it is a response without its request: join both files by `custom_id`")
    given = row.inside(asked, "requests")
    turns = turns_of(given["messages"], "messages", row)
    _take_around(row, _REQUESTS, asked)
    if said is None and turns[-1]["role"] != "assistant":
        raise RowError("it is a request without its response: join both files by `custom_id`")
    if said:
        _take_around(row, _RESPONSES, said)
        choices = row.inside(said, "responses")["choices"]
        turns += turns_of([row.inside(first_turn(choices), "choices").get("message")], "message", row)
    return _with_tools_of(given, turns)


def _take_around(row: Reading, names: tuple[str, ...], body: dict[str, Any]) -> None:
    """The object that holds a body is read; what else stands in it is named."""
    for name in names:
        value = row.peek(name)
        if value is body:
            row.taken.add(name)
        elif isinstance(value, dict) and value.get("body") is body:
            row.child(name).taken.add("body")


# ---- Gemini: answers with scores


def is_scored(row: Columns) -> bool:
    return "completion" in first_turn(row.get("completions")) and isinstance(row.get("contents"), list)


def scored(row: Reading) -> list[Message]:
    """The conversation and the completion with the highest score."""
    given = [one for one in row["completions"] if isinstance(one, dict) and isinstance(one.get("completion"), dict)]
    if not given:
        raise RowError("it has no completion")
    best = max(given, key=lambda one: one["score"] if isinstance(one.get("score"), (int, float)) else 0)
    chosen = row.inside(best, "completions")
    chosen.taken.add("score")
    return [*turns_of(row["contents"], "contents", row), *turns_of([chosen["completion"]], "completion", row)]
