"""Answers of a causal language model, from the prompts that its training taught."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..messages import Conversation
from .task import (
    BATCH,
    Answer,
    evaluating,
    in_batches,
)
from .template import ChatTemplate
from .template.going_on import begun_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENS_AT_ONCE = 16_384  # of prompts and answers: what a model remembers of each token takes memory
LEAST_ROOM = 16  # tokens that an answer may have at the least


@dataclass(frozen=True)
class Prompt:
    """Token ids of a prompt that fits the model, how many tokens its answer may have,
    and what was left out of it, in words.

    begun: those at its end that are the beginning of the answer. whole: how many tokens there were before anything was
    left out.
    """

    ids: list[int]
    room: int
    note: str = ""
    begun: tuple[int, ...] = ()
    whole: int = 0


def context_of(model: "PreTrainedModel") -> int | None:
    """How many tokens a model can read; None where nothing limits it."""
    config = model.config.get_text_config(decoder=True)
    return getattr(config, "max_position_embeddings", None)


def prompt_for(
    tokenizer: "PreTrainedTokenizerBase",
    conversation: Conversation,
    context: int | None,
    wanted: int,
    thinking: bool | None = None,
    begun: str = "",
) -> Prompt:
    """The prompt of a conversation for an answer of at most `wanted` tokens. begun: what was said of it already, as a
    text, with which it goes on.

    Where the model reads too few tokens for both, first the answer's room shrinks, down to an eighth of all. Then turns
    go: those after the first question and its answer, the oldest first; where that is not enough, the first ones too,
    but never the system text and the last question. Then the middle of what is left.
    """
    template = ChatTemplate.of(tokenizer)

    def read(shorter: Conversation) -> tuple[list[int], list[int]]:
        if begun:
            return begun_ids(template, shorter, begun)
        return template.prompt_ids(shorter, thinking), []

    before, said = read(conversation)
    ids = [*before, *said]
    if context is None or len(ids) + wanted <= context:
        return Prompt(ids, wanted, begun=tuple(said), whole=len(ids))
    whole = len(ids)
    most = context - min(wanted, max(LEAST_ROOM, context // 8))
    notes = []
    if len(ids) > most and (shorter := _shortened(conversation, lambda one: sum(map(len, read(one))) <= most)):
        conversation, words = shorter
        before, said = read(conversation)
        ids = [*before, *said]
        notes.append(words)
    if (too_many := len(ids) - most) > 0:
        ids = [*ids[: most // 2], *ids[len(ids) - (most - most // 2) :]]
        said = said[-(most - most // 2) :]
        notes.append(f"{too_many:,} tokens in the middle of it were not read")
    note = ""
    if notes:
        note = f"The model reads at most {context:,} tokens, and this is longer: {' and '.join(notes)}."
    return Prompt(ids, min(wanted, max(1, context - len(ids))), note, tuple(said), whole)


def _shortened(conversation: Conversation, fits: Callable[[Conversation], bool]) -> tuple[Conversation, str] | None:
    """The conversation with as many turns as fit, and in words which do not; where nothing fits, the last question
    alone. None where there is only that one.
    """
    head = 1 if conversation[0]["role"] == "system" else 0
    begins = [head, *(place for place, turn in enumerate(conversation) if turn["role"] == "user" and place > head)]
    if len(begins) == 1:
        return None
    first = begins[0] if len(begins) == 2 else begins[1]
    without_middle = [_without(conversation, first, place) for place in begins[2:]]
    if without_middle and fits(without_middle[-1]):
        shorter = without_middle[bisect_left(without_middle, True, key=fits)]
        gone = len(conversation) - len(shorter)
        one = "the turn after the first answer was not read"
        return shorter, one if gone == 1 else f"the {gone} turns after the first answer were not read"
    without_oldest = [_without(conversation, head, place) for place in begins[1:]]
    shorter = without_oldest[min(bisect_left(without_oldest, True, key=fits), len(without_oldest) - 1)]
    gone = len(conversation) - len(shorter)
    return shorter, "the oldest turn was not read" if gone == 1 else f"the {gone} oldest turns were not read"


def _without(conversation: Conversation, start: int, end: int) -> Conversation:
    """Without the turns from `start` up to `end`; a list of tools stays."""
    kept = [*conversation[:start], *conversation[end:]]
    if "tools" in conversation[0] and not start:
        kept[0] = {**kept[0], "tools": conversation[0]["tools"]}
    return kept


def batch_of(tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[Prompt], device: Any) -> dict[str, Any]:
    """Left-padded prompts [conversations, longest] as tensors."""
    padded = tokenizer.pad({"input_ids": [one.ids for one in prompts]}, padding_side="left", return_tensors="pt")
    return dict(padded.to(device))


def how_it_ends(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", thinking: bool) -> dict[str, Any]:
    """Arguments of `generate` that end an answer."""
    template = ChatTemplate.of(tokenizer)
    ends = template.stop_ids(thinking, _end_ids(model))
    letters = {}
    if template.stop_strings:
        letters = {"stop_strings": template.stop_strings, "tokenizer": tokenizer}
    return {"eos_token_id": ends, "pad_token_id": tokenizer.pad_token_id, **letters}


def _end_ids(model: "PreTrainedModel") -> Any:
    settings = getattr(model, "generation_config", None)
    return getattr(settings, "eos_token_id", None)


def read_answer(
    tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], ends: Sequence[int], thinking: bool
) -> Answer:
    """What token ids say, up to the first that ends an answer."""
    template = ChatTemplate.of(tokenizer)
    last = next((place for place, i in enumerate(ids) if i in ends), None)
    note = list(ids[:last])
    text = tokenizer.decode(note, skip_special_tokens=not thinking)
    reasoning = ""
    if thinking:
        reasoning, text = template.split_reasoning(text, begun=True)
    stop = next((stop for stop in template.stop_strings if stop in text), None)
    if stop:
        text = text.partition(stop)[0]
    return Answer(text.strip(), reasoning, last is not None or stop is not None)


def generate_all(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[Conversation],
    base: bool = False,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    batch: int = BATCH,
    thinking: bool | Sequence[bool] | None = None,
) -> list[Answer]:
    """An answer to each conversation; `base` switches the adapter off.

    Leaves mode, random state and adapter as they were.

    thinking: whether to reason first, for all or for each; None as most rows did that were learned from.
    """
    import torch

    how = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
    if not base and getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        batch = 1  # a learned prefix stands before the row: padding would come between it and the shorter texts
    default = ChatTemplate.of(tokenizer).thinks_by_default
    if thinking is None:
        thinking = default
    thinks = [thinking] * len(conversations) if isinstance(thinking, bool) else list(thinking)
    context = context_of(model)
    made = [
        prompt_for(tokenizer, one, context, max_new_tokens, think)
        for one, think in zip(conversations, thinks, strict=True)
    ]
    answers: dict[int, Answer] = {}  # by place
    with evaluating(model, base), torch.random.fork_rng():
        torch.manual_seed(0)
        for think in sorted(set(thinks)):
            ending = how_it_ends(model, tokenizer, think)
            for places in _together([place for place, one in enumerate(thinks) if one == think], made, batch):
                prompts = [made[place] for place in places]
                inputs = batch_of(tokenizer, prompts, model.device)
                new = model.generate(
                    **inputs,
                    max_new_tokens=prompts[0].room,
                    use_cache=True,
                    synced_gpus=False,  # of several processes that share a base one alone answers
                    **ending,
                    **how,
                )
                for place, ids in zip(places, new[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
                    answers[place] = replace(
                        read_answer(tokenizer, ids, ending["eos_token_id"], think), note=made[place].note
                    )
    return [answers[place] for place in range(len(made))]


def _together(places: list[int], prompts: Sequence[Prompt], batch: int) -> list[Sequence[int]]:
    """Batches of prompts with the same room for an answer, so that nobody's answer is shorter because of a neighbour.

    No more at once than a training's memory bears.
    """
    rooms: dict[int, list[int]] = {}
    for place in places:
        rooms.setdefault(prompts[place].room, []).append(place)
    batches: list[Sequence[int]] = []
    for room, same in rooms.items():
        longest = room + max(len(prompts[place].ids) for place in same)
        batches += in_batches(same, max(1, min(batch, TOKENS_AT_ONCE // longest)))
    return batches
