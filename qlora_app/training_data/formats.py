"""From one raw row to a conversation. A new format is one small function, one line in FORMATS and one in `recognise`."""

from collections.abc import Callable
from typing import Any

from ..messages import Conversation, Message

QUESTIONS = ("question", "query", "q", "prompt", "instruction", "input", "text")
ANSWERS = ("answer", "response", "a", "output", "completion", "target")
ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant"}
SPEAKERS = ROLES | dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model"), "assistant")
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"

# Recognised, so that the person is told what the file is; read by a later version. The words complete "looks like ...".
NOT_YET = {
    "preference": "preference data (a chosen and a rejected answer)",
    "kto": "preference data (answers marked good or bad)",
    "oasst_tree": "conversation trees (Open Assistant)",
    "self_instruct": "self-instruct tasks (instruction with a list of instances)",
    "dolly": "questions about a text (a context column beside question and answer)",
    "multiple_choice": "multiple-choice questions",
    "classification": "texts with labels or classes and no written answer",
    "translation": "translation pairs",
    "media": "data with pictures, sound or video",
    "tokens": "text that is already cut into tokens",
    "segments": "template-free segments",
    "message_pairs": "prompts and completions that are lists of messages",
    "plain_text": "plain text without questions and answers",
    "prompts": "questions without answers",
}


class RowError(Exception):
    """Why a row cannot be used, completing "row 3: ..."."""


class TwoColumnsFit(Exception):
    """Two columns could be the question or the answer; the message names them."""


def alpaca(row: dict[str, Any]) -> list[Message]:
    """instruction and input (one may be empty) -> output (GPTeacher: response), with optional system and history."""
    parts = [_optional(row, "instruction"), _optional(row, "input")]
    if parts[1].strip() == "<noinput>":
        parts[1] = ""
    question = "\n\n".join(part for part in parts if not is_blank(part))
    if not question:
        raise RowError("`instruction` and `input` are both empty")
    turns = _system(row)
    for pair in row.get("history") or []:
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowError("`history` is not a list of [question, answer] pairs")
        turns += [_turn("user", pair[0], "history"), _turn("assistant", pair[1], "history")]
    return [*turns, _turn("user", question, "instruction"), _turn("assistant", *_answer(row))]


def question_answer(row: dict[str, Any]) -> list[Message]:
    """The one column that asks and the one that answers."""
    asks = _one_of(row, QUESTIONS, "question")
    if asks is None:
        raise RowError(f"it has no question column ({', '.join(QUESTIONS)})")
    return [*_system(row), _turn("user", row[asks], asks), _turn("assistant", *_answer(row))]


def messages(row: Any) -> list[Message]:
    """A list of {role, content}, whatever the column is called."""
    column, items = _turns_of(row, ("role", "content"), ("messages", "conversations", "conversation"))
    return _unless_given(_system(row), [_chat_turn(item, number, column, "role", "content", ROLES) for number, item in enumerate(items, 1)])


def sharegpt(row: Any) -> list[Message]:
    """A list of {from, value}."""
    column, items = _turns_of(row, ("from", "value"), ("conversations", "conversation", "messages"))
    return _unless_given(_system(row), [_chat_turn(item, number, column, "from", "value", SPEAKERS) for number, item in enumerate(items, 1)])


FORMATS: dict[str, Callable[[Any], list[Message]]] = {
    "alpaca": alpaca, "messages": messages, "sharegpt": sharegpt, "question_answer": question_answer}


def convert(format: str, row: Any, notes: list[str]) -> Conversation:
    """One row as a conversation that ends with the assistant. Appends to `notes` what was changed; raises RowError."""
    from_row = FORMATS[format]
    if isinstance(row, dict):
        if type(row) is not dict:
            raise RowError("a key stands twice in it, so that one of the two values would be lost")
        row = lower_names(row)
    return _tidy(from_row(row), notes)


def recognise(row: Any) -> str:
    """The name of the row's format: one of FORMATS, one of NOT_YET, or "unknown". Raises TwoColumnsFit."""
    if isinstance(row, list):
        return _list_format(row) or "unknown"
    if not isinstance(row, dict):
        return "plain_text" if isinstance(row, str) else "unknown"
    row = lower_names(row)
    return _special(row) or _chat(row) or _columns(row)


def lower_names(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its column names stripped and in lower case."""
    return {name.strip().lower(): value for name, value in row.items()}


def is_blank(text: str) -> bool:
    """Nothing a reader would see: blanks and zero-width characters only."""
    return not text or not text.strip().strip(_INVISIBLE)


# recognising, most specific first

def _special(row: dict[str, Any]) -> str | None:
    names = row.keys()
    if any(name.startswith("rejected") for name in names) and any(name.startswith("chosen") for name in names):
        return "preference"
    if "kto_tag" in names or (isinstance(row.get("label"), bool) and names & {"messages", "conversations", "completion"}):
        return "kto"
    if names & {"replies"} or isinstance(row.get("prompt"), dict) or {"message_id", "parent_id"} <= names:
        return "oasst_tree"
    if any(row.get(name) for name in ("image", "images", "video", "videos", "audio", "audios")):
        return "media"
    if "input_ids" in names:
        return "tokens"
    for name, kind in (("segments", "segments"), ("instances", "self_instruct")):
        if isinstance(row.get(name), list):
            return kind
    return "translation" if isinstance(row.get("translation"), dict) else None


def _chat(row: dict[str, Any]) -> str | None:
    found = {name: kind for name, value in row.items() if isinstance(value, list) and (kind := _list_format(value))}
    if {"prompt", "completion"} <= found.keys():
        return "message_pairs"
    for name, usual in (("messages", "messages"), ("conversations", "sharegpt"), ("conversation", "sharegpt")):
        if name in row:
            return found.get(name, usual)
    if len(found) > 1:
        raise TwoColumnsFit(f"two lists of messages ({', '.join(found)})")
    return next(iter(found.values()), None)


def _list_format(items: list[Any]) -> str | None:
    first = next((item for item in items if isinstance(item, dict)), {})
    if "role" in first and ("content" in first or "tool_calls" in first):
        return "messages"
    return "sharegpt" if "from" in first and "value" in first else None


def _columns(row: dict[str, Any]) -> str:
    names = row.keys()
    choices = names & {"choices", "options"} or len([n for n in names if n.startswith(("choice", "option")) or n in ("a", "b", "c", "d")]) > 1
    if choices and names & {"question", "premise", "query"}:
        return "multiple_choice"
    answered = [name for name in ANSWERS if name in names]
    if "instruction" in names and names & {"output", "response"} and not names & {"context"}:
        _one_of(row, ("output", "response"), "answer")
        return "alpaca"
    asked = [name for name in QUESTIONS if name in names]
    if asked and answered:
        _one_of(row, ANSWERS, "answer")
        if names & {"context", "article", "passage"}:
            return "dolly"
        _one_of(row, QUESTIONS, "question")
        return "question_answer"
    if names & {"label", "labels", "score", "sentiment", "class", "category"} and (asked or len(names) == 2):
        return "classification" if names & {"label", "labels", "score", "sentiment", "class"} else "prompts"
    if names & {"text", "content", "raw_content"} and not names & {"question", "prompt"}:
        return "plain_text"
    return "prompts" if asked or "turns" in names else "unknown"


# reading values

def _one_of(row: dict[str, Any], names: tuple[str, ...], what: str) -> str | None:
    found = [name for name in names if name in row]
    if len(found) > 1:
        raise TwoColumnsFit(f"{len(found)} columns that could be the {what} ({', '.join(found)})")
    return found[0] if found else None


def _answer(row: dict[str, Any]) -> tuple[Any, str]:
    column = _one_of(row, ANSWERS, "answer")
    if column is None:
        raise RowError(f"it has no answer column ({', '.join(ANSWERS)})")
    if isinstance(row[column], str) and is_blank(row[column]):
        raise RowError(f"the answer `{column}` is empty")
    return row[column], column


def _text(value: Any, where: str) -> str:
    if type(value) is not str:
        kind = "null" if value is None else "true or false" if isinstance(value, bool) else "a number" if isinstance(value, (int, float)) \
            else "a list" if isinstance(value, list) else "an object"
        raise RowError(f"{where} is {kind}, not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowError(f"{where} contains half of a character (a lone surrogate)") from None
    return value


def _optional(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else _text(value, f"`{name}`")


def _turn(role: Any, content: Any, column: str) -> Message:
    return {"role": role, "content": _text(content, f"`{column}`")}


def _system(row: Any) -> list[Message]:
    if not isinstance(row, dict):
        return []
    name = "system" if "system" in row else "system_prompt"
    text = _optional(row, name)
    return [] if is_blank(text) else [{"role": "system", "content": text}]


def _unless_given(system: list[Message], turns: list[Message]) -> list[Message]:
    return turns if turns and turns[0]["role"] == "system" else system + turns


def _turns_of(row: Any, keys: tuple[str, str], usual: tuple[str, ...]) -> tuple[str, list[Any]]:
    """(name of the column, the turns) of a row that is a list of turns or has one."""
    if isinstance(row, list):
        return "row", row
    if not isinstance(row, dict):
        raise RowError("it is not an object")
    fits = [name for name, value in row.items() if isinstance(value, list) and value and isinstance(value[0], dict) and keys[0] in value[0]]
    column = next((name for name in usual if name in fits), None) or next(iter(fits), None) or next((name for name in usual if name in row), None)
    if column is None:
        raise RowError(f"it has no list of turns with `{keys[0]}` and `{keys[1]}`")
    if not isinstance(row[column], list):
        raise RowError(f"`{column}` is not a list of turns")
    if not row[column]:
        raise RowError(f"`{column}` is an empty list")
    return column, row[column]


def _chat_turn(item: Any, number: int, column: str, who: str, what: str, roles: dict[str, str]) -> Message:
    if not isinstance(item, dict) or who not in item or what not in item:
        raise RowError(f"turn {number} of `{column}` has no `{who}` and `{what}`")
    if type(item) is not dict:
        raise RowError(f"a key stands twice in turn {number} of `{column}`")
    role = roles.get(item[who].strip().lower()) if isinstance(item[who], str) else None
    if role is None:
        raise RowError(f"turn {number} has the unknown role {str(item[who])[:30]!r}; known are {', '.join(roles)}")
    if item.get("tool_calls") or item.get("function_call"):
        raise RowError(f"turn {number} calls a tool, which cannot be trained on yet")
    content = item[what]
    turn = _turn(role, _join_parts(content, number) if isinstance(content, list) else content, f"{column}` turn {number} `{what}")
    if item.get("loss_weight", 1) == 0 or item.get("weight", 1) == 0:
        turn["train"] = False
    return turn


def _join_parts(parts: list[Any], number: int) -> str:
    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            raise RowError(f"turn {number} has a part of type {kind!r}; only text can be trained on yet")
        texts.append(_text(part.get("text", part.get("value")), f"the text of turn {number}"))
    return "".join(texts)


# conversations

def _tidy(turns: list[Message], notes: list[str]) -> Conversation:
    """System first, then user and assistant in turn, the assistant last; or RowError."""
    kept: Conversation = []
    for number, turn in enumerate(turns, start=1):
        role = turn["role"]
        if is_blank(turn["content"]):
            if role == "system":
                continue
            raise RowError(f"the answer in turn {number} is empty" if role == "assistant" else f"turn {number} ({role}) is empty")
        if kept and kept[-1]["role"] == role:
            kept[-1] = _merged(kept[-1], turn)
            notes.append("merged")
        elif role == "assistant" and (not kept or kept[-1]["role"] == "system"):
            notes.append("dropped")
        elif role == "system" and kept:
            raise RowError(f"a system turn stands in the middle (turn {number}); the order is system first, then user and assistant")
        else:
            kept.append(turn)
    if kept and kept[-1]["role"] == "user":
        kept.pop()
        if kept:
            notes.append("cut")
    if not any(turn["role"] == "assistant" and turn.get("train", True) for turn in kept):
        raise RowError("it has no assistant turn to learn from")
    return kept


def _merged(first: Message, second: Message) -> Message:
    turn: Message = {"role": first["role"], "content": f"{first['content']}\n\n{second['content']}"}
    if not (first.get("train", True) and second.get("train", True)):
        turn["train"] = False
    return turn
