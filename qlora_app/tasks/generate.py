"""Answers of a causal language model, from the prompts that its training taught."""

from collections.abc import Sequence
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

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENS_AT_ONCE = 16_384  # of prompts and answers: what a model remembers of each token takes memory
LEAST_ROOM = 16  # tokens that an answer may have at the least


@dataclass(frozen=True)
class Prompt:
    """Token ids of a prompt that fits the model, how many tokens its answer may have,
    and what was left out of it, in words.
    """

    ids: list[int]
    room: int
    note: str = ""


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
) -> Prompt:
    """The prompt of a conversation for an answer of at most `wanted` tokens.

    Where the model reads too few tokens for both, first the answer's room shrinks, down to an eighth of all; then the
    oldest turns go, but never the system text and the last turn; then the middle of what is left.
    """
    template = ChatTemplate.of(tokenizer)
    ids = template.prompt_ids(conversation, thinking)
    if context is None or len(ids) + wanted <= context:
        return Prompt(ids, wanted)
    most = context - min(wanted, max(LEAST_ROOM, context // 8))
    turns = 0
    while len(ids) > most and (shorter := _without_oldest(conversation)) is not None:
        turns += len(conversation) - len(shorter)
        conversation = shorter
        ids = template.prompt_ids(conversation, thinking)
    notes = []
    if turns == 1:
        notes.append("the oldest turn was not read")
    elif turns:
        notes.append(f"the {turns} oldest turns were not read")
    if (too_many := len(ids) - most) > 0:
        ids = [*ids[: most // 2], *ids[len(ids) - (most - most // 2) :]]
        notes.append(f"{too_many:,} tokens in the middle of it were not read")
    note = ""
    if notes:
        note = f"The model reads at most {context:,} tokens, and this is longer: {' and '.join(notes)}."
    return Prompt(ids, min(wanted, max(1, context - len(ids))), note)


def _without_oldest(conversation: Conversation) -> Conversation | None:
    """The conversation without its oldest question and what was answered to it.

    None where only the last question is left.
    """
    head = 1 if conversation[0]["role"] == "system" else 0
    later = [place for place, turn in enumerate(conversation) if turn["role"] == "user" and place > head]
    if not later:
        return None
    kept = [*conversation[:head], *conversation[later[0] :]]
    if "tools" in conversation[0] and not head:
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
                new = model.generate(**inputs, max_new_tokens=prompts[0].room, use_cache=True, **ending, **how)
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
