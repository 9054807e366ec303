"""Reasoning: beside an answer, within its text, or behind the mark with which a template asks for it."""

from dataclasses import replace

from ...messages import Conversation, Message, flatten, has_reasoning
from .render import Answer, Rendering
from .traits import OPENED


def thinks(conversation: Conversation) -> bool:
    """Does the last answer begin with reasoning?"""
    last = next((turn for turn in reversed(conversation) if turn["role"] == "assistant"), None)
    return last is not None and has_reasoning(last)


def reasoning_within(turn: Message) -> Message:
    """An answer with its reasoning within its text."""
    if not turn.get("reasoning"):
        return turn
    within = flatten([{"role": "assistant", "content": turn["content"], "reasoning": turn["reasoning"]}])[0]["content"]
    made = turn.copy()
    made["content"] = within
    made.pop("reasoning", None)
    return made


def without_blanks(before: str) -> int:
    """The length of a prompt. Blanks at its end belong to the answer: tokenizers join them to its first word."""
    return len(before.rstrip(" "))


def with_reasoning(made: Rendering, answer: Answer, reasoning: str, opening: str, content: int) -> Rendering:
    """The last answer with the reasoning that its template cuts out of it, behind the mark with which it asks for some.

    opening: what the template writes when it asks for an answer, with that mark at its end. content: where the answer's
    text begins.
    """
    found = OPENED.search(opening)
    if found is None:
        raise ValueError(f"{opening[-40:]!r} does not end with a mark that asks for reasoning")
    mark, blanks = found.groups()
    close = f"\n</{mark}>\n\n" if "\n" in blanks else f"</{mark}>"
    start = without_blanks(opening)
    head = f"{opening}{reasoning}{close}"
    moved = len(head) - content
    contents = [(a, b) if b <= start else (a + moved, b + moved) for a, b in made.contents]
    inside = len(opening), len(opening) + len(reasoning)
    return replace(
        made,
        text=head + made.text[content:],
        contents=sorted([*contents, inside]),
        answers=[*made.answers, replace(answer, start=start, end=answer.end + moved)],
    )
