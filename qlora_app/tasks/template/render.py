"""What a chat template writes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...messages import Conversation, Message, calls_of
from .patches import render_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRAINED_WITH = "trained_with"  # a tokenizer's own setting, saved with it: {"date", "thinking", "system"} of the run
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")  # what templates call the reasoning of a turn
ChatMessage = dict[str, Any]  # a turn as chat templates read it
Tools = list[Any] | None


@dataclass(frozen=True)
class Answer:
    """What the assistant says in a turn, from the end of its prompt to the end of
    what ends the turn, as places in a text.
    """

    turn: int
    start: int
    end: int
    is_learned: bool = True


@dataclass(frozen=True)
class Rendering:
    """A conversation as a template writes it.

    contents: places of what people wrote, where the letters of a control token are letters.
    answers: one for each assistant turn that can be placed, in their order.
    problems: {number of an assistant turn that was to be learned: why it cannot be}.
    left_out: numbers of the other turns, of which nothing is written.
    """

    text: str
    contents: list[tuple[int, int]]
    answers: list[Answer]
    problems: dict[int, str] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()


class Renderer:
    """Renders the template of a tokenizer, on the day of the run that the tokenizer belongs to."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer

    @property
    def trained_with(self) -> dict[str, Any]:
        return self.tokenizer.init_kwargs.get(TRAINED_WITH) or {}

    def render(
        self, messages: Sequence[ChatMessage], thinking: bool = False, tools: Tools = None, opening: bool = False
    ) -> str:
        """thinking: the switch that some templates have. opening: with what asks for an answer at the end.

        Raises UserError where the template refuses the messages.
        """
        import jinja2

        today = self.trained_with.get("date")
        # Every name under which templates know the switch: Qwen and SmolLM say enable_thinking, DeepSeek and Granite
        # thinking.
        how = {"enable_thinking": thinking, "thinking": thinking, "add_generation_prompt": opening, "tools": tools}
        try:
            template = self.tokenizer.get_chat_template(tools=tools)
            day = date.fromisoformat(today) if today else date.today()
            return render_template(template, list(messages), day, **self.tokenizer.special_tokens_map, **how)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
            begins = next((message["content"] for message in messages if message.get("content")), "")
            raise UserError(
                "template.refuses",
                "The model's chat template refuses a conversation that begins {begins!r}: {error}. Templates often "
                "want user and assistant in turn, and some no system text.",
                begins=begins[:80],
                error=error,
            ) from error

    def opening(self, messages: Sequence[ChatMessage], thinking: bool = False, tools: Tools = None) -> str:
        """What it writes to ask for an answer to these messages; empty where it refuses them."""
        try:
            return self.render(messages, thinking, tools, opening=True)
        except UserError:
            return ""

    def parts(
        self, messages: Sequence[ChatMessage], sentinel: str, thinking: bool = False, tools: Tools = None
    ) -> list[str]:
        """What stands around a sentinel; nothing where the template refuses the messages."""
        try:
            return self.render(messages, thinking, tools).split(sentinel)
        except UserError:
            return []


def messages_of(conversation: Conversation, with_reasoning: bool) -> list[ChatMessage]:
    """The turns as chat templates read them. with_reasoning: the template has a place for it."""
    messages: list[ChatMessage] = []
    waiting: list[Any] = []  # calls that no tool has answered yet
    count = 0
    for turn in conversation:
        message: ChatMessage = {"role": turn["role"], "content": turn["content"]}
        if calls := calls_of(turn):
            waiting = [
                {"type": "function", "id": f"call{number:05d}", "function": dict(call)}
                for number, call in enumerate(calls, start=count)
            ]
            message["tool_calls"] = list(waiting)
            count += len(calls)
        if turn["role"] == "tool" and waiting:
            call = waiting.pop(0)
            message |= {"tool_call_id": call["id"], "name": call["function"].get("name", "")}
        if turn["role"] == "assistant" and with_reasoning:
            message |= _reasoning_fields(turn)
        messages.append(message)
    return messages


def _reasoning_fields(turn: Message) -> dict[str, str]:
    if turn.get("reasoning"):
        return dict.fromkeys(REASONING_FIELDS, turn["reasoning"])
    # Without it a template would take for reasoning what stands before a thinking mark that the answer only mentions.
    if "</think>" not in turn["content"]:
        return {}
    return {"reasoning_content": ""}


def with_texts(message: ChatMessage, content: str | None = None, reasoning: str | None = None) -> ChatMessage:
    """A message with other texts, where it has some and others are given."""
    made = dict(message)
    if content is not None and message["content"]:
        made["content"] = content
    if reasoning is not None and message.get("reasoning_content"):
        made |= dict.fromkeys(REASONING_FIELDS, reasoning)
    return made
