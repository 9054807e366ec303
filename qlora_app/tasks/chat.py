"""Chat: conversations -> token ids with their loss mask -> batches -> what the held-out examples cost.

Only what the assistant says carries loss, what ends its turn included: a model that is not taught to stop goes on
talking.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import Problem, UserError
from ..messages import IGNORED, Conversation
from .generate import generate_all
from .one_answer import one_answer_each
from .packing import collator
from .plain_text import plain_all
from .task import (
    BATCH,
    Answer,
    Question,
    Task,
    learned_turns,
)
from .template import ChatTemplate, Rendering
from .token_cache import Encoded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NOTHING_TO_LEARN = Problem(
    "task.nothing_to_learn",
    "No example has a token to learn from: what comes before the answers is longer than the longest "
    "example allowed, or the model's chat template leaves the answers out. Look at the data, or raise "
    '"Longest example".',
)
# The style of the Guanaco models, for a model that brings no chat template of its own.
GUANACO_TEMPLATE = (
    "{{ bos_token or '' }}{% for m in messages %}{% if m['role'] == 'user' %}### Human: {{ m['content'] }}\n"
    "{% elif m['role'] == 'system' %}{{ m['content'] }}\n"
    "{% else %}### Assistant:{% generation %} {{ m['content'] }}{{ eos_token }}{% endgeneration %}\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}### Assistant:{% endif %}"
)


def ensure_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Give a tokenizer without a chat template the Guanaco style; it is saved with the adapter."""
    if not tokenizer.chat_template:
        tokenizer.chat_template = GUANACO_TEMPLATE


def encode(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> Encoded:
    """Token ids and labels of one conversation, or of a plain text, cut at `max_length` tokens.

    Markers and control tokens that somebody wrote into a turn stay plain text: they begin and end nothing.
    Raises UserError when the model's template cannot render the conversation.
    """
    ids, labels, is_partial = _whole(tokenizer, [conversation])[0]
    return Encoded(ids[:max_length], labels[:max_length], len(ids) > max_length, is_partial)


def encode_whole(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> tuple[list[int], list[int]]:
    """(token ids, labels) of a conversation with nothing cut off. Raises UserError as `encode` does."""
    return _whole(tokenizer, [conversation])[0][:2]


def encode_all(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation], max_length: int
) -> list[Encoded]:
    """The examples of many conversations, cut into tokens together, which is quicker than one after another.

    One that the template refuses becomes an example without tokens.
    """
    renderings = [_rendered(tokenizer, one) for one in conversations]
    accepted = [one for one, made in zip(conversations, renderings, strict=True) if made is not None]
    whole = iter(_whole(tokenizer, accepted, [made for made in renderings if made is not None]))
    encoded = []
    for made in renderings:
        ids, labels, is_partial = next(whole) if made is not None else ([], [], False)
        encoded.append(Encoded(ids[:max_length], labels[:max_length], len(ids) > max_length, is_partial))
    return encoded


def why_not_learned(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> str:
    """Why nothing of a conversation, or not every answer in it, can be learned; empty where all of it can."""
    if _is_text(conversation):
        is_learned = has_loss(encode(tokenizer, conversation, max_length).labels)
        if is_learned:
            return ""
        return "it has a single token, and nothing predicts the first one"
    try:
        made = ChatTemplate.of(tokenizer).place(conversation)
        labels = encode_whole(tokenizer, conversation)[1]
    except UserError as error:
        return str(error)
    reasons = [f"turn {turn + 1}: the model's chat template does not write it" for turn in made.left_out]
    reasons += [f"answer {number}: {why}" for number, why in _numbered(made)]
    if not reasons and not has_loss(labels):
        return "none of its answers is to be learned"
    if not reasons and first_learned(labels) >= min(len(labels), max_length):
        return (
            f"what comes before its answer has {first_learned(labels):,} tokens, and the longest example allowed has "
            f"{max_length:,}: "
            "nothing of the answer is left"
        )
    return "; ".join(reasons)


def _numbered(made: Rendering) -> Iterator[tuple[int, str]]:
    """(which answer, why it is not learned), counted from 1."""
    turns = [*(answer.turn for answer in made.answers), *made.problems]
    for turn, why in made.problems.items():
        yield sorted(turns).index(turn) + 1, why


def first_learned(labels: list[int]) -> int:
    """Where the first token with loss stands; their number if there is none. Nothing predicts the very first token."""
    return next((place for place, label in enumerate(labels) if place and label != IGNORED), len(labels))


def has_loss(labels: list[int]) -> bool:
    return first_learned(labels) < len(labels)


def _is_text(conversation: Conversation) -> bool:
    return conversation[0]["role"] == "text"


def _rendered(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> Rendering | None:
    """None where the template refuses it; of a plain text, which needs none, its own words."""
    if _is_text(conversation):
        return Rendering(conversation[0]["content"], [], [])
    try:
        return ChatTemplate.of(tokenizer).place(conversation)
    except UserError:
        return None


def _whole(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[Conversation],
    renderings: Sequence[Rendering] | None = None,
) -> list[tuple[list[int], list[int], bool]]:
    """[(token ids, labels, whether an answer that was to be learned is not)]"""
    template = ChatTemplate.of(tokenizer)
    if renderings is None:
        renderings = [Rendering("", [], []) if _is_text(one) else template.place(one) for one in conversations]
    texts = [place for place, one in enumerate(conversations) if _is_text(one)]
    talks = [place for place, one in enumerate(conversations) if not _is_text(one)]
    made: list[Any] = [None] * len(conversations)
    for place, ids in zip(
        texts, _plain_texts(tokenizer, [conversations[place][0]["content"] for place in texts]), strict=True
    ):
        made[place] = ids, list(ids), False
    for place, tokens in zip(talks, template.encode_all([renderings[place] for place in talks]), strict=True):
        ids, one = [i for i, _, _ in tokens], renderings[place]
        if all(
            [turn.get("train") for turn in conversations[place]]
        ):  # also the questions, and what the template writes between
            made[place] = ids, list(ids), False
            continue
        spans = [(answer.start, answer.end) for answer in one.answers if answer.is_learned]
        labels = [i if any([start <= a < end for start, end in spans]) else IGNORED for i, a, _ in tokens]
        made[place] = ids, labels, bool(one.problems or one.left_out)
    return made


def _plain_texts(tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> list[list[int]]:
    """As in pretraining: what the tokenizer puts before a text, the text, and the end
    token, for a model must learn to stop.
    """
    if not texts:
        return []
    encoded = [one.ids for one in plain_all(tokenizer, texts)]
    for ids in encoded:
        if ids[-1:] != [tokenizer.eos_token_id]:
            ids.append(tokenizer.eos_token_id)
    return encoded


def held_out_loss(model: "PreTrainedModel", batches: list[dict[str, Any]]) -> float:
    """Mean loss a learned token, in nats, over all batches (each token counts the same, however they are batched)."""
    return Chat().measure(model, batches)["loss"]


class Chat(Task):
    """Causal language models: the next token, learned where the assistant speaks."""

    name = "chat"
    auto_class = "AutoModelForCausalLM"
    peft_type = "CAUSAL_LM"
    may_pack = True
    example_sentence = "conversations, or plain text"
    loss = None  # that of the model itself

    @classmethod
    def why_unsuitable(cls, conversations: Sequence[Conversation]) -> str:
        return ""

    def prepare(self, tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel | None" = None) -> None:
        ensure_template(tokenizer)

    def examples(
        self, tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation]
    ) -> Sequence[Conversation]:
        return one_answer_each(tokenizer, conversations)

    def why_not_learned(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> str:
        return why_not_learned(tokenizer, conversation, max_length)

    def encode_whole(
        self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation
    ) -> tuple[list[int], list[int]]:
        return encode_whole(tokenizer, conversation)

    def examine(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> Encoded:
        return encode(tokenizer, conversation, sys.maxsize)

    def encode(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> Encoded:
        return encode(tokenizer, conversation, max_length)

    def encode_all(
        self, tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation], max_length: int
    ) -> list[Encoded]:
        return encode_all(tokenizer, conversations, max_length)

    def is_trainable(self, labels: list[int]) -> bool:
        return has_loss(labels)

    def asked_turns(self, conversation: Conversation) -> list[int]:
        return learned_turns(conversation)

    def as_trained(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> Conversation:
        text = ChatTemplate.of(tokenizer).system
        if text and conversation[0]["role"] != "system":
            return [{"role": "system", "content": text}, *conversation]
        return conversation

    def question(
        self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, turn: int | None = None
    ) -> Question | None:
        """The question, expecting the answer in the words that the model has to write, so that both can be compared.

        turn: which answer; None for the last one. None where the template has no place for it.
        """
        asked = super().question(tokenizer, conversation, turn)
        if asked is None:
            return None
        template = ChatTemplate.of(tokenizer)
        try:
            reasons = template.answer_of(conversation[: len(asked.conversation) + 1])
        except UserError:
            return None
        if reasons is None:
            return None
        return replace(asked, expected=reasons[1])

    def tokens(self, tokenizer: "PreTrainedTokenizerBase", question: Question) -> tuple[int, int]:
        ids, labels = self.encode_whole(tokenizer, question.example)
        answer = sum(label != IGNORED for label in labels)
        return len(ids) - answer, answer

    def collator(
        self, tokenizer: "PreTrainedTokenizerBase", packing: bool
    ) -> Callable[[list[dict[str, list[int]]]], dict[str, Any]]:
        return collator(tokenizer, packing)

    def outcome(
        self, model: "PreTrainedModel", batch: dict[str, Any]
    ) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
        outputs = model(**batch, use_cache=False)
        if "shift_labels" in batch:  # packed: the model gives logits only where something is learned
            return outputs.loss, outputs.logits.reshape(-1, outputs.logits.shape[-1]), batch["shift_labels"]
        labels = batch["labels"][:, 1:]  # a token is predicted by the one before it
        learned = labels != IGNORED
        logits = outputs.logits[:, -batch["labels"].shape[1] :]  # without those of tokens a method has put in front
        return outputs.loss, logits[:, :-1][learned], labels[learned]

    def answers(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        conversations: list[Conversation],
        base: bool = False,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        batch: int = BATCH,
        thinking: bool | Sequence[bool] | None = None,
    ) -> list[Answer]:
        return generate_all(model, tokenizer, conversations, base, max_new_tokens, temperature, batch, thinking)
