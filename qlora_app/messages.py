"""The one internal form of training data: conversations."""

import json
import re
from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict  # Python 3.10 has no NotRequired

IGNORED = -100  # label of a token without loss
OPTIONS = "options"  # what a batch holds beside what a model reads: every answer option, for a method's own losses
JUDGED = "judged"  # and what a loss of preferences wants beside it
MOST_OPTIONS = 32  # of an answer; each is read once more for every example


class Message(TypedDict):
    """One turn.

    A conversation of one `text` is no conversation but a document: all of it is learned, without a chat template.

    train: do its tokens carry loss? Without it, what the assistant says does.
    options: all that an answer was chosen from, itself among them.
    reasoning: what an assistant thought before its `content`; chat templates know it as `reasoning_content` or
    `thinking`.
    tool_calls: JSON of a list of {"name": str, "arguments": object}, what an assistant calls after its `content`, which
    may be empty.
    tools: JSON of a list of the tools that may be called, as the data have them. It stands on the first turn.
    rejected: of the last turn, the answer to the same prompt that was liked less (DPO, ORPO).
    label: of the last turn, whether somebody called it a good answer (KTO).
    """

    role: Literal["system", "user", "assistant", "tool", "text"]
    content: str
    train: NotRequired[bool]
    options: NotRequired[list[str]]
    reasoning: NotRequired[str]
    tool_calls: NotRequired[str]
    tools: NotRequired[str]
    rejected: NotRequired[str]
    label: NotRequired[bool]


Conversation = list[Message]
INLINE_REASONING = re.compile(r"\s*<think>(.*?\S.*?)</think>(.*)", re.DOTALL)  # reasoning, and the answer behind it
STRUCTURE = ("reasoning", "tool_calls", "tools")  # what a turn may hold beside its text


def is_flat(conversation: Conversation) -> bool:
    """Are there only system, user, assistant and text turns, with nothing beside their text?"""
    return not any(
        turn["role"] == "tool" or (len(turn) > 2 and not turn.keys().isdisjoint(STRUCTURE)) for turn in conversation
    )


def flatten(conversation: Conversation, keep_reasoning: bool = False) -> Conversation:
    """The conversation in words alone, for models and templates that know neither tools nor reasoning.

    Tools are listed in the system text, calls follow the answer as one JSON object a line, reasoning stands between
    <think> marks (with `keep_reasoning` it stays beside the text), and what a tool says is said by the user.
    """
    if is_flat(conversation):
        return conversation
    flat: Conversation = []
    if tools := conversation[0].get("tools"):
        flat.append({"role": "system", "content": f"You can call these tools:\n{tools}"})
    for turn in conversation:
        _append(flat, _flat_turn(turn, keep_reasoning))
    return flat


def _flat_turn(turn: Message, keep_reasoning: bool) -> Message:
    parts = [turn["content"], *(json.dumps(call, ensure_ascii=False) for call in calls_of(turn))]
    text = "\n".join(part for part in parts if part)
    if turn.get("reasoning") and not keep_reasoning:
        text = f"<think>\n{turn['reasoning']}\n</think>\n\n{text}"
    dropped = STRUCTURE[1:] if keep_reasoning else STRUCTURE
    flat: Any = {name: value for name, value in turn.items() if name not in dropped}
    if turn["role"] == "tool":
        flat["role"] = "user"
    flat["content"] = text
    return flat


def _append(flat: Conversation, turn: Message) -> None:
    """A turn of the same speaker goes on with the one before; the tools come after what the system text says."""
    if not flat or flat[-1]["role"] != turn["role"] or turn["role"] == "assistant":
        flat.append(turn)
        return
    texts = [flat[-1]["content"], turn["content"]]
    if turn["role"] == "system":
        texts.reverse()
    flat[-1] = {**flat[-1], "content": "\n\n".join(text for text in texts if text)}


def has_reasoning(turn: Message) -> bool:
    """Does an answer begin with reasoning, beside its text or in <think> marks before it?"""
    return turn["role"] == "assistant" and bool(turn.get("reasoning") or INLINE_REASONING.match(turn["content"]))


def calls_of(turn: Message) -> list[dict[str, Any]]:
    """The tool calls of a turn as objects with `name` and `arguments`."""
    if not turn.get("tool_calls"):
        return []
    return json.loads(turn["tool_calls"])
