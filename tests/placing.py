"""Where the answers of a conversation stand in a chat template's rendering, found without the code that is tested.

An answer's place is where a word that stands nowhere else comes out when the answer is exchanged for it: what stands before and behind
that word is the template's, whatever the answer says.
"""

from dataclasses import dataclass
from typing import Any

from tests.chat_templates import Kind

WORD = "Zqxwvblgr"  # in no template and in no content
THOUGHT = "Zqxwvthgt"


@dataclass(frozen=True)
class Place:
    """Of one answer, in characters of the rendering: learned for certain is [begin, end), nothing outside [first, last).

    first is before begin where the template writes something between the role's header and the answer that the prompt may hold or leave
    to the model; last is behind end where two readings of a turn's end hold.
    """

    turn: int
    first: int
    begin: int
    said: int
    end: int
    last: int


def render(tokenizer: Any, conversation: list[dict], kind: Kind, **how: Any) -> str:
    """By transformers, with reasoning under the template's own name for it."""
    turns = [{kind.reasoning or "reasoning" if name == "reasoning" else name: value for name, value in turn.items() if name != "train"}
             for turn in conversation]
    return tokenizer.apply_chat_template(turns, tokenize=False, **how)


def learned_turns(conversation: list[dict]) -> list[int]:
    return [place for place, turn in enumerate(conversation) if turn["role"] == "assistant" and turn.get("train", True)]


def places(tokenizer: Any, conversation: list[dict], kind: Kind) -> tuple[str, list[Place]]:
    """(the rendering, where each answer that is learned stands in it)."""
    text = render(tokenizer, conversation, kind)
    return text, [_place(tokenizer, conversation, turn, kind, text) for turn in learned_turns(conversation)]


def _place(tokenizer: Any, conversation: list[dict], turn: int, kind: Kind, text: str) -> Place:
    before, after = _around(tokenizer, conversation, turn, kind, WORD, "content")
    begin, said = len(before), len(text) - len(after)
    if not text.startswith(before) or not text.endswith(after) or said < begin:  # the answer changes what stands around it
        begin, said = _alike(text, before), len(text) - _alike(text[::-1], after[::-1])
        begin = min(begin, said)
    first = begin - len(before) + len(before.rstrip(" ")) if text.startswith(before) else begin
    header = _header(tokenizer, conversation[:turn], kind)
    if header and header in text[:begin]:
        first = min(first, text[:begin].rindex(header) + len(header))
    reasoning = conversation[turn].get("reasoning")
    if reasoning and kind.reasoning:
        shown, _ = _around(tokenizer, conversation, turn, kind, THOUGHT, "reasoning")
        if text.startswith(shown) and len(shown) < begin:
            begin = len(shown)
            first = min(first, text[:begin].rindex(header) + len(header)) if header in text[:begin] else begin
    ends = [said + len(end) for end in kind.ends(turn == len(conversation) - 1) if text[said:].startswith(end)]
    ends = ends or [said]
    return Place(turn, first, begin, said, min(ends), max(ends))


def _around(tokenizer: Any, conversation: list[dict], turn: int, kind: Kind, word: str, name: str) -> tuple[str, str]:
    marked = [*conversation[:turn], {**conversation[turn], name: word}, *conversation[turn + 1:]]
    text = render(tokenizer, marked, kind)
    if word not in text:  # written nowhere
        return text, ""
    assert text.count(word) == 1
    before, _, after = text.partition(word)
    return before, after


def _header(tokenizer: Any, asked: list[dict], kind: Kind) -> str:
    """What the generation prompt adds, in its shortest form."""
    without = render(tokenizer, asked, kind)
    switches = [{}, *({kind.thinking: value} for value in (True, False) if kind.thinking)]
    prompts = [render(tokenizer, asked, kind, add_generation_prompt=True, **switch) for switch in switches]
    return min((prompt[_alike(prompt, without):] for prompt in prompts), key=len)


def _alike(one: str, other: str) -> int:
    """How many letters both begin with."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@dataclass(frozen=True)
class Expected:
    """Token ids of a rendering and what the mask may be: 1 learned, 0 not, None where both hold. `split`: a token spans an answer's edge."""

    text: str
    ids: list[int]
    mask: list[int | None]
    split: bool


def expected(tokenizer: Any, conversation: list[dict], kind: Kind) -> Expected:
    """Where the template ends no answer, the tokenizer's end token stands behind the last one, and what follows is left out."""
    text, found = places(tokenizer, conversation, kind)
    is_endless = not kind.end and bool(found) and found[-1].turn == len(conversation) - 1
    if is_endless:
        text = text[:found[-1].said]
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, mask, split = list(made["input_ids"]), [], False
    for begin, end in made["offset_mapping"]:
        must = any(begin < place.end and end > place.begin and begin < end for place in found)
        may = any(begin <= place.last and end >= place.first for place in found if begin == end)
        may = may or any(begin < place.last and end > place.first for place in found)
        beyond = must and not any(begin >= place.first and end <= place.last for place in found)
        split = split or beyond
        mask.append(None if beyond or (may and not must) else int(must))
    if is_endless:
        text, ids, mask = text + tokenizer.eos_token, [*ids, tokenizer.eos_token_id], [*mask, 1]
    return Expected(text, ids, mask, split)
