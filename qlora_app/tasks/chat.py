"""Chat: conversations -> token ids with their loss mask -> batches -> what the held-out examples cost.

Only what the assistant says carries loss, its end-of-turn token included: a model that is not taught to stop goes on talking.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UserError
from ..messages import Conversation
from .packing import IGNORED, on_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NOTHING_TO_LEARN = ("No example has a token to learn from: the prompts alone are longer than the longest example allowed. "
                    "Raise \"Longest example\", or shorten the prompts.")
_HIDDEN = "\ue000"  # a character of nobody's alphabet
# The style of the Guanaco models, for a model that brings no chat template of its own.
GUANACO_TEMPLATE = (
    "{{ bos_token or '' }}{% for m in messages %}{% if m['role'] == 'user' %}### Human: {{ m['content'] }}\n"
    "{% elif m['role'] == 'system' %}{{ m['content'] }}\n"
    "{% else %}### Assistant:{% generation %} {{ m['content'] }}{{ eos_token }}{% endgeneration %}\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}### Assistant:{% endif %}")


class Encoded(NamedTuple):
    """One conversation as the model sees it; both lists have one entry a token."""

    input_ids: list[int]
    labels: list[int]  # the token's id where it carries loss, IGNORED elsewhere
    is_cut: bool  # longer than allowed: its end is missing


def ensure_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Give a tokenizer without a chat template the Guanaco style; it is saved with the adapter."""
    if not tokenizer.chat_template:
        tokenizer.chat_template = GUANACO_TEMPLATE


def prompt(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> str:
    """The text up to where the assistant's answer begins, rendered just as for training."""
    return tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)


def encode(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> Encoded:
    """Token ids and labels of one conversation, or of a plain text, cut at `max_length` tokens.

    Markers and special tokens that somebody wrote into a turn stay plain text: they begin and end nothing.
    Raises UserError when the model's template cannot render the conversation.
    """
    ids, labels = encode_whole(tokenizer, conversation)
    return Encoded(ids[:max_length], labels[:max_length], len(ids) > max_length)


def encode_whole(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> tuple[list[int], list[int]]:
    """(token ids, labels) of a conversation with nothing cut off. Raises UserError as `encode` does."""
    if conversation[0]["role"] == "text":
        ids = _plain_text(tokenizer, conversation[0]["content"])
        learned = [1] * len(ids)
    elif "{% generation" in tokenizer.chat_template and _is_plain(tokenizer, conversation):
        made = _render(tokenizer, conversation, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        ids, learned = made["input_ids"], made["assistant_masks"]
    else:
        ids, learned = _by_spans(tokenizer, _without_special(tokenizer, conversation))
    if all(m.get("train") for m in conversation):  # also the questions, and what the template writes between
        learned = [1] * len(ids)
    return list(ids), [i if said else IGNORED for i, said in zip(ids, learned, strict=True)]


def first_learned(labels: list[int]) -> int:
    """Where the first token with loss stands; their number if there is none. Nothing predicts the very first token."""
    return next((place for place, label in enumerate(labels) if place and label != IGNORED), len(labels))


def has_loss(labels: list[int]) -> bool:
    return first_learned(labels) < len(labels)


def _plain_text(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """As in pretraining: what the tokenizer puts before a text, the text, and the end token, for a model must learn to stop."""
    hidden = _without_special(tokenizer, [{"role": "text", "content": text}])[0]["content"]
    made = tokenizer(hidden, return_offsets_mapping=True)
    ids = [i for i, (a, b) in zip(made["input_ids"], made["offset_mapping"], strict=True) if a == b or hidden[a:b].strip(_HIDDEN)]
    return ids if ids[-1:] == [tokenizer.eos_token_id] else [*ids, tokenizer.eos_token_id]


def _is_plain(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> bool:
    """Every answer is learned, and nobody wrote a special token into a turn: then the template's own marks tell what is learned."""
    special = _special_tokens(tokenizer)
    return all(m.get("train", True) and not any(token in m["content"] for token in special) for m in conversation)


@lru_cache(maxsize=4)
def _special_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    return [str(token) for token in tokenizer.added_tokens_decoder.values() if len(str(token)) > 1]


def _without_special(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> Conversation:
    """Special tokens that a turn spells out, broken up by a character which is dropped again when its token is found."""
    special = [token for token in _special_tokens(tokenizer) if any(token in m["content"] for m in conversation)]

    def broken_up(text: str) -> str:
        for token in special:
            text = text.replace(token, f"{token[0]}{_HIDDEN}{token[1:]}")
        return text
    return [{**m, "content": broken_up(m["content"])} for m in conversation] if special else conversation


def _render(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, **how: Any) -> Any:
    import jinja2

    try:
        return tokenizer.apply_chat_template(conversation, **how)
    except jinja2.TemplateError as error:
        raise UserError(f"The model's chat template refuses a conversation that begins {conversation[0]['content'][:80]!r}: {error}. "
                        "Templates often want user and assistant in turn, and some no system text.") from error


def _by_spans(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> tuple[list[int], list[int]]:
    """(ids, 1 where the token is learned) for a template that does not mark what the assistant says.

    The answer's place is found by rendering the conversation up to it, never by searching for a marker's tokens.
    """
    text, mark = _render(tokenizer, conversation, tokenize=False), _end_of_turn(tokenizer)
    spans = []
    for turn, message in enumerate(conversation):
        if message["role"] != "assistant" or not message.get("train", True):
            continue
        before = _render(tokenizer, conversation[:turn], tokenize=False, add_generation_prompt=True)
        content = message["content"].strip()
        start = text.find(content, len(before)) if text.startswith(before) else -1
        if start >= 0:  # some templates rewrite earlier answers (Qwen3 drops their reasoning): those are not learned
            spans.append((len(before), start + len(content) + len(mark)))
    if spans and not mark:  # nothing would teach the model to stop
        start, end = spans.pop()
        text = text[:end] + tokenizer.eos_token
        spans.append((start, len(text)))
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    places = [(i, a, b) for i, (a, b) in zip(made["input_ids"], made["offset_mapping"], strict=True) if text[a:b] != _HIDDEN]
    return [i for i, _, _ in places], [int(any(a < end and b > start and a < b for start, end in spans)) for _, a, b in places]


def _end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the template writes right after an answer, for example <|im_end|>; empty if nothing."""
    probe = "answer"
    text = _render(tokenizer, [{"role": "user", "content": "question"}, {"role": "assistant", "content": probe}], tokenize=False)
    return text[text.rindex(probe) + len(probe):].strip()


def stop_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Ids of the tokens that end an answer: the tokenizer's end token and the template's end of turn."""
    ends = {tokenizer.eos_token_id}
    mark = tokenizer(_end_of_turn(tokenizer), add_special_tokens=False)["input_ids"]
    if len(mark) == 1:
        ends.add(mark[0])
    return sorted(i for i in ends if i is not None)


class EncodedExamples(Sequence):
    """Conversations, encoded when first asked for: the first step does not wait for the whole dataset."""

    def __init__(self, conversations: list[Conversation], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> None:
        self.conversations = conversations
        self._encode: Callable[[Conversation], Encoded] = lambda c: encode(tokenizer, c, max_length)
        self._known: dict[int, Encoded] = {}

    def __len__(self) -> int:
        return len(self.conversations)

    def encoded(self, index: int) -> Encoded:
        if index not in self._known:
            self._known[index] = self._encode(self.conversations[index])
        return self._known[index]

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        example = self.encoded(index)
        return {"input_ids": example.input_ids, "labels": example.labels}

    def count_cut(self) -> int:
        """How many of the examples seen so far were longer than allowed."""
        return sum(example.is_cut for example in self._known.values())

    def spread(self, most: int) -> list[Encoded]:
        """At most `most` examples from all over the dataset."""
        return [self.encoded(i) for i in range(0, len(self), max(1, len(self) // most))][:most]

    def check_trainable(self) -> None:
        """Raises UserError if no example has a token to learn from."""
        if not any(self._learns(i) for i in range(len(self))):
            raise UserError(NOTHING_TO_LEARN)

    def _learns(self, index: int) -> bool:
        return has_loss(self.encoded(index).labels)


def micro_batches(examples: Sequence[dict[str, list[int]]], size: int, collate: Callable[..., dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for i in range(0, len(examples), size):
        yield collate([examples[j] for j in range(i, min(len(examples), i + size))])


def held_out_loss(model: "PreTrainedModel", batches: list[dict[str, Any]]) -> float:
    """Mean loss a learned token, in nats, over all batches (each token counts the same, however they are batched)."""
    import torch

    was_training = model.training
    model.eval()
    total = tokens = 0.0
    with torch.no_grad():
        for batch in batches:
            count = int((batch["labels"][:, 1:] != IGNORED).sum())
            loss = model(**on_device(batch, model.device), use_cache=False).loss
            total += loss.item() * count if count else 0.0
            tokens += count
    model.train(was_training)
    return total / max(1.0, tokens)


def same_answer(given: str, expected: str) -> bool:
    """Word for word, blanks at the ends aside."""
    return given.strip() == expected.strip()
