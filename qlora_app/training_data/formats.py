"""From one raw row to a conversation.

A new format is one small function and one line in _IN_ORDER. Kinds without a function are recognised so that a person is
told what the file is; most specific first, because the first that fits is taken.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..messages import Conversation, Message

Columns = dict[str, Any]  # one row, its column names stripped and in lower case

QUESTIONS = ("question", "query", "q", "prompt", "instruction", "input", "text")
ANSWERS = ("answer", "response", "a", "output", "completion", "target")
ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant"}
SPEAKERS = ROLES | dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model"), "assistant")
MEDIA = {"image", "images", "video", "videos", "audio", "audios"}
_ALPACA = {"instruction", "input", "output"}
_CHATS = ("messages", "conversations", "conversation")
_LABELS = {"label", "labels", "score", "sentiment", "class"}
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"


class RowError(Exception):
    """Why a row cannot be used, in words that complete "row 3: ..."."""


class TwoColumnsFit(Exception):
    """Two columns could be the question, the answer or the conversation; in words that complete "the file has ..."."""


class RepeatedKey(dict[str, Any]):
    """A JSON object in which one key stands twice, so that one of the two values would be lost."""


# the formats: columns of one row -> its turns. `_tidy` does the rest.

def alpaca(row: Columns) -> list[Message]:
    """instruction and input (one may be empty) -> output (or response), with optional system and history."""
    plain = row.keys() <= _ALPACA  # nearly always; then there is nothing to look for, and Start is quick
    answer = "output" if plain and "output" in row else _only(row, ANSWERS, "answer")
    question, more = _optional(row, "instruction"), _optional(row, "input")
    if more and more != "<noinput>" and not is_blank(more):
        question = more if is_blank(question) else f"{question}\n\n{more}"
    turns = [] if plain else [*_system(row), *_history(row)]
    turns += {"role": "user", "content": question}, {"role": "assistant", "content": _text(row[answer], answer)}
    return turns


def _history(row: Columns) -> list[Message]:
    """Earlier [question, answer] pairs of an Alpaca row."""
    _only(row, ("question", "query", "q", "prompt", "instruction"), "question")
    turns = []
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise RowError("`history` is not a list of [question, answer] pairs")
    for pair in history:
        turns += _turn("user", pair[0], "history"), _turn("assistant", pair[1], "history")
    return turns


def question_answer(row: Columns) -> list[Message]:
    """One column that asks and one that answers."""
    question, answer = _only(row, QUESTIONS, "question"), _only(row, ANSWERS, "answer")
    return [*_system(row), _turn("user", row[question], question), _turn("assistant", row[answer], answer)]


def messages(row: Columns) -> list[Message]:
    """A list of {role, content}, whatever its column is called."""
    return _chat(row, "role", "content", ROLES)


def sharegpt(row: Columns) -> list[Message]:
    """A list of {from, value}."""
    return _chat(row, "from", "value", SPEAKERS)


# recognising them

class Kind(NamedTuple):
    """What a row can be: a name, a test, words that complete "it looks like ...", and how to read it once that is possible."""

    name: str
    fits: Callable[[Columns], bool]
    words: str
    read: Callable[[Columns], list[Message]] | None = None


def _has(row: Columns, *names: str) -> bool:
    return not row.keys().isdisjoint(names)


def _starting(row: Columns, start: str) -> list[str]:
    return [name for name in row if name.startswith(start)]


def _first_turn(value: Any) -> Columns:
    return next((item for item in value if isinstance(item, dict)), {}) if isinstance(value, list) else {}


def _has_turns(row: Columns, who: str) -> bool:
    return any(who in _first_turn(value) for value in row.values())


def _is_choice(row: Columns) -> bool:
    several = len(_starting(row, "choice") + _starting(row, "option")) > 1
    many = several or _has(row, "choices", "options") or {"a", "b"} <= row.keys()
    return many and _has(row, "question", "premise", "query")


def _is_tree(row: Columns) -> bool:
    return "replies" in row or isinstance(row.get("prompt"), dict) or {"message_id", "parent_id"} <= row.keys()


def _asks_and_answers(row: Columns) -> bool:
    return _has(row, *QUESTIONS) and _has(row, *ANSWERS)


def _is_marked(row: Columns) -> bool:
    return "kto_tag" in row or (isinstance(row.get("label"), bool) and _has(row, *_CHATS, "completion"))


def _is_labelled(row: Columns) -> bool:
    return _has(row, *_LABELS) and (_has(row, *QUESTIONS, "content", "sentence") or len(row) == 2)


_IN_ORDER = (
    Kind("preference", lambda row: bool(_starting(row, "rejected") and _starting(row, "chosen")),
         "preference data (chosen, rejected)"),
    Kind("kto", _is_marked, "preference data (answers marked good or bad)"),
    Kind("tree", _is_tree, "conversation trees (Open Assistant)"),
    Kind("media", lambda row: any(row.get(name) for name in MEDIA), "data with pictures, sound or video"),
    Kind("tokens", lambda row: "input_ids" in row, "text that is already cut into tokens (input_ids)"),
    Kind("segments", lambda row: isinstance(row.get("segments"), list), "template-free segments"),
    Kind("self_instruct", lambda row: isinstance(row.get("instances"), list), "self-instruct tasks (instruction, instances)"),
    Kind("translation", lambda row: isinstance(row.get("translation"), dict), "translation pairs"),
    Kind("message_pairs", lambda row: isinstance(row.get("prompt"), list), "prompts that are lists of messages"),
    Kind("sharegpt", lambda row: _has_turns(row, "from"), "ShareGPT conversations", sharegpt),
    Kind("messages", lambda row: _has_turns(row, "role") or "messages" in row, "messages", messages),
    Kind("sharegpt", lambda row: _has(row, *_CHATS), "ShareGPT conversations", sharegpt),
    Kind("multiple_choice", _is_choice, "multiple-choice questions"),
    Kind("dolly", lambda row: _has(row, "context", "article", "passage") and _asks_and_answers(row),
         "questions about a text (a context beside question and answer)"),
    Kind("alpaca", lambda row: "instruction" in row and _has(row, *ANSWERS), "Alpaca", alpaca),
    Kind("question_answer", _asks_and_answers, "questions and answers", question_answer),
    Kind("classification", _is_labelled, "texts with a label or class instead of a written answer"),
    Kind("plain_text", lambda row: _has(row, "text", "content", "raw_content") and not _has(row, *QUESTIONS[:-1]),
         "plain text without questions and answers"),
    Kind("prompts", lambda row: _has(row, *QUESTIONS, "turns"), "questions without answers"),
)
KINDS = {kind.name: kind for kind in _IN_ORDER}
UNKNOWN = Kind("unknown", lambda row: True, "rows with columns that are not known here")


def recognise(row: Columns) -> Kind:
    """The first kind that fits one row."""
    return next((kind for kind in _IN_ORDER if kind.fits(row)), UNKNOWN)


def convert(kind: Kind, row: Columns, changes: list[str]) -> Conversation:
    """One row as a conversation that ends with the assistant. Raises RowError.

    `changes` collects what was done to it: "merged", "dropped", "cut".
    """
    if kind.read is None:
        raise RowError(f"it looks like {kind.words}")
    return _tidy(kind.read(row), changes)


def is_blank(text: str) -> bool:
    """Nothing a reader would see: blanks and zero-width characters only."""
    return not text or (not text[0].isalnum() and not text.strip().strip(_INVISIBLE))


# reading columns

def _only(row: Columns, names: tuple[str, ...], what: str) -> str:
    """The one column among `names`."""
    found = [name for name in names if name in row]
    if len(found) == 1:
        return found[0]
    if found:
        raise TwoColumnsFit(f"{len(found)} columns that could be the {what} ({', '.join(found)})")
    raise RowError(f"it has no column for the {what}; looked for {', '.join(names)}")


def _text(value: Any, where: str) -> str:
    if type(value) is str and (value.isascii() or _is_whole(value)):
        return value
    raise RowError(f"`{where}` is {_kind_of(value)}; only text can be learned")


def _kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    if isinstance(value, (bool, type(None))):
        return {True: "true", False: "false", None: "null"}[value]
    a_list = "a list" if value else "an empty list"
    kinds = ((str, "broken text (half of a character)"), ((int, float), "a number"), (list, a_list))
    return next((words for types, words in kinds if isinstance(value, types)), "an object")


def _is_whole(text: str) -> bool:
    """False with a lone surrogate: JSON can write one, but it is no character and no tokenizer takes it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _optional(row: Columns, name: str) -> str:
    value = row.get(name)
    return "" if value is None else _text(value, name)


def _turn(role: Any, content: Any, column: str) -> Message:
    return {"role": role, "content": _text(content, column)}


def _system(row: Columns) -> list[Message]:
    text = _optional(row, "system") or _optional(row, "system_prompt")
    return [{"role": "system", "content": text}] if text else []


def _chat(row: Columns, who: str, what: str, roles: dict[str, str]) -> list[Message]:
    turns = [_chat_turn(item, number, who, what, roles) for number, item in enumerate(_list_of_turns(row, who), start=1)]
    return turns if turns[0]["role"] == "system" else _system(row) + turns


def _list_of_turns(row: Columns, who: str) -> list[Any]:
    fits = [name for name, value in row.items() if who in _first_turn(value)]
    name = next((name for name in _CHATS if name in fits), None)
    if name is None and len(fits) > 1:
        raise TwoColumnsFit(f"{len(fits)} columns that could be the conversation ({', '.join(repr(one[:30]) for one in fits)})")
    name = name or next((one for one in (*fits, *_CHATS) if one in row), None)
    if name is None:
        raise RowError(f"it has no list of turns with `{who}`")
    if not isinstance(row[name], list) or not row[name]:
        raise RowError(f"`{name[:30]}` is {_kind_of(row[name])} instead of a list of turns")
    return row[name]


def _chat_turn(item: Any, number: int, who: str, what: str, roles: dict[str, str]) -> Message:
    if type(item) is not dict:
        raise RowError(f"a key stands twice in turn {number}" if isinstance(item, dict) else f"turn {number} is not an object")
    if "tool_calls" in item or "function_call" in item:
        raise RowError(f"turn {number} calls a tool, which cannot be trained on yet")
    if who not in item or what not in item:
        raise RowError(f"turn {number} has no `{who if who not in item else what}`")
    role = item[who] if isinstance(item[who], str) else str(item[who])
    if role not in roles:
        role = role.strip().lower()
        if role not in roles:
            raise RowError(f"turn {number} has the role {role[:30]!r}; known are system, user and assistant")
    content = item[what]
    turn = _turn(roles[role], _joined(content, number) if isinstance(content, list) else content, what)
    # OpenAI's `weight` and LLaMA-Factory's `loss_weight`: 0 means "read it, do not learn it"
    if len(item) > 2 and (item.get("weight") == 0 or item.get("loss_weight") == 0):
        turn["train"] = False
    return turn


def _joined(parts: list[Any], number: int) -> str:
    """The text of a content that is a list of parts."""
    other = next((part for part in parts if not isinstance(part, dict) or part.get("type") != "text"), None)
    if other is not None:
        kind = str(other.get("type"))[:30] if isinstance(other, dict) else _kind_of(other)
        raise RowError(f"turn {number} has a part that is not text ({kind})")
    return "".join(_text(part.get("text", part.get("value")), "text") for part in parts)


# conversations

def _tidy(turns: list[Message], changes: list[str]) -> Conversation:
    """System first, then user and assistant in turn, the assistant last; or RowError."""
    if len(turns) == 2 and turns[0]["role"] == "user" and turns[1]["role"] == "assistant" and len(turns[1]) == 2 \
            and not is_blank(turns[0]["content"]) and not is_blank(turns[1]["content"]):
        return turns  # one question and its answer: most of all data
    kept: Conversation = []
    last = ""
    for number, turn in enumerate(turns, start=1):
        role = turn["role"]
        if is_blank(turn["content"]):
            if role == "system":
                continue
            raise RowError(f"the {'answer' if role == 'assistant' else 'question'} (turn {number}) is empty")
        if role == last:
            kept[-1] = _merged(kept[-1], turn)
            changes.append("merged")
        elif role == "assistant" and last != "user":
            changes.append("dropped")
        elif role == "system" and last:
            raise RowError(f"a system turn stands in the middle (turn {number}); it may only come first")
        else:
            kept.append(turn)
            last = role
    if last == "user":
        kept.pop()
        changes.append("cut")
    if not any([turn["role"] == "assistant" and turn.get("train", True) for turn in kept]):
        raise RowError("it has no assistant turn to learn from")
    return kept


def _merged(first: Message, second: Message) -> Message:
    turn: Message = {"role": first["role"], "content": f"{first['content']}\n\n{second['content']}"}
    if not (first.get("train", True) and second.get("train", True)):
        turn["train"] = False
    return turn
