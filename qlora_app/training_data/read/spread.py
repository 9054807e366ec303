"""One JSON value that holds many rows: chats with their messages, texts with the questions about them. Also: which
files of an export are data.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..formats.people import is_message
from .headers import MARK, RULES, SHORT, HeaderRows
from .reading import Found

_HOLDERS = {"paragraphs", "qas", "messages", "chats", "conversations"}  # keys of values that may hold rows
_TITLES = ("name", "title", "room_name", "displayName", "display_name")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
_SPEAKERS, _SAYINGS = {"role", "from", "speaker"}, {"content", "value", "text", "utterance"}
_WHATSAPP = re.compile(r"_chat\.txt|[^/]*WhatsApp[^/]*\.txt", re.IGNORECASE)
_TALKS = re.compile(r"conversations(-\d+)?\.json")


def spread(found: Iterable[Found], headers: HeaderRows) -> Iterator[Found]:
    """Every row but those that only name the columns; those that hold rows of their own as these, with what belongs to
    all of them.
    """
    for line, value, problem in found:
        if value.__class__ is dict and value:  # written out here, because a call for each row is felt
            first, *_ = value
            cell = value[first]
            is_text = cell.__class__ is str
            may_be = is_text and (len(cell) < SHORT or cell[0] in RULES or len(cell) <= len(first) + MARK)
            if may_be and headers.take(line, value):
                continue
        if type(value) is dict and _HOLDERS.isdisjoint(value) and dict not in map(type, value.values()):
            yield line, value, problem  # nearly always
            continue
        inside = _rows_in(value) if type(value) is dict else None
        if inside is None:
            yield line, _whole(value), problem
            continue
        for row in inside:
            yield line, row, None


def _whole(value: Any) -> Any:
    """A request and its response in one list as one row, and lists of speakers and texts side by side as turns."""
    if type(value) is list and len(value) > 1 and "messages" in _first(value) and "choices" in _first(value[1:]):
        return {"request": value[0], "response": value[1]}
    if type(value) is not dict:
        return value
    beside = [name for name, one in value.items() if type(one) is dict and _are_turns(one)]
    if not beside:
        return value
    return value | {name: _as_turns(value[name]) for name in beside}


def _are_turns(columns: dict[str, Any]) -> bool:
    """Turns as tables keep them: {"from": [...], "value": [...]}."""
    if not _SPEAKERS & columns.keys() or not _SAYINGS & columns.keys():
        return False
    return all([isinstance(one, list) for one in columns.values()]) and len({len(one) for one in columns.values()}) == 1


def _as_turns(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _rows_in(value: dict[str, Any]) -> Iterable[Any] | None:
    """The rows inside of one value; None where it is a row itself."""
    if "qas" in _first(value.get("paragraphs")):
        return _of_article(value)
    if _first(value.get("qas")):
        return _of_paragraph(value, {})
    if is_message({key.lower(): one for key, one in _first(value.get("messages")).items()}):
        return _of_chat(value, value["messages"])
    chats = value.get("chats")
    if isinstance(chats, dict) and _first(chats.get("list")):  # all chats of Telegram
        return _of_chats(chats["list"], "messages")
    chats = value.get("conversations")
    if _first(_first(chats).get("MessageList")):  # Skype
        return _of_chats(value["conversations"], "MessageList")
    return None


def _first(value: Any) -> dict[str, Any]:
    """The first object of a list of objects; an empty one of anything else."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value[0]
    return {}


def _of_article(article: dict[str, Any]) -> Iterator[dict[str, Any]]:
    about = {"title": article["title"]} if article.get("title") else {}
    for paragraph in article["paragraphs"]:
        yield from _of_paragraph(paragraph, about)


def _of_paragraph(paragraph: Any, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
        yield paragraph
        return
    shared = about | {key: one for key, one in paragraph.items() if key != "qas"}
    for question in paragraph["qas"]:
        yield shared | question if isinstance(question, dict) else question


def _of_chats(chats: list[Any], key: str) -> Iterator[Any]:
    for chat in chats:
        if isinstance(chat, dict) and isinstance(chat.get(key), list):
            yield from _of_chat(chat, chat[key])


def _of_chat(chat: dict[str, Any], messages: list[Any]) -> Iterator[Any]:
    title = next((chat[name] for name in _TITLES if isinstance(chat.get(name), str)), "")
    channel = chat.get("channel")
    if isinstance(channel, dict):  # Discord
        title = str(channel.get("name") or title)
    for message in messages:
        yield {"chat": title, **message} if isinstance(message, dict) else message


def of_an_export(names: Iterable[str]) -> list[str]:
    """Of all files in an archive or a folder those that hold the conversations, where it is the export of ChatGPT,
    Claude, WhatsApp or Slack; none where it is no export.
    """
    every = list(names)
    own = {name: name.rpartition("/")[2] for name in every}
    talks = [name for name, last in own.items() if _TALKS.fullmatch(last)]
    beside = {"user.json", "users.json", "chat.html", "message_feedback.json", "projects.json"}
    if talks and not beside.isdisjoint(own.values()):
        return talks
    chats = [name for name, last in own.items() if _WHATSAPP.fullmatch(last)]
    if chats:
        return chats
    days = [name for name, last in own.items() if _DAY.fullmatch(last) and "/" in name]
    if days and "users.json" in own.values():
        return [*(name for name, last in own.items() if last == "users.json"), *days]
    return []
