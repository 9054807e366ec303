"""Conversations written as one text, in which marks such as `### Human:` say who speaks."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ...messages import Message
from .turns import ROLES, RowError, turn


class Style(NamedTuple):
    """One way of marking: the format's name, the pattern of a mark with the speaker in it,
    what begins an answer, what ends a turn.
    """

    name: str
    mark: re.Pattern[str]
    answer: str
    end: str = ""


_SPEAKERS = ROLES | {"instruction": "user", "q": "user", "response": "assistant", "a": "assistant"}
STYLES = (  # the first whose marks of both speakers are found is taken
    Style("guanaco_text", re.compile(r"### (Human|Assistant|System): ?"), "### Assistant: "),
    Style("chip2", re.compile(r"<(human|bot|system)>: ?"), "\n<bot>: "),
    Style(
        "marked_text", re.compile(r"<\|im_start\|>(user|assistant|system)\n"), "\n<|im_start|>assistant\n", "<|im_end|>"
    ),
    Style(
        "marked_text",
        re.compile(r"<\|start_header_id\|>(user|assistant|system)<\|end_header_id\|>\n\n"),
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
    ),
    Style("marked_text", re.compile(r"(?:^|\n)### (Instruction|Response|System):\n?"), "\n\n### Response:\n"),
    Style("marked_text", re.compile(r"(?:^|\s)(USER|ASSISTANT|SYSTEM): ?"), " ASSISTANT: "),
    Style("marked_text", re.compile(r"(?:^|\n)(Human|User|Assistant|Bot|System): ?"), "\n\nAssistant: "),
    Style("marked_text", re.compile(r"(?:^|\n)(Q|A): ?"), "\nA: "),
)


_PARTS = ("Assistant:", "ASSISTANT:", "Bot:", "<bot>:", "<|im_start|>", "<|start_header_id|>", "### Response:", "A:")


def style_of(text: str) -> Style | None:
    """How a text is marked, if two speak in it."""
    if not any(part in text for part in _PARTS):  # nearly always, and much quicker than every pattern
        return None
    for style in STYLES:
        speakers = {_SPEAKERS[mark[1].lower()] for mark in style.mark.finditer(text)}
        if {"user", "assistant"} <= speakers:
            return style
    return None


def split_marked(text: str) -> list[Message]:
    """The turns of a marked text; what stands before the first mark is what the system says. Raises RowError."""
    style = style_of(text)
    if style is None:
        raise RowError("its text has no marks of two speakers, such as `### Human:` and `### Assistant:`")
    marks = list(style.mark.finditer(text))
    turns: list[Message] = []
    preamble = text[: marks[0].start()].removeprefix("<|begin_of_text|>").strip()
    if preamble:
        turns.append({"role": "system", "content": preamble})
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=True):
        content = text[mark.end() : end].strip()
        if style.end:
            content = content.removesuffix(style.end).rstrip()
        turns.append(turn(_SPEAKERS[mark[1].lower()], content, "text"))
    while len(turns) > 1 and turns[-1]["role"] == "user" and not turns[-1]["content"]:
        turns.pop()  # a text that was cut right after a mark
    return turns


def answered(text: str, answer: str) -> Iterator[str]:
    """A text in which nobody has answered yet, with an answer in every style that then marks two speakers."""
    for style in STYLES:
        whole = f"{text.rstrip().removesuffix(style.end)}{style.end}{style.answer}{answer}{style.end}"
        if style_of(whole) is style:
            yield whole
