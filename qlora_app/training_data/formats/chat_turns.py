"""One turn of a conversation from an object of the data, as OpenAI, ShareGPT, Anthropic, Gemini and others write it."""

from functools import lru_cache
from typing import Any

from ...messages import Message
from .row_view import Reading
from .tool_calls import (
    CALL_IDS,
    CALLS,
    TOOLS,
    as_json,
    calls_in,
    first_key,
    one_call,
    result_text,
    spoken_calls,
    tools_of,
    written,
)
from .turns import (
    CHATS,
    ROLES,
    Columns,
    RowError,
    TwoColumnsFit,
    UnknownRole,
    first_turn,
    kind_of_value,
    text_of,
    turn,
)

_SPEAKERS, _SAYINGS = ("role", "from"), ("content", "value", "parts", "text", "message", "utterance")
# What an assistant thinks, by the names of DeepSeek and vLLM, OpenRouter, Ollama and gpt-oss, and of data sets.
REASONING = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "thought",
    "thoughts",
    "reason_thinking",
    "reasoning_text",
    "think",
    "thinking_content",
    "reasoning_trace",
    "chain_of_thought",
    "cot",
    "complex_cot",
    "reasoningcontent",
)
# Marks of turns: axolotl's `train` and `training`, OpenAI's `weight`, LLaMA-Factory's `loss_weight`, ms-swift's `loss`,
# and others'.
_LEARNED_IF = (
    "train",
    "trainable",
    "training",
    "train_on_turn",
    "weight",
    "loss_weight",
    "loss",
    "learn",
    "learnable",
    "learned",
    "trained",
    "compute_loss",
    "calculate_loss",
    "loss_mask",
    "is_trainable",
    "use_loss",
)
_HIDDEN_IF = (
    "masked",
    "mask",
    "no_train",
    "no_loss",
    "ignore_loss",
    "skip_loss",
    "ignore",
    "is_masked",
    "skip_train",
)  # torchtune: masked
_UNCLEAR = {"mask", "ignore"}  # nobody's convention: said how they are understood
_MARKS = frozenset((*_LEARNED_IF, *_HIDDEN_IF))
_FLAGS = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}
_TEXT_PARTS = ("text", "input_text", "output_text")
_REASONING_PARTS = ("reasoning", "thinking")
_CALL_PARTS = ("tool_call", "tool_use", "function_call")
_RESULT_PARTS = ("tool_result", "function_response", "tool_response", "function_call_output")
_RESULT_TEXTS = ("response", "content", "output", "result", "value", "text")
_PART_TEXTS = ("text", "value", "content", "thinking", "reasoning")


def chat_column(row: Columns) -> str:
    """The one column that holds a list of turns. Raises RowError and TwoColumnsFit."""
    fits = [name for name, value in row.items() if not first_turn(value).keys().isdisjoint(_SPEAKERS)]
    name = next((name for name in CHATS if name in fits), None)
    if name is None and len(fits) > 1:
        raise TwoColumnsFit("conversation", [repr(column[:30]) for column in fits])
    name = name or next((column for column in (*fits, *CHATS) if column in row), None)
    if name is None:
        raise RowError("it has no list of turns with `role` and `content`, or `from` and `value`")
    return name


def turns_of(value: Any, column: str, row: Reading | None = None) -> list[Message]:
    """A list of {role, content} or {from, value}, in any mixture; in a table it is written as text. `row` holds it."""
    if isinstance(value, str):
        value = written(value)
    if not isinstance(value, list) or not value:
        raise RowError(f"`{column[:30]}` is {kind_of_value(value)} instead of a list of turns")
    talk = _Talk(Reading({}) if row is None else row)
    for number, item in enumerate(value, start=1):
        plain = None
        if type(item) is dict and len(item) == 2:
            plain = _plain_turn(item)
        if plain:
            talk.add_plain(plain)
        else:
            talk.add(item, number)
    return talk.finish()


def chat_turn(item: Any, row: Reading) -> Message:
    """One object that is one turn."""
    return turns_of([item], "turn", row)[0]


def _plain_turn(item: dict[str, Any]) -> Message | None:
    """What nearly all turns are: somebody, and a text. None for every other."""
    speaker_key, text_key = ("role", "content") if "role" in item else ("from", "value")
    speaker, text = item.get(speaker_key), item.get(text_key)
    if type(text) is not str or type(speaker) is not str or speaker.endswith("call"):
        return None
    role = ROLES.get(speaker)
    if role is None or role == "tool":
        return None
    return turn(role, text, text_key)


class _TurnParts:
    """What one turn holds."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[tuple[dict[str, Any], str]] = []  # with their ids
        self.results: list[tuple[str, str]] = []  # with the ids of their calls


class _Talk:
    """Turns as they are read one after another."""

    def __init__(self, row: Reading) -> None:
        self.turns: list[Message] = []
        self._row = row
        self._asked: list[str] = []  # ids of the calls that were made last
        self._given: list[tuple[str, Message]] = []  # what tools said to them
        self._called: set[str] = set()
        self._tools: Any = None

    def finish(self) -> list[Message]:
        self._sort_results()
        if self._tools is not None and self.turns:
            tools, parts = tools_of(self._tools)
            if parts:
                self.turns.insert(0, turn("system", f"You can call these tools:\n{parts}", "tools"))
            elif tools:
                self.turns[0] = {**self.turns[0], "tools": as_json(tools, "tools")}
        return self.turns

    def add_plain(self, made: Message) -> None:
        if self._given:
            self._sort_results()
        self.turns.append(made)

    def add(self, item: Any, number: int) -> None:
        if type(item) is not dict:
            if isinstance(item, dict):
                raise RowError(f"a key stands twice in turn {number}")
            raise RowError(f"turn {number} is not an object")
        given = self._row.inside(item, "turns")
        speaker = next((name for name in _SPEAKERS if name in given), None)
        if speaker is None:
            missing = "role" if "content" in item else "from"
            raise RowError(f"turn {number} has no `{missing}`")
        role = _role(given[speaker], number)
        keys = _special(tuple(given))
        parts = self._read(given, speaker, role, number, keys)
        for result, id in parts.results:
            self._answer(result, id)
        if role == "tool":
            if not parts.results:
                self._answer("".join(parts.texts), self._id_of(given))
        elif parts.texts or parts.calls or parts.reasoning or not parts.results:
            self._say(role, parts, given)
        if "tools" in keys:
            self._find_tools(given)

    def _read(self, given: Reading, speaker: str, role: str, number: int, keys: frozenset[str]) -> _TurnParts:
        parts = _TurnParts()
        key = next((name for name in _SAYINGS if name in given), None)
        if "calls" in keys:
            parts.calls += calls_in(given)
        if "reasoning" in keys and role == "assistant":
            parts.reasoning += _reasoning(given)
        if key is None and not (parts.calls or parts.reasoning or role == "tool" or "tools" in keys):
            missing = "value" if speaker == "from" else "content"
            raise RowError(f"turn {number} has no `{missing}`")
        content = given[key] if key else ""
        if role == "tool" and not _is_parts(content):
            parts.texts.append(result_text(content, key or "content"))
        elif isinstance(content, list):
            for part in content:
                _read_part(part, given, parts, number)
        elif isinstance(content, dict):
            _read_part(content, given, parts, number)
        elif key:
            parts.texts.append(text_of(content, key))
        if role == "assistant" and str(given.peek(speaker)).strip().lower().endswith("_call"):
            spoken = spoken_calls("".join(parts.texts), given)
            if spoken:
                parts.calls += spoken
                parts.texts = []
        if "channel" in keys and role == "assistant":
            _sort_by_channel(given, parts)
        return parts

    def _say(self, role: str, parts: _TurnParts, given: Reading) -> None:
        self._sort_results()
        made = turn(role, "".join(parts.texts), "content")
        if parts.reasoning and role == "assistant":
            made["reasoning"] = "\n\n".join(parts.reasoning)
        if parts.calls:
            made["tool_calls"] = as_json([call for call, _ in parts.calls], "tool_calls")
            self._asked = [id for _, id in parts.calls]
            self._called.update(call["name"] for call, _ in parts.calls)
        if not _is_learned(given, role):
            made["train"] = False
        self.turns.append(made)

    def _answer(self, result: str, id: str) -> None:
        self._given.append((id, turn("tool", result, "content")))

    def _id_of(self, given: Reading) -> str:
        """Which call a tool answers; the name of a tool that was called says nothing new."""
        name = first_key(given, ("name", "tool_name"))
        if name and given.peek(name) in self._called:
            given.get(name)
        id = first_key(given, CALL_IDS)
        if not id:
            return ""
        return str(given[id])

    def _sort_results(self) -> None:
        """What tools said stands in the order of the calls, which their ids tell."""
        if len(self._given) > 1 and all(id in self._asked for id, _ in self._given):
            self._given.sort(key=lambda one: self._asked.index(one[0]))
        self.turns += [made for _, made in self._given]
        self._given = []

    def _find_tools(self, given: Reading) -> None:
        """The first list of tools that a turn brings; an equal one says nothing new."""
        for key in [key for key in given if key.lower() in TOOLS and given.peek(key)]:
            if self._tools in (None, given.peek(key)):
                self._tools = given[key]


@lru_cache(maxsize=1000)
def _special(keys: tuple[str, ...]) -> frozenset[str]:
    """What a turn with these keys has beside a speaker and a text; turns of a file have few different ones."""
    lowered = {key.lower() for key in keys}
    named = {"calls": CALLS, "reasoning": REASONING, "tools": TOOLS, "channel": ("channel",)}
    return frozenset(what for what, names in named.items() if not lowered.isdisjoint(names))


def _role(given: Any, number: int) -> str:
    role = None
    if isinstance(given, str):
        role = ROLES.get(given)
    role = role or ROLES.get(str(given).strip().lower())
    if role is None:
        raise UnknownRole(
            f"turn {number} has the role {str(given).strip().lower()[:30]!r}; known are system, user, assistant and "
            f"tool"
        )
    return role


def _reasoning(given: Reading) -> list[str]:
    """What the turn says of its thinking; of several names for the same text each is read."""
    found: list[str] = []
    for key in [key for key in given if key.lower() in REASONING]:
        value = given.peek(key)
        text = value
        if _is_texts(value):
            text = "\n\n".join(value)
        if not isinstance(text, str):
            continue
        if text.strip() and (not found or found[0] == text):
            given.get(key)
            found = [text_of(text, key)]
    return found


def _sort_by_channel(given: Reading, parts: _TurnParts) -> None:
    """gpt-oss thinks in one channel and answers in another."""
    key = first_key(given, ("channel",)) or ""
    channel = str(given.peek(key)).strip().lower()
    if channel == "analysis":
        parts.reasoning += parts.texts
        parts.texts = []
        given.notes.add("what is said in the channel `analysis` is learned as what the assistant thinks")
    if channel in ("analysis", "final"):
        given.taken.add(key)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_parts(content: Any) -> bool:
    if not isinstance(content, list) or not content:
        return False
    return all(isinstance(part, dict) and _kind_of(part) for part in content)


def _kind_of(part: dict[str, Any]) -> str:
    """What a part is: it says so, or its one key does, as in Gemini's API."""
    if "functionCall" in part or "function_call" in part:
        return "function_call"
    if "functionResponse" in part or "function_response" in part:
        return "function_response"
    if "type" in part:
        return str(part["type"])
    if "text" in part:
        return "text"
    return ""


def _read_part(part: Any, given: Reading, parts: _TurnParts, number: int) -> None:
    if isinstance(part, str):
        parts.texts.append(text_of(part, "text"))
        return
    if type(part) is not dict:
        raise RowError(f"turn {number} has a part that is not text ({kind_of_value(part)})")
    kind, inner = _kind_of(part), given.inside(part, "parts")
    inner.taken.add("type")
    if kind in _TEXT_PARTS:
        is_thought = isinstance(inner.peek("thought"), bool) and inner["thought"]  # Gemini's mark of a thought
        texts = parts.reasoning if is_thought else parts.texts
        texts.append(_text_of_part(inner))
    elif kind in _REASONING_PARTS:
        parts.reasoning.append(_text_of_part(inner))
    elif kind in _CALL_PARTS:
        has_text = "value" in inner or "text" in inner
        value = None
        if has_text:
            value = inner.get("value") or inner.get("text")
        if not isinstance(value, str):
            parts.calls.append(one_call(inner, kind))
            return
        parts.calls += spoken_calls(value, inner)
        if not parts.calls:
            parts.texts.append(text_of(value, kind))
    elif kind in _RESULT_PARTS:
        parts.results.append(_result(inner))
    else:
        what = kind[:30] or ", ".join(list(part)[:3])
        raise RowError(f"turn {number} has a part that is not text ({what})")


def _text_of_part(part: Reading) -> str:
    part.taken.add("type")
    key = next((name for name in _PART_TEXTS if name in part), "text")
    return text_of(part.get(key), key)


def _result(part: Reading) -> tuple[str, str]:
    """(what a tool said, id of the call)"""
    id = first_key(part, CALL_IDS)
    found = part
    for wrapper in ("functionResponse", "function_response"):
        if type(part.peek(wrapper)) is dict:
            found = part.inside(part[wrapper], "parts")
            found.get("name")  # the call that it answers has it
    key = next((key for key in _RESULT_TEXTS if key in found), None)
    value: Any = found[key] if key else ""
    if _is_parts(value) and all(_kind_of(one) in _TEXT_PARTS for one in value):
        value = "".join(_text_of_part(found.inside(one, "parts")) for one in value)
    return result_text(value, "content"), str(part[id]) if id else ""


def _is_learned(given: Reading, role: str) -> bool:
    """False for an assistant's turn that is marked as not to be learned. A mark that changes nothing counts as read."""
    learned = True
    for key in [key for key in given if key in _MARKS]:
        value = given.peek(key)
        flag = value
        if type(value) is not bool:
            flag = _FLAGS.get(str(value).strip().lower())
        if flag is None:
            continue
        is_kept = flag if key in _LEARNED_IF else not flag
        if role == "assistant":
            learned = learned and is_kept
        if role == "assistant" or not is_kept:
            given.get(key)
        if key in _UNCLEAR and role == "assistant":
            given.notes.add(f"`{key}` of a turn is understood so: what has it as true is not learned")
    return learned
