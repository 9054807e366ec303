"""Where the texts of a conversation stand in what a template writes of it."""

import re
from collections.abc import Sequence

from ...errors import UserError
from .render import (
    ChatMessage,
    Renderer,
    Tools,
    with_texts,
)

Key = tuple[int, str]  # (number of a turn, "c" for its content or "r" for its reasoning)
Spans = dict[Key, tuple[int, int]]
Skeleton = tuple[list[str], list[Key]]  # what the template writes around the texts, and which texts stand between
SENTINEL = "zq{}qz"
_NOBODYS = "\ue000"  # a character of nobody's alphabet
_SENTINELS = re.compile(r"zq(\d+)(c|r)qz")


class Placer:
    """Places texts in renderings of one template.

    What it writes around them is remembered for each shape of a conversation.
    """

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self._skeletons: dict[object, Skeleton] = {}

    def place(self, text: str, messages: Sequence[ChatMessage], thinking: bool, tools: Tools) -> Spans:
        """Where each text stands in `text`, the rendering of `messages`. What the template leaves out has no place."""
        spans = self._match(text, messages, thinking, tools)
        if spans is None:
            return self._by_replacing(text, messages, thinking, tools)
        return spans

    def written_nowhere(
        self, text: str, messages: Sequence[ChatMessage], turn: int, thinking: bool, tools: Tools
    ) -> bool:
        """Would the rendering be the same whatever this turn said?"""
        other = with_texts(messages[turn], content=unused(text))
        try:
            return self.renderer.render([*messages[:turn], other, *messages[turn + 1 :]], thinking, tools) == text
        except UserError:
            return False

    def typed(
        self,
        text: str,
        messages: Sequence[ChatMessage],
        turn: int,
        control: re.Pattern[str],
        thinking: bool,
        tools: Tools,
    ) -> list[tuple[int, int]]:
        """Where control tokens stand that this turn spells, which the template writes several times or changes: what is
        another text if they are other letters.

        Raises UserError where that cannot be told.
        """
        message = messages[turn]
        hidden = control.sub(lambda found: _NOBODYS * len(found[0]), message["content"])
        other = self.renderer.render(
            [*messages[:turn], {**message, "content": hidden}, *messages[turn + 1 :]], thinking, tools
        )
        if len(other) != len(text):
            begins = message["content"][:80]
            raise UserError(
                "template.control_token",
                "The model's chat template changes a text that spells a control token, {token!r}, so that it cannot "
                "be told what people wrote. Leave the token out of the data.",
                token=begins,
            )
        return [found.span() for found in re.finditer(f"{_NOBODYS}+", other)]

    def skeleton(self, messages: Sequence[ChatMessage], thinking: bool = False, tools: Tools = None) -> Skeleton:
        """Raises UserError where the template refuses sentinels for texts."""
        shape = tuple(
            (m["role"], bool(m["content"]), "reasoning_content" in m, bool(m.get("reasoning_content")))
            for m in messages
        )
        if tools is not None or any("tool_calls" in m or m["role"] == "tool" for m in messages):
            return self._skeleton(messages, thinking, tools)
        if (shape, thinking) not in self._skeletons:
            self._skeletons[shape, thinking] = self._skeleton(messages, thinking, None)
        return self._skeletons[shape, thinking]

    def _skeleton(self, messages: Sequence[ChatMessage], thinking: bool, tools: Tools) -> Skeleton:
        sentinels = [
            with_texts(one, SENTINEL.format(f"{turn}c"), SENTINEL.format(f"{turn}r"))
            for turn, one in enumerate(messages)
        ]
        parts = _SENTINELS.split(self.renderer.render(sentinels, thinking, tools))
        return parts[::3], [(int(turn), which) for turn, which in zip(parts[1::3], parts[2::3], strict=True)]

    def _match(self, text: str, messages: Sequence[ChatMessage], thinking: bool, tools: Tools) -> Spans | None:
        """Where each text stands, if the rendering is that of the sentinels
        with the texts in their place; else None.
        """
        try:
            literals, keys = self.skeleton(messages, thinking, tools)
        except UserError:  # it wants other texts than sentinels
            return None
        if not text.startswith(literals[0]) or len(set(keys)) < len(keys):
            return None
        spans: Spans = {}
        at = len(literals[0])
        for number, (key, following) in enumerate(zip(keys, literals[1:], strict=True), start=1):
            end = _end_of(text, at, written(messages, key), following, is_last=number == len(keys))
            if end is None:
                return None
            spans[key] = at, end
            at = end + len(following)
        return spans

    def _by_replacing(self, text: str, messages: Sequence[ChatMessage], thinking: bool, tools: Tools) -> Spans:
        """Where texts stand of which the template makes something else: what
        changes when only this one is another one.
        """
        spans: Spans = {}
        sentinel = unused(text)
        for turn, message in enumerate(messages):
            others = {"c": with_texts(message, content=sentinel), "r": with_texts(message, reasoning=sentinel)}
            for which, other in others.items():
                if not written(messages, (turn, which)):
                    continue
                around = self.renderer.parts(
                    [*messages[:turn], other, *messages[turn + 1 :]], sentinel, thinking, tools
                )
                if len(around) == 2 and _surrounds(text, *around):
                    spans[turn, which] = len(around[0]), len(text) - len(around[1])
        return spans


def unused(text: str) -> str:
    """A sentinel that does not stand in a text."""
    return next(one for number in range(len(text) + 1) if (one := SENTINEL.format(f"only{number}")) not in text)


def written(messages: Sequence[ChatMessage], key: Key) -> str:
    """The text that a key stands for."""
    turn, which = key
    if which == "c":
        return messages[turn]["content"]
    return messages[turn].get("reasoning_content") or ""


def _end_of(text: str, at: int, wanted: str, following: str, is_last: bool) -> int | None:
    """Where a text ends that begins at `at` and is followed by what is expected; templates trim what they write."""
    for one in dict.fromkeys((wanted, wanted.strip(), wanted.lstrip(), wanted.rstrip(), wanted.strip("\n"))):
        end = at + len(one)
        reaches = len(text) == end + len(following) or not is_last
        if reaches and text.startswith(one, at) and text.startswith(following, end):
            return end
    return None


def _surrounds(text: str, before: str, after: str) -> bool:
    return len(before) + len(after) <= len(text) and text.startswith(before) and text.endswith(after)
