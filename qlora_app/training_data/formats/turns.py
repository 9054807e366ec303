"""From columns to turns: what every format is made of, and how turns become a conversation that can be learned from."""

from collections.abc import Sequence
from typing import Any

from ...errors import Problem
from ...messages import Conversation, Message
from .names import SURE, Role, role_of

Columns = dict[str, Any]  # one row, its column names stripped and in lower case

# Names of columns, the likeliest first. Where two of a line stand in one row, nobody but the person knows which is
# meant.
QUESTIONS = ("instruction", "question", "query", "q", "prompt", "input", "inputs", "text")
ANSWERS = (
    "output",
    "response",
    "answer",
    "a",
    "completion",
    "target",
    "targets",
    "generation",
    "summary",
    "highlights",
    "headline",
    "final_decision",
    "long_answer",
)
CONTEXTS = ("context", "passage", "article", "document", "background", "dialogue", "content")
CHATS = ("messages", "conversations", "conversation")
LABELS = ("label_text", "label", "labels", "sentiment", "class", "intent", "emotion", "quality")
TEXTS = (
    "text",
    "content",
    "sentence",
    "review",
    "comment",
    "tweet",
    "title",
    "premise",
    "hypothesis",
    "sentence1",
    "sentence2",
    "question1",
    "question2",
    "#1 string",
    "#2 string",
    "question",
)
KNOWN_NAMES = {*QUESTIONS, *ANSWERS, *CONTEXTS, *CHATS, *LABELS, *TEXTS, "choices", "raw_content"} - {"q", "a"}

# Whoever speaks in some format.
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(
        ("tool", "tools", "observation", "function", "function_response", "tool_response", "ipython"), "tool"
    ),
    **dict.fromkeys(
        (
            "assistant",
            "gpt",
            "chatgpt",
            "bing",
            "bard",
            "model",
            "bot",
            "chatbot",
            "ai",
            "llm",
            "function_call",
            "tool_call",
        ),
        "assistant",
    ),
}
_SURE_ANSWER = Role("answer", SURE)
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"


class RowError(Exception):
    """Why a row cannot be used, in words that complete "row 3: ..."."""


class BadAnswer(RowError):
    """A conversation whose answer somebody called bad: KTO alone learns from it."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        super().__init__("it is marked as a bad answer, which only KTO learns from")
        self.conversations = conversations


class NestedValue(RowError):
    """An object or a list where text is wanted; the text may be inside of it."""


class UnknownRole(RowError):
    """A turn of somebody of whom nobody knows whether they ask or answer."""


class UnknownSpeakers(RowError):
    """Turns by people of whom nobody knows who answers: `names` in the order in which they speak."""

    def __init__(self, reason: str, names: Sequence[str]) -> None:
        super().__init__(reason)
        self.names = list(names)


class TwoColumnsFit(Exception):
    """Two columns could be the question, the answer or the conversation."""

    def __init__(self, what: str, names: Sequence[str]) -> None:
        """`problem` completes "it has ..."."""
        self.problem = Problem(
            "dataset.several_columns",
            "{count} columns that could be the {what} ({names})",
            count=len(names),
            what=what,
            names=", ".join(names),
        )
        super().__init__(str(self.problem))

    def first_in(self, row: int) -> Problem:
        """In words that complete "the file has ..."."""
        return Problem("dataset.first_in_row", "{what}, first in row {row}", what=self.problem, row=row)


class RepeatedKey(dict[str, Any]):
    """A JSON object in which one key stands twice, so that one of the two values would be lost."""


# reading columns


def only(row: Columns, names: tuple[str, ...], what: str) -> str:
    """The one column among `names`."""
    found = [name for name in names if name in row]
    if names is ANSWERS and len(row) > 2:
        found += [name for name in row if name not in names and name != "assistant" and role_of(name) == _SURE_ANSWER]
    if len(found) == 1:
        return found[0]
    if found:
        raise TwoColumnsFit(what, found)
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
    if value is None:
        return ""
    return text_of(value, name)


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


def first_turn(value: Any) -> Columns:
    """The first object of a list of turns; an empty one where there is none."""
    if not isinstance(value, list):
        return {}
    return next((item for item in value if isinstance(item, dict)), {})


# conversations


def tidy(turns: list[Message], changes: list[str]) -> Conversation:
    """System first, then user and assistant in turn and tools after calls, the assistant last; or RowError.

    A plain text stays what it is. `changes` collects what was done: "merged", "dropped", "cut".
    """
    if (
        len(turns) == 2
        and turns[0]["role"] == "user"
        and turns[1]["role"] == "assistant"
        and len(turns[0]) == len(turns[1]) == 2
        and not is_blank(turns[0]["content"])
        and not is_blank(turns[1]["content"])
    ):
        return turns  # one question and its answer: most of all data
    if len(turns) == 1 and turns[0]["role"] == "text":
        if is_blank(turns[0]["content"]):
            raise RowError("its text is empty")
        return turns
    listed = {one["tools"] for one in turns if "tools" in one}
    if len(listed) > 1:
        raise RowError("its question and its answer bring different lists of tools")
    tools = next(iter(listed), None)
    conversation: Conversation = []
    for number, next_turn in enumerate(turns, start=1):
        if tools is not None:
            next_turn = _without_tools(next_turn)
        _append(conversation, next_turn, number, changes)
    while conversation and conversation[-1]["role"] != "assistant":
        conversation.pop()
        changes.append("cut")
    if not any([one["role"] == "assistant" and one.get("train", True) for one in conversation]):
        raise RowError("it has no assistant turn to learn from")
    if is_blank(conversation[-1]["content"]) and "tool_calls" not in conversation[-1]:
        raise RowError("its last answer is empty: it has reasoning, and says nothing")
    if tools:  # they belong to the conversation, and stand in its first turn
        first: Message = {**conversation[0], "tools": tools}
        return [first, *conversation[1:]]
    return conversation


def _without_tools(turn: Message) -> Message:
    made = turn.copy()
    made.pop("tools", None)
    return made


def _append(conversation: Conversation, turn: Message, number: int, changes: list[str]) -> None:
    """Add the next turn of a row to those before it: as it is, as part of the last one, or not at all."""
    role = turn["role"]
    last = conversation[-1]["role"] if conversation else ""
    if is_blank(turn["content"]) and role != "tool" and "tool_calls" not in turn and "reasoning" not in turn:
        if role == "system":
            return
        what = "answer" if role == "assistant" else "question"
        raise RowError(f"the {what} (turn {number}) is empty")
    merged = None
    if role == last and role != "tool":
        merged = _merged(conversation[-1], turn)
    if merged:
        conversation[-1] = merged
        changes.append("merged")
    elif role == "assistant" and last in ("", "system"):
        changes.append("dropped")
    elif role == "system" and last:
        raise RowError(f"a system turn stands in the middle (turn {number}); it may only come first")
    else:
        conversation.append(turn)


def _merged(first: Message, second: Message) -> Message | None:
    """Two turns of one speaker as one.

    None where reasoning or calls stand between their texts, which then would change places.
    """
    if "tool_calls" in first or ("reasoning" in second and not is_blank(first["content"])):
        return None
    texts = [turn["content"] for turn in (first, second) if not is_blank(turn["content"])]
    made: Message = {**first, **second, "content": "\n\n".join(texts)}
    if "reasoning" in first and "reasoning" in second:
        made["reasoning"] = f"{first['reasoning']}\n\n{second['reasoning']}"
    if not (first.get("train", True) and second.get("train", True)):
        made["train"] = False
    return made
