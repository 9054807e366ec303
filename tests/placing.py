"""Where the answers of a conversation stand in a chat template's rendering, found without the code that is tested.

An answer's place is where a word that stands nowhere else comes out when the answer is exchanged for it: what stands
before and behind that word is the template's, whatever the answer says.
"""

from dataclasses import dataclass
from typing import Any

from tests.chat_templates import Kind

WORD = "Zqxwvblgr"  # in no template and in no content
THOUGHT = "Zqxwvthgt"


@dataclass(frozen=True)
class Place:
    """Of one answer, in characters of the rendering: learned for certain is [begin, end), nothing outside [first,
    last).

    first is before begin where the template writes something between the role's header and the answer that the prompt
    may hold or leave to the model; last is behind end where two readings of a turn's end hold. Where the template drops
    the answer's reasoning, begin is end: to learn the answer without it and to leave the turn out are both right.
    """

    turn: int
    first: int
    begin: int
    said: int
    end: int
    last: int


def switches(kind: Kind) -> list[dict[str, bool]]:
    """The ways in which a rendering may be asked for: as the template has it, and with its thinking switched on or
    off.
    """
    return [{}, *({kind.thinking: value} for value in (False, True) if kind.thinking)]


def render(tokenizer: Any, conversation: list[dict], kind: Kind, **how: Any) -> str:
    """By transformers, with reasoning under the template's own name for it."""
    turns = [
        {
            kind.reasoning or "reasoning" if name == "reasoning" else name: value
            for name, value in turn.items()
            if name != "train"
        }
        for turn in conversation
    ]
    return tokenizer.apply_chat_template(turns, tokenize=False, **how)


def learned_turns(conversation: list[dict]) -> list[int]:
    return [place for place, turn in enumerate(conversation) if turn["role"] == "assistant" and turn.get("train", True)]


def places(tokenizer: Any, conversation: list[dict], kind: Kind, **how: Any) -> tuple[str, list[Place]]:
    """(the rendering, where each answer stands in it, those that are not to be learned, too)."""
    text = render(tokenizer, conversation, kind, **how)
    turns = [place for place, turn in enumerate(conversation) if turn["role"] == "assistant"]
    return text, [_place(tokenizer, conversation, turn, kind, text, how) for turn in turns]


def _place(tokenizer: Any, conversation: list[dict], turn: int, kind: Kind, text: str, how: dict[str, bool]) -> Place:
    before, after = _around(tokenizer, conversation, turn, kind, WORD, "content", how)
    begin, said = len(before), len(text) - len(after)
    if (
        not text.startswith(before) or not text.endswith(after) or said < begin
    ):  # the answer changes what stands around it
        begin, said = _alike(text, before), len(text) - _alike(text[::-1], after[::-1])
        begin = min(begin, said)
    first = begin - len(before) + len(before.rstrip(" ")) if text.startswith(before) else begin
    header = _header(tokenizer, conversation[:turn], kind)
    if header and header in text[:begin]:
        first = min(first, text[:begin].rindex(header) + len(header))
    reasoning = conversation[turn].get("reasoning")
    if reasoning and kind.reasoning:
        shown, _ = _around(tokenizer, conversation, turn, kind, THOUGHT, "reasoning", how)
        is_lost = shown == text
        if not is_lost and text.startswith(shown):
            begin = len(shown)
            first = min(first, text[:begin].rindex(header) + len(header)) if header in text[:begin] else begin
        if is_lost:
            return Place(turn, first, said, said, said, max([said, *_ends(text, said, turn, conversation, kind)]))
    ends = _ends(text, said, turn, conversation, kind) or [said]
    return Place(turn, first, begin, said, min(ends), max(ends))


def _ends(text: str, said: int, turn: int, conversation: list[dict], kind: Kind) -> list[int]:
    return [said + len(end) for end in kind.ends(turn == len(conversation) - 1) if text[said:].startswith(end)]


def _around(
    tokenizer: Any, conversation: list[dict], turn: int, kind: Kind, word: str, name: str, how: dict[str, bool]
) -> tuple[str, str]:
    marked = [*conversation[:turn], {**conversation[turn], name: word}, *conversation[turn + 1 :]]
    text = render(tokenizer, marked, kind, **how)
    if word not in text:  # written nowhere
        return text, ""
    assert text.count(word) == 1
    before, _, after = text.partition(word)
    return before, after


def _header(tokenizer: Any, asked: list[dict], kind: Kind) -> str:
    """What the generation prompt adds, in its shortest form."""
    added = []
    for switch in switches(kind):
        without = render(tokenizer, asked, kind, **switch)
        prompt = render(tokenizer, asked, kind, add_generation_prompt=True, **switch)
        added.append(prompt[_alike(prompt, without) :])
    return min(added, key=len)


def _alike(one: str, other: str) -> int:
    """How many letters both begin with."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


@dataclass(frozen=True)
class Expected:
    """Token ids of a rendering and what the mask may be: 1 learned, 0 not, None where both hold. `split`: a token spans
    an edge.
    """

    text: str
    ids: list[int]
    mask: list[int | None]
    split: bool


def expected(tokenizer: Any, conversation: list[dict], kind: Kind, **how: bool) -> Expected:
    """Where the template ends no answer, the tokenizer's end token stands behind the last one, and what follows is left
    out.
    """
    text, every = places(tokenizer, conversation, kind, **how)
    found = [place for place in every if place.turn in learned_turns(conversation)]
    is_endless = not kind.end and bool(found) and found[-1].turn == len(conversation) - 1
    if is_endless:
        text = text[: found[-1].said]
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, mask, split = list(made["input_ids"]), [], is_endless and text != text.rstrip(" ")
    for begin, end in made["offset_mapping"]:
        must = any(begin < place.end and end > place.begin and begin < end for place in found)
        may = any(begin <= place.last and end >= place.first for place in found if begin == end)
        may = may or any(begin < place.last and end > place.first for place in found)
        is_over = any(_is_over_an_edge(text, begin, end, place) for place in every)
        split = split or is_over
        mask.append(None if is_over or (may and not must) else int(must))
    if is_endless:
        text, ids, mask = text + tokenizer.eos_token, [*ids, tokenizer.eos_token_id], [*mask, 1]
    return Expected(text, ids, mask, split)


def _is_over_an_edge(text: str, begin: int, end: int, place: Place) -> bool:
    """Does a token hold letters both of the answer (or, where that is empty, of its end) and of what stands around it?

    A blank that the template writes before an answer is the answer's.
    """
    edges = [place.first, place.said, place.last]
    if text[place.first : place.begin].strip():
        edges.append(place.begin)
    return any(begin < edge < end for edge in edges)
