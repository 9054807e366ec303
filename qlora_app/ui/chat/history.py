"""What the columns of the chat hold, and the conversation it is."""

from typing import Any

from ...messages import Conversation
from ..language import LANGUAGES, spoken

NOTHING_YET = "…"
SILENT = "(It answered nothing.)"
History = list[dict[str, Any]]


def answered(history: History) -> History:
    """Without a last message that was stopped before its answer began."""
    return history[:-1] if history and history[-1]["role"] == "user" else history


def conversation(history: History) -> Conversation:
    """What the columns hold -> messages; what stands for no answer is none. Gradio shows reasoning as a message of its
    own, with a title and before the answer that it belongs to."""
    silences = {spoken(SILENT, language) for language in ("en", *LANGUAGES)} | {NOTHING_YET}
    turns: Conversation = []
    reasoning = ""
    for message in history:
        text = text_of(message)
        if (message.get("metadata") or {}).get("title"):
            reasoning = f"<think>\n{text.strip()}\n</think>\n\n"
            continue
        if message["role"] == "assistant":
            text = "" if text in silences else text
        elif reasoning:  # it reasoned and answered nothing
            turns.append({"role": "assistant", "content": reasoning})
            reasoning = ""
        turns.append({"role": message["role"], "content": f"{reasoning}{text}"})
        reasoning = ""
    return turns


def text_of(message: dict[str, Any]) -> str:
    """Gradio hands back content as a list of blocks, though it takes a plain string."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") if isinstance(block, dict) else str(block) for block in content)


def said(text: str, otherwise: str = NOTHING_YET) -> dict[str, Any]:
    return {"role": "assistant", "content": text if text.strip() else otherwise}
