"""What a chat template has a place for, and how its turns begin and end, found out by rendering small conversations."""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from ...errors import UserError
from ..plain_text import special_tokens
from .place import SENTINEL, Placer
from .render import (
    REASONING_FIELDS,
    ChatMessage,
    Renderer,
    Tools,
)

OPENED = re.compile(
    r"<(\w*(?:think|reason|thought)\w*)>(\s*)$"
)  # a mark at the end of a prompt, behind which the reasoning begins


class Traits:
    """What one chat template does with a conversation. Everything is found out when it is first asked for."""

    def __init__(self, renderer: Renderer, placer: Placer) -> None:
        self.renderer, self.placer = renderer, placer
        self.special = special_tokens(renderer.tokenizer)

    # ---- what it has a place for

    @cached_property
    def knows_reasoning(self) -> bool:
        """Has it a place for the reasoning of an answer?"""
        return self._writes([*_probe("user"), self._reasoned("answer")], [SENTINEL.format("reasoning")])

    @cached_property
    def drops_reasoning(self) -> bool:
        """Does it cut reasoning out of an answer's text?"""
        inline = f"<think>\n{SENTINEL.format('reasoning')}\n</think>\n\nanswer"
        is_kept = self._writes(
            [*_probe("user"), {"role": "assistant", "content": inline}], [SENTINEL.format("reasoning")]
        )
        return not self.knows_reasoning and not is_kept

    @cached_property
    def has_thinking(self) -> bool:
        """Can the model be asked to reason first, and not to?"""
        with_reasoning, without = (self.renderer.opening(_probe("user"), thinking) for thinking in (True, False))
        return self.knows_reasoning or with_reasoning != without or bool(OPENED.search(with_reasoning))

    @cached_property
    def knows_tools(self) -> bool:
        """Has it a place for tools, calls and what a tool says?"""
        tool, argument, result = (SENTINEL.format(name) for name in ("tool", "argument", "result"))
        call = {"type": "function", "id": "call00000", "function": {"name": tool, "arguments": {"value": argument}}}
        parameters = {
            "type": "object",
            "properties": {"value": {"type": "string", "description": "value"}},
            "required": ["value"],
        }
        tools = [{"type": "function", "function": {"name": tool, "description": tool, "parameters": parameters}}]
        messages = [
            *_probe("user"),
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": result, "tool_call_id": "call00000", "name": tool},
            *_probe("assistant"),
        ]
        return self._writes(messages, [argument, result], tools) and self._writes(_probe("user"), [tool], tools)

    @cached_property
    def reasoning_marks(self) -> tuple[str, str]:
        """(what a model writes before its reasoning, what between it and the answer)"""
        if not self.knows_reasoning:
            return "", "</think>"
        literals, keys = self.placer.skeleton([*_probe("user"), self._reasoned("answer")], thinking=True)
        place = keys.index((1, "r"))
        end_of_prompt = self.renderer.opening(_probe("user"), thinking=True).rpartition(_probe("user")[0]["content"])[2]
        return literals[place].removeprefix(end_of_prompt), literals[place + 1]

    @staticmethod
    def _reasoned(content: str) -> ChatMessage:
        return {
            "role": "assistant",
            "content": content,
            **dict.fromkeys(REASONING_FIELDS, SENTINEL.format("reasoning")),
        }

    def _writes(self, messages: list[ChatMessage], wanted: list[str], tools: Tools = None) -> bool:
        try:
            text = self.renderer.render(messages, thinking=True, tools=tools)
        except UserError:
            return False
        return all(one in text for one in wanted)

    # ---- how a turn ends

    @cached_property
    def end(self) -> str:
        """What it writes for the end of any turn, from the answer's last letter on.

        Empty where it writes none, or not the same.
        """
        common = ""
        for one, other in zip(self._atoms(self.final_end), self._atoms(self._middle_end), strict=False):
            if one != other:
                break
            common += one
        return common.rstrip()

    def end_of_turn(self, following: str, is_last: bool, calls: bool) -> tuple[int, bool]:
        """(how many characters of what follows a turn's text belong to that turn, whether something ends it).

        following: up to the next text that people wrote. calls: tool calls stand between the text and the end.
        """
        if calls:
            return self._end_of_calls(following, is_last)
        end = self.end
        if not end or not following.startswith(end):
            end = self._leading_run(following)
        length = len(end)
        return length, length > 0

    def _end_of_calls(self, following: str, is_last: bool) -> tuple[int, bool]:
        """Where a turn ends that calls tools: at the end of any turn, else before what begins the next one."""
        if self.end and self.end in following:
            return following.find(self.end) + len(self.end), True
        found = list(self.control.finditer(following))
        nowhere = len(following) if is_last else None
        asking = next((one.start() for one in found if one[0] in self._asking), nowhere)
        if asking is None:  # the first control token begins what the tool says
            before = following[: found[0].start()] if found else following
            return len(before.rstrip()), False
        inside = [one.end() for one in found if one.end() <= asking]
        if inside:
            return (inside[-1], True)
        return (len(following[:asking].rstrip()), False)

    def _leading_run(self, following: str) -> str:
        """The control tokens a text begins with, blanks between them included, up to one that begins the next turn."""
        length = 0
        while found := self._control_behind_blanks.match(following, length):
            if found[1] in self._openers:
                break
            length = found.end()
        return following[:length]

    @cached_property
    def final_end(self) -> str:
        """What stands behind the last answer of a conversation."""
        return self.placer.skeleton(_probe("user", "assistant"))[0][-1]

    @cached_property
    def _middle_end(self) -> str:
        """What stands behind an answer that is followed by a question."""
        try:
            literals, keys = self.placer.skeleton(_probe("user", "assistant", "user"))
        except UserError:
            return self.final_end
        if (1, "c") not in keys:
            return ""
        return literals[keys.index((1, "c")) + 1]

    @cached_property
    def ending_tokens(self) -> set[str]:
        """Every control token with which a turn begins to end."""
        final = self._leading_run(self.final_end)
        ends = [self.end, final, self._leading_run(self._middle_end) if final else ""]
        return {found[0] for text in ends if (found := self.control.search(text))}

    @cached_property
    def stop_strings(self) -> list[str]:
        """What ends a turn where that is no token of its own: letters, as ChatML's marks are
        for a tokenizer that does not know them.
        """
        if self.end.strip() and not self.control_in(self.end):
            return [self.end]
        return []

    @cached_property
    def _openers(self) -> set[str]:
        """Control tokens that begin a turn: those before a question, and those that ask for an answer."""
        before = self.control_in(self.placer.skeleton(_probe("user"))[0][0])[-1:]
        return {*before, *self._asking}

    @cached_property
    def _asking(self) -> set[str]:
        """Control tokens that ask for an answer."""
        opening, closed = self.renderer.opening(_probe("user")), self.renderer.render(_probe("user"))
        if opening.startswith(closed):
            return set(self.control_in(opening.removeprefix(closed)))
        return set()

    # ---- control tokens

    @cached_property
    def turn_marks(self) -> frozenset[int]:
        """Ids of added tokens with which the template begins turns though its tokenizer does not call them special, as
        DeepSeek's marks of user and assistant. Thinking marks and blanks are none: people write them too."""
        literals, keys = self.placer.skeleton(_probe("user", "assistant"))
        written = "".join(literals[: len(keys)])
        added = self.renderer.tokenizer.added_tokens_decoder.items()
        marks = {
            i: str(token)
            for i, token in added
            if not token.special and str(token).strip() and "think" not in str(token)
        }
        return frozenset(i for i, mark in marks.items() if len(mark) > 1 and mark in written)

    @cached_property
    def control(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.special)) or "(?!)")

    @cached_property
    def _control_behind_blanks(self) -> re.Pattern[str]:
        return re.compile(rf"\s*({self.control.pattern})")

    def control_in(self, text: str) -> list[str]:
        return self.control.findall(text)

    def without_control(self, text: str) -> str:
        return self.control.sub("", text).strip()

    def ids_of(self, tokens: Iterable[str]) -> list[int]:
        return [self.special[token] for token in tokens]

    def _atoms(self, text: str) -> Iterator[str]:
        """A text in parts that are not to be divided: control tokens, marks that
        look like one, words, single characters.
        """
        pattern = rf"(?:{self.control.pattern})|<[^<>\s]*>|\[[^\[\]\s]*\]|\w+|\s|."
        return (found[0] for found in re.finditer(pattern, text, re.DOTALL))


def _probe(*roles: str) -> list[ChatMessage]:
    return [{"role": role, "content": "text"} for role in roles]
