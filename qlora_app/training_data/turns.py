"""From columns to turns: what every format is made of, and how turns become a conversation that can be learned from."""

import ast
import contextlib
import json
from typing import Any

from ..messages import Conversation, Message

Columns = dict[str, Any]  # one row, its column names stripped and in lower case

# Names of columns, the likeliest first. Where two of a line stand in one row, nobody but the person knows which is meant.
QUESTIONS = ("instruction", "question", "query", "q", "prompt", "input", "inputs", "text")
ANSWERS = ("output", "response", "answer", "a", "completion", "target", "targets", "generation", "summary", "highlights", "headline",
           "final_decision", "long_answer")
CONTEXTS = ("context", "passage", "article", "document", "background", "dialogue", "content")
CHATS = ("messages", "conversations", "conversation")
LABELS = ("label_text", "label", "labels", "sentiment", "class", "intent", "emotion", "quality")
TEXTS = ("text", "content", "sentence", "review", "comment", "tweet", "title", "premise", "hypothesis", "sentence1", "sentence2",
         "question1", "question2", "#1 string", "#2 string", "question")
KNOWN_NAMES = {*QUESTIONS, *ANSWERS, *CONTEXTS, *CHATS, *LABELS, *TEXTS, "choices", "raw_content"} - {"q", "a"}

# Whoever speaks in some format. What a tool says is read like what a user says: every chat template knows that turn.
ROLES = {"system": "system", **dict.fromkeys(("developer",), "system"),
         **dict.fromkeys(("user", "human", "prompter", "tool", "observation", "function", "function_response", "ipython"), "user"),
         **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot", "chatbot", "ai", "llm", "function_call"),
                         "assistant")}
_PARTS = {**dict.fromkeys(("text", "input_text", "output_text", "tool_call", "tool_result"), "{}"),
          "reasoning": "<think>\n{}\n</think>\n\n"}
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"


class RowError(Exception):
    """Why a row cannot be used, in words that complete "row 3: ..."."""


class NestedValue(RowError):
    """An object or a list where text is wanted; the text may be inside of it."""


class TwoColumnsFit(Exception):
    """Two columns could be the question, the answer or the conversation; in words that complete "the file has ..."."""


class RepeatedKey(dict[str, Any]):
    """A JSON object in which one key stands twice, so that one of the two values would be lost."""


# reading columns

def only(row: Columns, names: tuple[str, ...], what: str) -> str:
    """The one column among `names`."""
    found = [name for name in names if name in row]
    if len(found) == 1:
        return found[0]
    if found:
        raise TwoColumnsFit(f"{len(found)} columns that could be the {what} ({', '.join(found)})")
    raise RowError(f"it has no column for the {what}; looked for {', '.join(names)}")


def text_of(value: Any, where: str) -> str:
    """The value of the column or key `where`, which must be text."""
    if type(value) is str and (value.isascii() or _is_whole(value)):
        return value
    problem = NestedValue if isinstance(value, (dict, list)) else RowError
    raise problem(f"`{where}` is {kind_of_value(value)}; only text can be learned")


def optional(row: Columns, name: str) -> str:
    """The text of a column that may be missing or null."""
    value = row.get(name)
    return "" if value is None else text_of(value, name)


def kind_of_value(value: Any) -> str:
    """What a JSON value is, in words."""
    if isinstance(value, (bool, type(None))):
        return {True: "true", False: "false", None: "null"}[value]
    a_list = "a list" if value else "an empty list"
    text = "text" if isinstance(value, str) and _is_whole(value) else "broken text (half of a character)"
    kinds = ((str, text), ((int, float), "a number"), (list, a_list))
    return next((words for types, words in kinds if isinstance(value, types)), "an object")


def _is_whole(text: str) -> bool:
    """False with a lone surrogate: JSON can write one, but it is no character and no tokenizer takes it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_blank(text: str) -> bool:
    """Nothing a reader would see: blanks and zero-width characters only."""
    return not text or (not text[0].isalnum() and not text.strip().strip(_INVISIBLE))


# turns

def turn(role: Any, content: Any, column: str) -> Message:
    return {"role": role, "content": text_of(content, column)}


def system_turns(row: Columns) -> list[Message]:
    """What `system` or `system_prompt` says and which `tools` there are, as a first turn; none without either."""
    tools = row.get("tools")
    listed = tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False, default=str) if tools else ""
    said = [optional(row, "system") or optional(row, "system_prompt"),
            f"You can call these tools:\n{listed}" if listed.strip() not in ("", "[]", "{}", "null") else ""]
    text = "\n\n".join(one for one in said if one)
    return [turn("system", text, "tools")] if text else []


def first_turn(value: Any) -> Columns:
    return next((item for item in value if isinstance(item, dict)), {}) if isinstance(value, list) else {}


def chat_column(row: Columns) -> str:
    """The one column that holds a list of turns. Raises RowError and TwoColumnsFit."""
    fits = [name for name, value in row.items() if not first_turn(value).keys().isdisjoint(("role", "from"))]
    name = next((name for name in CHATS if name in fits), None)
    if name is None and len(fits) > 1:
        raise TwoColumnsFit(f"{len(fits)} columns that could be the conversation ({', '.join(repr(one[:30]) for one in fits)})")
    name = name or next((one for one in (*fits, *CHATS) if one in row), None)
    if name is None:
        raise RowError("it has no list of turns with `role` and `content`, or `from` and `value`")
    return name


def turns_of(value: Any, column: str) -> list[Message]:
    """A list of {role, content} or {from, value}, in any mixture; in a table it is written as text."""
    value = _written_list(value) if isinstance(value, str) else value
    if not isinstance(value, list) or not value:
        raise RowError(f"`{column[:30]}` is {kind_of_value(value)} instead of a list of turns")
    return [chat_turn(item, number) for number, item in enumerate(value, start=1)]


def _written_list(text: str) -> Any:
    """A list as JSON or, as pandas writes it into a table, as Python writes it; the text itself where it is none."""
    if not text.lstrip().startswith("["):
        return text
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(text.strip())
    return text


def chat_turn(item: Any, number: int = 1) -> Message:
    """One {role, content} or {from, value}."""
    if type(item) is not dict:
        raise RowError(f"a key stands twice in turn {number}" if isinstance(item, dict) else f"turn {number} is not an object")
    who, what = ("role", "content") if "role" in item else ("from", "value")
    calls = item.get("tool_calls") or item.get("function_call")
    if who not in item or (what not in item and not calls and "parts" not in item):
        raise RowError(f"turn {number} has no `{who if who not in item else what}`")
    content = item.get(what)
    if what not in item and isinstance(item.get("parts"), list):  # as Gemini's API has it
        what, content = "parts", item["parts"]
    if isinstance(content, list):
        content = _joined(content, number)
    if calls:
        content = "\n".join(filter(None, (content, _as_json(calls))))
    made = turn(_role(item[who], number), content, what)
    # OpenAI's `weight` and LLaMA-Factory's `loss_weight`: 0 means "read it, do not learn it"
    if len(item) > 2 and (item.get("weight") == 0 or item.get("loss_weight") == 0) and made["role"] == "assistant":
        made["train"] = False
    return made


def _role(given: Any, number: int) -> str:
    role = ROLES.get(given) if isinstance(given, str) else None
    role = role or ROLES.get(str(given).strip().lower())
    if role is None:
        raise RowError(f"turn {number} has the role {str(given).strip().lower()[:30]!r}; known are system, user, assistant and tool")
    return role


def _as_json(calls: Any) -> str:
    """Tool calls as a model writes them: one object with name and arguments a line."""
    return "\n".join(json.dumps(call.get("function", call) if isinstance(call, dict) else call, ensure_ascii=False, default=str)
                     for call in (calls if isinstance(calls, list) else [calls]))


def _joined(parts: list[Any], number: int) -> str:
    """The text of a content that is a list of parts."""
    return "".join(_part_text(part, number) for part in parts)


def _part_text(part: Any, number: int) -> str:
    """A part says what it is, or has a text, or is one."""
    given = part if isinstance(part, dict) else {"type": "text", "text": part} if isinstance(part, str) else {"type": kind_of_value(part)}
    kind = str(given.get("type", "text" if "text" in given else None))
    if kind not in _PARTS:
        raise RowError(f"turn {number} has a part that is not text ({kind[:30]})")
    return _PARTS[kind].format(text_of(given.get("text", given.get("value")), "text"))


# conversations

def tidy(turns: list[Message], changes: list[str]) -> Conversation:
    """System first, then user and assistant in turn, the assistant last; or RowError. A plain text stays what it is."""
    if len(turns) == 2 and turns[0]["role"] == "user" and turns[1]["role"] == "assistant" and len(turns[1]) == 2 \
            and not is_blank(turns[0]["content"]) and not is_blank(turns[1]["content"]):
        return turns  # one question and its answer: most of all data
    if len(turns) == 1 and turns[0]["role"] == "text":
        if is_blank(turns[0]["content"]):
            raise RowError("its text is empty")
        return turns
    kept: Conversation = []
    last = ""
    for number, one in enumerate(turns, start=1):
        role = one["role"]
        if is_blank(one["content"]):
            if role == "system":
                continue
            raise RowError(f"the {'answer' if role == 'assistant' else 'question'} (turn {number}) is empty")
        if role == last:
            kept[-1] = _merged(kept[-1], one)
            changes.append("merged")
        elif role == "assistant" and last != "user":
            changes.append("dropped")
        elif role == "system" and last:
            raise RowError(f"a system turn stands in the middle (turn {number}); it may only come first")
        else:
            kept.append(one)
            last = role
    if last == "user":
        kept.pop()
        changes.append("cut")
    if not any([one["role"] == "assistant" and one.get("train", True) for one in kept]):
        raise RowError("it has no assistant turn to learn from")
    return kept


def _merged(first: Message, second: Message) -> Message:
    made: Message = {"role": first["role"], "content": f"{first['content']}\n\n{second['content']}"}
    if not (first.get("train", True) and second.get("train", True)):
        made["train"] = False
    return made
