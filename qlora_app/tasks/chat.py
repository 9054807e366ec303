"""Chat: conversations -> token ids with their loss mask -> batches -> what the held-out examples cost.

Only what the assistant says carries loss, its end-of-turn token included: a model that is not taught to stop goes on talking.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..messages import Conversation
from .packing import collator
from .plain_text import HIDDEN, broken_up, plain_all, special_tokens
from .task import BATCH, IGNORED, Answer, Question, Task, asked_in, evaluating, in_batches
from .token_cache import Encoded, TokenCache

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOGETHER = 256  # examples that are cut into tokens at once
NOTHING_TO_LEARN = ("No example has a token to learn from: the prompts alone are longer than the longest example allowed. "
                    "Raise \"Longest example\", or shorten the prompts.")
# The style of the Guanaco models, for a model that brings no chat template of its own.
GUANACO_TEMPLATE = (
    "{{ bos_token or '' }}{% for m in messages %}{% if m['role'] == 'user' %}### Human: {{ m['content'] }}\n"
    "{% elif m['role'] == 'system' %}{{ m['content'] }}\n"
    "{% else %}### Assistant:{% generation %} {{ m['content'] }}{{ eos_token }}{% endgeneration %}\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}### Assistant:{% endif %}")


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
    return encode_all(tokenizer, [conversation], max_length)[0]


def encode_all(tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation], max_length: int) -> list[Encoded]:
    """The same for many, cut into tokens together, which is quicker than one after another."""
    return [Encoded(ids[:max_length], labels[:max_length], len(ids) > max_length) for ids, labels in _whole(tokenizer, conversations)]


def encode_whole(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> tuple[list[int], list[int]]:
    """(token ids, labels) of a conversation with nothing cut off. Raises UserError as `encode` does."""
    return _whole(tokenizer, [conversation])[0]


def _whole(tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation]) -> list[tuple[list[int], list[int]]]:
    made: list[Any] = [None] * len(conversations)
    ways = [_way(tokenizer, one) for one in conversations]
    for way in dict.fromkeys(ways):
        places = [place for place, one in enumerate(ways) if one is way]
        for place, (ids, learned) in zip(places, way(tokenizer, [conversations[place] for place in places]), strict=True):
            if all([m.get("train") for m in conversations[place]]):  # also the questions, and what the template writes between
                learned = [1] * len(ids)
            made[place] = ids, [i if said else IGNORED for i, said in zip(ids, learned, strict=True)]
    return made


def _way(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> Callable[..., list[tuple[list[int], list[int]]]]:
    """How it is found out what is learned of a conversation."""
    if conversation[0]["role"] == "text":
        return _plain_texts
    return _by_marks if "{% generation" in tokenizer.chat_template and _is_plain(tokenizer, conversation) else _by_spans


def first_learned(labels: list[int]) -> int:
    """Where the first token with loss stands; their number if there is none. Nothing predicts the very first token."""
    return next((place for place, label in enumerate(labels) if place and label != IGNORED), len(labels))


def has_loss(labels: list[int]) -> bool:
    return first_learned(labels) < len(labels)


def _plain_texts(tokenizer: "PreTrainedTokenizerBase", conversations: list[Conversation]) -> list[tuple[list[int], list[int]]]:
    """As in pretraining: what the tokenizer puts before a text, the text, and the end token, for a model must learn to stop."""
    every = [one.ids for one in plain_all(tokenizer, [conversation[0]["content"] for conversation in conversations])]
    whole = [ids if ids[-1:] == [tokenizer.eos_token_id] else [*ids, tokenizer.eos_token_id] for ids in every]
    return [(ids, [1] * len(ids)) for ids in whole]


def _is_plain(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> bool:
    """Every answer is learned, and nobody wrote a special token into a turn: then the template's own marks tell what is learned."""
    special = special_tokens(tokenizer)
    return all(m.get("train", True) and not any(token in m["content"] for token in special) for m in conversation)


def _without_special(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> Conversation:
    """Special tokens that a turn spells out, broken up by a character which is dropped again when its token is found."""
    spelled = any(token in m["content"] for token in special_tokens(tokenizer) for m in conversation)
    return [{**m, "content": broken_up(tokenizer, m["content"])} for m in conversation] if spelled else conversation


def _render(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, **how: Any) -> Any:
    import jinja2

    try:
        return tokenizer.apply_chat_template(conversation, **how)
    except jinja2.TemplateError as error:
        raise UserError(f"The model's chat template refuses a conversation that begins {conversation[0]['content'][:80]!r}: {error}. "
                        "Templates often want user and assistant in turn, and some no system text.") from error


def _by_marks(tokenizer: "PreTrainedTokenizerBase", conversations: list[Conversation]) -> list[tuple[list[int], list[int]]]:
    """[(ids, 1 where the token is learned)] by a template that marks what the assistant says."""
    import jinja2

    how = {"tokenize": True, "return_dict": True, "return_assistant_tokens_mask": True}
    how["tokenizer_kwargs"] = {"return_attention_mask": False}
    try:
        made = tokenizer.apply_chat_template(conversations, **how)
    except jinja2.TemplateError:  # one of them, and a person wants to know which
        each = [_render(tokenizer, one, **how) for one in conversations]
        return [(one["input_ids"], one["assistant_masks"]) for one in each]
    return list(zip(made["input_ids"], made["assistant_masks"], strict=True))


def _by_spans(tokenizer: "PreTrainedTokenizerBase", conversations: list[Conversation]) -> list[tuple[list[int], list[int]]]:
    """[(ids, 1 where the token is learned)] by a template that does not mark what the assistant says."""
    mark = _end_of_turn(tokenizer)
    marked = [_marked(tokenizer, _without_special(tokenizer, one), mark) for one in conversations]
    made = tokenizer([text for text, _ in marked], add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
    found = []
    for (text, spans), ids, offsets in zip(marked, made["input_ids"], made["offset_mapping"], strict=True):
        places = [(i, a, b) for i, (a, b) in zip(ids, offsets, strict=True) if text[a:b] != HIDDEN]
        learned = [int(any(a < end and b > start and a < b for start, end in spans)) for _, a, b in places]
        found.append(([i for i, _, _ in places], learned))
    return found


def _marked(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, mark: str) -> tuple[str, list[tuple[int, int]]]:
    """(text, which parts of it are learned). `mark`: what stands behind an answer.

    The answer's place is found by rendering the conversation up to it, never by searching for a marker's tokens.
    """
    text = _render(tokenizer, conversation, tokenize=False)
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
    return text, spans


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

    read_each = 1  # how many rows the model reads for each of them

    def __init__(self, conversations: Sequence[Conversation], tokenizer: "PreTrainedTokenizerBase", max_length: int,
                 task: Task | None = None, cache: TokenCache | None = None) -> None:
        self.conversations = conversations
        self.task = task or Chat()
        self.cache = cache or TokenCache(len(conversations))
        self._encode: Callable[[list[Conversation]], list[Encoded]] = lambda some: self.task.encode_all(tokenizer, some, max_length)
        self._cut = bytearray(len(conversations))  # 1 for each that was seen and is cut

    def __len__(self) -> int:
        return len(self._cut)

    def encoded(self, index: int) -> Encoded:
        example = self.cache.get(index, lambda: self._encode([self.conversations[index]])[0])
        self._cut[index] = example.is_cut
        return example

    def encode_those(self, indices: Sequence[int]) -> None:
        """Those of them that are not known yet, together."""
        new = [index for index in dict.fromkeys(indices) if not self.cache.knows(index)]
        for some in in_batches(new, TOGETHER):
            for index, example in zip(some, self._encode(_at(self.conversations, some)), strict=True):
                self.cache.add(index, example)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        example = self.encoded(index)
        return {"input_ids": example.input_ids, "labels": example.labels}

    def __getitems__(self, indices: list[int]) -> list[dict[str, list[int]]]:
        """As torch's DataLoader asks for a micro-batch."""
        self.encode_those(indices)
        return [self[index] for index in indices]

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        for some in in_batches(range(len(self)), TOGETHER):
            yield from self.__getitems__(some)

    def count_cut(self) -> int:
        """How many of the examples seen so far were longer than allowed."""
        return self._cut.count(1)

    def spread(self, most: int) -> list[Encoded]:
        """At most `most` examples from all over the dataset."""
        places = range(0, len(self), max(1, len(self) // most))[:most]
        self.encode_those(places)
        return [self.encoded(i) for i in places]

    def check_trainable(self) -> None:
        """Raises UserError if no example has a token to learn from."""
        if not any(self._learns(i) for i in range(len(self))):
            raise UserError(NOTHING_TO_LEARN)

    def _learns(self, index: int) -> bool:
        return self.task.learns(self.encoded(index).labels)


def _at(conversations: Sequence[Conversation], places: Sequence[int]) -> Sequence[Conversation]:
    """Those at these places, read in one go where they lie on disk one after another."""
    piece = range(places[0], places[0] + len(places))
    return conversations[piece.start:piece.stop] if list(places) == list(piece) else [conversations[place] for place in places]


def micro_batches(examples: Sequence[dict[str, list[int]]], size: int, collate: Callable[..., dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for i in range(0, len(examples), size):
        yield collate([examples[j] for j in range(i, min(len(examples), i + size))])


def held_out_loss(model: "PreTrainedModel", batches: list[dict[str, Any]]) -> float:
    """Mean loss a learned token, in nats, over all batches (each token counts the same, however they are batched)."""
    return Chat().measure(model, batches)["loss"]


class Chat(Task):
    """Causal language models: the next token, learned where the assistant speaks."""

    name = "chat"
    opens_with = "AutoModelForCausalLM"
    peft_type = "CAUSAL_LM"
    may_pack = True
    example_sentence = "conversations, or plain text"
    loss = None  # that of the model itself

    @classmethod
    def misfit(cls, conversations: Sequence[Conversation]) -> str:
        return ""

    def prepare(self, tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel | None" = None) -> None:
        ensure_template(tokenizer)

    def encode_whole(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> tuple[list[int], list[int]]:
        return encode_whole(tokenizer, conversation)

    def encode_all(self, tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation], max_length: int) -> list[Encoded]:
        return encode_all(tokenizer, conversations, max_length)

    def learns(self, labels: list[int]) -> bool:
        return has_loss(labels)

    def collator(self, tokenizer: "PreTrainedTokenizerBase", packing: bool) -> Callable[[list[dict[str, list[int]]]], dict[str, Any]]:
        return collator(tokenizer, packing)

    def _outcome(self, model: "PreTrainedModel", batch: dict[str, Any]) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
        outputs = model(**batch, use_cache=False)
        if "shift_labels" in batch:  # packed: the model gives logits only where something is learned
            return outputs.loss, outputs.logits.reshape(-1, outputs.logits.shape[-1]), batch["shift_labels"]
        labels = batch["labels"][:, 1:]  # a token is predicted by the one before it
        learned = labels != IGNORED
        logits = outputs.logits[:, -batch["labels"].shape[1]:]  # without those of tokens a method has put in front
        return outputs.loss, logits[:, :-1][learned], labels[learned]

    def questions(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> list[Question]:
        return asked_in(conversation)

    def tokens(self, tokenizer: "PreTrainedTokenizerBase", question: Question) -> tuple[int, int]:
        ids, labels = self.encode_whole(tokenizer, question.example)
        answer = sum(label != IGNORED for label in labels)
        return len(ids) - answer, answer

    def final(self, answer: str) -> str:
        return answer.rpartition("</think>")[2].strip()

    def answers(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", conversations: list[Conversation],
                base: bool = False, max_new_tokens: int = 128, temperature: float = 0.0, batch: int = BATCH) -> list[Answer]:
        return answer_all(model, tokenizer, conversations, base, max_new_tokens, temperature, batch)


def answer_all(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", conversations: list[Conversation],
               base: bool = False, max_new_tokens: int = 128, temperature: float = 0.0, batch: int = BATCH) -> list[Answer]:
    """An answer to each conversation; `base` switches the adapter off. Leaves mode, random state and adapter as they were."""
    import torch

    how = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
    if not base and getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        batch = 1  # a learned prefix stands before the row: padding would come between it and the shorter texts
    answers: list[Answer] = []
    ends = stop_ids(tokenizer)
    with evaluating(model, base), torch.random.fork_rng():
        torch.manual_seed(0)
        for asked in in_batches(conversations, batch):
            inputs = prompts(model, tokenizer, asked, max_new_tokens)
            made = model.generate(**inputs, max_new_tokens=max_new_tokens, use_cache=True, eos_token_id=ends,
                                  pad_token_id=tokenizer.pad_token_id, **how)
            new = made[:, inputs["input_ids"].shape[1]:]
            ended = torch.isin(new, torch.tensor(ends, device=new.device)).any(1).tolist()
            texts = tokenizer.batch_decode(new, skip_special_tokens=True)
            answers += [Answer(text.strip(), end) for text, end in zip(texts, ended, strict=True)]
    return answers


def prompts(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", conversations: list[Conversation],
            room: int) -> dict[str, Any]:
    """Left-padded prompts [conversations, longest] as tensors; the oldest turns go where the context is too short."""
    most = max(16, (getattr(model.config, "max_position_embeddings", None) or 4096) - room)
    rows = [_fitting(tokenizer, conversation, most) for conversation in conversations]
    return tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt").to(model.device)


def _fitting(tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, most: int) -> list[int]:
    while True:
        ids = tokenizer(prompt(tokenizer, conversation), add_special_tokens=False)["input_ids"]
        if len(ids) <= most:
            return ids
        if len(conversation) <= 2:
            return ids[-most:]
        keep = [m for m in conversation[:1] if m["role"] == "system"]
        conversation = keep + conversation[len(keep) + 2:]
