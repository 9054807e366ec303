"""Answers, prompts, stop tokens and token ids of conversations under a chat template."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ...errors import UserError
from ...messages import (
    INLINE_REASONING,
    Conversation,
    Message,
    flatten,
    is_flat,
)
from ..plain_text import Token, as_letters, tokens_within
from .place import (
    SENTINEL,
    Placer,
    Spans,
    unused,
)
from .reasoning import reasoning_within, thinks, with_reasoning, without_blanks
from .render import (
    TRAINED_WITH,
    Answer,
    ChatMessage,
    Renderer,
    Rendering,
    Tools,
    messages_of,
)
from .traits import OPENED, Traits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_TAIL = re.compile(r"\S{0,64}\s+$")  # the blanks at the end of a prompt, with the word before them


class ChatTemplate:
    """The chat template of a tokenizer."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer
        self.renderer = Renderer(tokenizer)
        self.placer = Placer(self.renderer)
        self.traits = Traits(self.renderer, self.placer)
        self._stable: dict[str, bool] = {}
        self._otherwise: dict[str, list[int]] = {}

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase") -> "ChatTemplate":
        """The one of this tokenizer as it is now; what was found out about it is remembered."""
        return _template_of(tokenizer, str(tokenizer.chat_template), str(tokenizer.init_kwargs.get(TRAINED_WITH)))

    # ---- answers and prompts

    def place(self, conversation: Conversation) -> Rendering:
        """Render a conversation and place its answers. Raises UserError where the template refuses it."""
        return self._placed(self.known_form(conversation))

    def prompt(self, conversation: Conversation, thinking: bool = False) -> Rendering:
        """What stands before the assistant's answer to a conversation, just as `place`
        finds it before an answer that is learned.

        thinking: begin with the reasoning, where the template has a place for it. Raises UserError as `place` does.
        """
        answer: Message = {"role": "assistant", "content": unused("".join(turn["content"] for turn in conversation))}
        if thinking and self.has_thinking:
            answer["reasoning"] = SENTINEL.format("reasoning")
        asked = self.known_form([*conversation, answer])
        made = self._placed(asked)
        if not made.answers or made.answers[-1].turn != len(asked) - 1:
            why = next(iter(made.problems.values()), "it writes no answer")
            raise UserError(
                "template.no_place",
                "The model's chat template leaves no place for an answer: {why}. Choose another model, or another "
                "template.",
                why=why,
            )
        end = made.answers[-1].start
        return Rendering(made.text[:end], [span for span in made.contents if span[1] <= end], made.answers[:-1])

    def answer_of(self, conversation: Conversation) -> tuple[str, str] | None:
        """(reasoning, answer) of the last turn in the words that a model has to write: a call as the template writes
        calls, and without what the template itself writes around them. None where that turn cannot be placed."""
        conversation = self.known_form(conversation)
        made = self._placed(conversation)
        if not made.answers or made.answers[-1].turn != len(conversation) - 1:
            return None
        written = made.text[made.answers[-1].start : made.answers[-1].end]
        if thinks(conversation):
            return self.split_reasoning(written, begun=True)
        return "", self.traits.without_control(written)

    def asked_otherwise(self, conversation: Conversation) -> list[int]:
        """Which learned answers, counted from 0, the template writes otherwise once the conversation goes on: without
        their reasoning, or behind another prompt than the one they are answers to.

        Raises UserError where the template refuses it.
        """
        conversation = self.known_form(conversation)
        shape = repr(
            [(one["role"], bool(one["content"]), bool(one.get("reasoning")), one.get("train")) for one in conversation]
        )
        if any("tool_calls" in one or "tools" in one for one in conversation):
            return self._asked_otherwise(conversation)
        if shape not in self._otherwise:
            self._otherwise[shape] = self._asked_otherwise(conversation)
        return self._otherwise[shape]

    def _asked_otherwise(self, conversation: Conversation) -> list[int]:
        whole = self._placed(conversation)
        there = {answer.turn: whole.text[: answer.start] for answer in whole.answers}
        turns = [turn for turn, one in enumerate(conversation) if one["role"] == "assistant"]
        found = []
        for number, turn in enumerate(turns[:-1]):
            alone = self._placed(conversation[: turn + 1])
            is_placed = bool(alone.answers) and alone.answers[-1].turn == turn
            if is_placed and alone.answers[-1].is_learned and there.get(turn) != alone.text[: alone.answers[-1].start]:
                found.append(number)
        return found

    # ---- reasoning and how it was trained

    @property
    def has_thinking(self) -> bool:
        """Can the model be asked to reason first, and not to?"""
        return self.traits.has_thinking

    @property
    def thinks_by_default(self) -> bool:
        """As most rows did that were learned from."""
        return bool(self.renderer.trained_with.get("thinking")) and self.has_thinking

    @property
    def system(self) -> str:
        """The system text that all rows had that were learned from; empty where there was none, or several."""
        return str(self.renderer.trained_with.get("system") or "")

    def split_reasoning(self, text: str, begun: bool = False) -> tuple[str, str]:
        """(reasoning, answer) of what a model wrote, control tokens included, from which those of the answer are taken.

        begun: it was asked to reason, so what it wrote is reasoning for as long as nothing ends that.
        """
        opening, close = self.traits.reasoning_marks
        head, found, answer = text.partition(close.strip() or "</think>")
        is_open = begun and text.lstrip().startswith(
            opening.strip()
        )  # of some templates the prompt has opened it already
        if not found and not is_open:
            return "", self.traits.without_control(text)
        reasoning = head.strip().removeprefix(opening.strip()).removeprefix("<think>")
        return self.traits.without_control(reasoning), self.traits.without_control(answer)

    # ---- what ends an answer

    def stop_ids(self, thinking: bool = False, generation_eos: int | Sequence[int] | None = None) -> list[int]:
        """Ids of the tokens that end an answer: of the template, the tokenizer and the
        model's `generation_config.eos_token_id`.

        thinking: a token that ends the reasoning too, as harmony's <|end|>, ends no answer then.
        """
        given = [generation_eos] if isinstance(generation_eos, int) else list(generation_eos or [])
        ids = {self.tokenizer.eos_token_id, *given, *self.traits.ids_of(self.traits.ending_tokens)} - {None}
        if thinking:
            ids -= set(self.traits.ids_of(self.traits.control_in(self.traits.reasoning_marks[1])))
        return sorted(ids)

    @property
    def stop_strings(self) -> list[str]:
        """What ends an answer where that is no token of its own."""
        return self.traits.stop_strings

    # ---- tokens

    def encode_all(self, renderings: Sequence[Rendering]) -> list[list[Token]]:
        """The tokens of each rendering.

        A control token within what people wrote becomes the tokens of its letters, and no
        token reaches from a prompt into an answer.
        """
        if not renderings:
            return []
        made = self.tokenizer(
            [one.text for one in renderings],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        found = []
        for one, ids, offsets in zip(renderings, made["input_ids"], made["offset_mapping"], strict=True):
            tokens = [(i, a, b) for i, (a, b) in zip(ids, offsets, strict=True)]
            if borders := self._unclean_borders(one, tokens):
                tokens = self._in_pieces(one.text, borders)
            found.append(as_letters(self.tokenizer, one.text, one.contents, tokens, self.traits.turn_marks))
        return found

    def prompt_ids(self, conversation: Conversation, thinking: bool | None = None) -> list[int]:
        """Token ids of a prompt: those that stand before a learned answer.

        None: think as most rows did that were learned from.
        """
        if thinking is None:
            thinking = self.thinks_by_default
        return [i for i, _, _ in self.encode_all([self.prompt(conversation, thinking)])[0]]

    def _unclean_borders(self, one: Rendering, tokens: list[Token]) -> list[int]:
        """Where an answer begins before which other tokens would stand without it."""
        starts = {answer.start for answer in one.answers if 0 < answer.start < len(one.text)}
        if not starts:
            return []
        special = set(self.traits.special.values())
        unclean = {start for start in starts if one.text[start - 1].isspace() and not self._is_stable(one.text[:start])}
        reaching = [(a, b) for i, a, b in tokens if b - a > 1 and i not in special]
        unclean |= {start for a, b in reaching for start in starts if a < start < b}
        return sorted(unclean)

    def _is_stable(self, before: str) -> bool:
        """Has the end of a prompt, which is a blank, the same tokens alone as with a letter behind it?"""
        found = _TAIL.search(before)
        tail = found[0] if found else ""
        if tail not in self._stable:
            alone, followed = (
                self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (tail, f"{tail}a")
            )
            self._stable[tail] = followed[: len(alone)] == alone
        return self._stable[tail]

    def _in_pieces(self, text: str, borders: list[int]) -> list[Token]:
        tokens: list[Token] = []
        for a, b in zip([0, *borders], [*borders, len(text)], strict=True):
            tokens += [
                (i, a + start, a + end) for i, start, end in tokens_within(self.tokenizer, text[a:b], is_inside=a > 0)
            ]
        return tokens

    # ---- conversations as the template knows them

    def known_form(self, conversation: Conversation) -> Conversation:
        """The conversation with what the template has no place for said in words."""
        if not is_flat(conversation) and (not self.traits.knows_tools or self._spells_control(conversation)):
            conversation = flatten(conversation, keep_reasoning=True)
        return [self._reasoning_apart(turn) if turn["role"] == "assistant" else turn for turn in conversation]

    def _reasoning_apart(self, turn: Message) -> Message:
        """Reasoning as a part of its own, where the template has a place for it or would cut it out.

        Else within the text.
        """
        if not (self.traits.knows_reasoning or self.traits.drops_reasoning):
            return reasoning_within(turn)
        inline = INLINE_REASONING.fullmatch(turn["content"])
        if "reasoning" in turn or not inline:
            return turn
        reasoning, content = (part.strip("\n") for part in inline.groups())
        return {**turn, "reasoning": reasoning, "content": content}

    def _spells_control(self, conversation: Conversation) -> bool:
        """Does a tool or a call, of which nobody knows where it will stand, spell a control token?"""
        texts = [text for turn in conversation for text in (turn.get("tools"), turn.get("tool_calls"))]
        return any(self.traits.control_in(text) for text in texts if text)

    def _tools(self, conversation: Conversation) -> Tools:
        told = conversation[0].get("tools")
        if not told or not self.traits.knows_tools:
            return None
        tools = json.loads(told)
        if isinstance(tools, list):
            return tools
        return [tools]

    # ---- placing answers

    def _placed(self, conversation: Conversation) -> Rendering:
        """`conversation`: in its known form."""
        messages, tools = messages_of(conversation, not self.traits.drops_reasoning), self._tools(conversation)
        thinking = thinks(conversation)
        text = self.renderer.render(messages, thinking, tools)
        spans = self.placer.place(text, messages, thinking, tools)
        made = Rendering(
            text,
            self._written_parts(text, messages, spans, thinking, tools),
            [],
            left_out=self._left_out(text, messages, spans, thinking, tools),
        )
        for turn, one in enumerate(conversation):
            if one["role"] == "assistant":
                made = self._with_answer(made, turn, one, messages, spans, tools, thinking)
        return made

    def _written_parts(
        self, text: str, messages: list[ChatMessage], spans: Spans, thinking: bool, tools: Tools
    ) -> list[tuple[int, int]]:
        """Where letters stand that people wrote, as far as control tokens could be among them."""
        parts = list(spans.values())
        for turn, message in enumerate(messages):
            if (turn, "c") not in spans and self.traits.control_in(message["content"]):
                parts += self.placer.typed(text, messages, turn, self.traits.control, thinking, tools)
        return sorted(set(parts))

    def _left_out(
        self, text: str, messages: list[ChatMessage], spans: Spans, thinking: bool, tools: Tools
    ) -> tuple[int, ...]:
        """The turns of system, user and tools that the template does not write."""
        missing = (
            turn for turn, message in enumerate(messages) if message["role"] != "assistant" and (turn, "c") not in spans
        )
        return tuple(
            turn
            for turn in missing
            if messages[turn]["content"].strip() and self.placer.written_nowhere(text, messages, turn, thinking, tools)
        )

    def _with_answer(
        self,
        made: Rendering,
        turn: int,
        one: Message,
        messages: list[ChatMessage],
        spans: Spans,
        tools: Tools,
        thinking: bool,
    ) -> Rendering:
        """The rendering with the answer of a turn, or with why it has none."""
        calls, is_last = "tool_calls" in messages[turn], turn == len(messages) - 1
        start, end = self._text_of_turn(made.text, turn, messages, spans, tools, thinking)
        if start is None or end is None:
            return _problem(made, turn, one, "the model's chat template does not write it")
        told = made.text[slice(*spans.get((turn, "c"), (0, 0)))]
        if told.strip() != one["content"].strip() and not (calls and not told):
            return _problem(made, turn, one, f"the model's chat template writes {told[:40]!r} in its place")
        next_text = min(
            (a for (later, _), (a, _) in spans.items() if later > turn and a >= end), default=len(made.text)
        )
        length, has_end = self.traits.end_of_turn(made.text[end:next_text], is_last, calls)
        if not has_end and is_last and self.tokenizer.eos_token:  # nothing else would teach the model to stop
            made = replace(made, text=made.text[: end + length] + self.tokenizer.eos_token)
            length += len(self.tokenizer.eos_token)
        if tools or any(
            "tool_calls" in message for message in messages[:turn]
        ):  # the model chooses between an answer and a call
            opening = self.renderer.opening(messages[:turn], tools=tools)
            if opening and made.text.startswith(opening.rstrip(" ")):
                start = min(start, without_blanks(opening))
        answer = Answer(turn, start, end + length, one.get("train", True))
        if not one.get("reasoning"):
            return replace(made, answers=[*made.answers, answer])
        opening = self.renderer.opening(messages[:turn], True, tools)
        if (turn, "r") in spans:
            before = made.text[: spans[turn, "r"][0]]
            if before.startswith(opening):
                before = opening
            return replace(made, answers=[*made.answers, replace(answer, start=without_blanks(before))])
        if not is_last or not OPENED.search(opening):
            return _problem(made, turn, one, "the model's chat template leaves its reasoning out there")
        return with_reasoning(made, answer, one["reasoning"], opening, spans.get((turn, "c"), (start, start))[0])

    def _text_of_turn(
        self, text: str, turn: int, messages: list[ChatMessage], spans: Spans, tools: Tools, thinking: bool
    ) -> tuple[int | None, int | None]:
        """(where a turn begins, where its text ends)"""
        if (turn, "c") in spans:
            a, b = spans[turn, "c"]
            return without_blanks(text[:a]), b
        if messages[turn]["content"].strip() and "tool_calls" not in messages[turn]:
            return None, None
        # It says nothing, or calls a tool and no more: it begins where an answer would that said something.
        sentinel = unused(text)
        speaking = {**messages[turn], "content": sentinel}
        around = self.renderer.parts([*messages[:turn], speaking, *messages[turn + 1 :]], sentinel, thinking, tools)
        if len(around) == 2 and text.startswith(around[0]) and text.endswith(around[1]):
            return without_blanks(around[0]), len(text) - len(around[1])
        alone = {"role": "assistant", "content": sentinel}
        answered = (self.renderer.parts([*messages[:turn], alone], sentinel, tools=tools) or [""])[0]
        for before in (answered, self.renderer.opening(messages[:turn], tools=tools)):
            start = without_blanks(before)
            if start and text.startswith(before[:start]):
                return start, start
        return None, None


@lru_cache(maxsize=8)
def _template_of(tokenizer: "PreTrainedTokenizerBase", template: str, trained_with: str) -> ChatTemplate:
    return ChatTemplate(tokenizer)


def _problem(made: Rendering, turn: int, one: Message, why: str) -> Rendering:
    if one.get("train", True):
        return replace(made, problems={**made.problems, turn: why})
    return made
