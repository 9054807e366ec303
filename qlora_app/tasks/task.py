"""What every task is to the rest of the app. A task is one file: a class with what differs from here.

The worker, the chat and the page ask it; nothing outside of this folder asks which task it is.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..errors import UserError
from ..formatting import TASK_NAMES
from ..messages import (
    IGNORED,
    INLINE_REASONING,
    Conversation,
    Message,
    has_reasoning,
)
from .choice import TaskChoice
from .packing import on_device
from .token_cache import Encoded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH = 50  # questions answered at once
LABELS_AT_ONCE = 128  # whose probabilities are held against each other: a vocabulary in float32 is half a megabyte


@dataclass(frozen=True)
class Question:
    """A held-out, learned or typed question: the conversation up to the answer, and the
    answer that would be right ("" if unknown).
    """

    conversation: Conversation
    expected: str
    thinking: bool = False  # is the answer to begin with reasoning, as the one that would be right does?
    turn: Message | None = None  # the answer as the data have it; None where they have none as such

    @property
    def text(self) -> str:
        return self.conversation[-1]["content"]

    @property
    def example(self) -> Conversation:
        """The conversation with its right answer, which alone carries loss. Only of a question with a `turn`."""
        asked: Conversation = [{**turn, "train": False} for turn in self.conversation]
        if self.turn:
            return [*asked, {**self.turn, "train": True}]
        return asked


@dataclass(frozen=True)
class Answer:
    """What a model wrote: its answer, its reasoning before that, whether it came to an end by itself, and what of
    the question it could not read, in words.
    """

    text: str
    reasoning: str = ""
    has_ended: bool = True
    note: str = ""


class Candidate(NamedTuple):
    """One of the answers a model weighs up."""

    text: str
    probability: float  # 0 to 1


def candidate_words(found: Sequence[Candidate]) -> str:
    """The likeliest answers with their probabilities, in one line."""
    return ", ".join(f"{one.text} {one.probability:.0%}" for one in found)


class Task:
    """One task with its settings. `labels` are the answers it knows, for a task that chooses among some."""

    name: ClassVar[str]
    auto_class: ClassVar[str]  # class of transformers that opens the model
    peft_type: ClassVar[str | None]  # PEFT's name for it, None where it has none
    may_pack: ClassVar[bool] = False  # several examples in one row
    has_candidates: ClassVar[bool] = False  # answers with candidates and their probabilities instead of a text
    accuracy_name: ClassVar[str] = "token_accuracy"  # what the share of labels that come first is called
    input_label: ClassVar[str] = ""  # what its box for trying wants; empty where one talks to it
    example_sentence: ClassVar[str]  # what data fit, for people

    @property
    def is_chat(self) -> bool:
        """Is it talked to, turn by turn? Else a text goes in and an answer comes out."""
        return not self.input_label

    def __init__(self, choice: TaskChoice = TaskChoice(), labels: tuple[str, ...] = ()) -> None:
        self.choice, self.labels = choice, labels

    @property
    def title(self) -> str:
        return TASK_NAMES[self.name]

    # ---- the data

    @classmethod
    def why_unsuitable(cls, conversations: Sequence[Conversation]) -> str:
        """Why these examples cannot teach this task; empty if they can."""
        raise NotImplementedError

    @classmethod
    def labels_of(cls, conversations: Sequence[Conversation]) -> tuple[str, ...]:
        """The answers to choose among; none where they are free."""
        return ()

    # ---- training

    def prepare(self, tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel | None" = None) -> None:
        """What tokenizer and model must know of each other.

        Raises UserError where the tokenizer cannot serve the task.
        """

    def examples(
        self, tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation]
    ) -> Sequence[Conversation]:
        """What is learned from as one example each: the conversations, or more where one answer has to stand alone.

        `rows` of what is returned, if there is one, names the conversation of each.
        """
        return conversations

    def why_not_learned(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> str:
        """Why nothing of a conversation, or not every answer in it, can be learned; empty where all of it can."""
        try:
            encoded = self.encode(tokenizer, conversation, max_length)
        except UserError as error:
            return str(error)
        if self.is_trainable(encoded.labels):
            return ""
        return "it has no token to learn from"

    def encode_whole(
        self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation
    ) -> tuple[list[int], list[int]]:
        """(token ids, labels) of an example with nothing cut off, as people look at
        it: what is read, then what is learned.
        """
        raise NotImplementedError

    def examine(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> Encoded:
        """An example as people look at it, nothing cut off. Raises UserError if it cannot be encoded."""
        return Encoded(*self.encode_whole(tokenizer, conversation), False)

    def encode(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> Encoded:
        """An example cut at `max_length` tokens. Raises UserError if it cannot be encoded."""
        return self.encode_all(tokenizer, [conversation], max_length)[0]

    def encode_all(
        self, tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation], max_length: int
    ) -> list[Encoded]:
        """Examples cut at `max_length` tokens, together where that is quicker; nothing of those that are refused.

        A task has this one or the one above.
        """
        encoded = []
        for one in conversations:
            try:
                encoded.append(self.encode(tokenizer, one, max_length))
            except UserError:
                encoded.append(Encoded([], [], False))
        return encoded

    def is_trainable(self, labels: list[int]) -> bool:
        """Does an example with these labels teach anything?"""
        return any(label != IGNORED for label in labels)

    def collator(
        self, tokenizer: "PreTrainedTokenizerBase", packing: bool
    ) -> Callable[[list[dict[str, list[int]]]], dict[str, Any]]:
        """Encoded examples -> a batch of tensors, `labels` among them."""
        raise NotImplementedError

    def loss(self, outputs: Any, labels: "torch.Tensor", num_items_in_batch: Any = None) -> "torch.Tensor":
        """Cross-entropy of the labels, summed and divided by those of the whole step,
        so that it does not depend on its parts.
        """
        import torch.nn.functional as f

        logits = outputs.logits.float()
        loss = f.cross_entropy(
            logits.view(-1, logits.shape[-1]), labels.to(logits.device).view(-1), ignore_index=IGNORED, reduction="sum"
        )
        if num_items_in_batch is None:
            num_items_in_batch = (labels != IGNORED).sum()
        return loss / num_items_in_batch

    # ---- measuring

    def score(self, measured: dict[str, float]) -> float:
        """One number for a held-out measurement, of which a run keeps the highest: the loss turned round, since
        every token counts in it. A task whose answers are right or wrong takes their share, which an
        overconfident model can hold while its loss rises.
        """
        return -measured["loss"]

    def noise(self, measured: dict[str, float], examples: int) -> float:
        """How much two scores of the same `examples` held-out examples may differ though the later adapter is as good.

        A quarter of the loss: that of texts rises with confidence while answers still get better. On the starter, whose
        loss was 8 % higher at the end than at half-time, the end answered 91 instead of 87 of 100 new wordings right.
        """
        return 0.25 * measured["loss"]

    def measure(self, model: "PreTrainedModel", batches: list[dict[str, Any]]) -> dict[str, float]:
        """{"loss": nats a label, `accuracy_name`: share of labels that come first}; each label
        counts the same, however they are batched.
        """
        total = right = count = 0.0
        with evaluating(model):
            for batch in batches:
                loss, logits, labels = self.outcome(model, on_device(batch, model.device))
                if len(labels):
                    total += loss.item() * len(labels)
                    right += (logits.argmax(-1) == labels).sum().item()
                count += len(labels)
        return {"loss": total / max(1.0, count), self.accuracy_name: right / max(1.0, count)}

    def distance(
        self,
        model: "PreTrainedModel",
        batches: Iterable[dict[str, Any]],
        most: int,
        other: Callable[[], contextlib.AbstractContextManager[Any]] | None = None,
    ) -> tuple[float, int]:
        """(how far the adapter's probabilities are from the base's, the labels that were looked at).

        The mean Kullback-Leibler divergence, adapter from base, in nats a label, over the first batches that have
        `most` labels together. other: in which the model is what is compared with, instead of the base.
        """
        total, count = 0.0, 0
        for batch in batches:
            here = on_device(batch, model.device)
            with evaluating(model):
                _, after, labels = self.outcome(model, here)
            with evaluating(model, base=other is None), other() if other else contextlib.nullcontext():
                _, before, _ = self.outcome(model, here)
            for place in range(0, len(labels), LABELS_AT_ONCE):
                part = slice(place, place + LABELS_AT_ONCE)
                total += divergence(after[part], before[part])
            count += len(labels)
            if count >= most:
                break
        return total / max(1, count), count

    def outcome(
        self, model: "PreTrainedModel", batch: dict[str, Any]
    ) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
        """(mean loss, logits [labels, choices], labels) of a batch."""
        outputs, labels = model(**{name: value for name, value in batch.items() if name != "labels"}), batch["labels"]
        learned = labels != IGNORED
        return self.loss(outputs, labels), outputs.logits[learned], labels[learned]

    def asked_turns(self, conversation: Conversation) -> list[int]:
        """The places of the turns that an example asks for. A task whose answer is the last turn asks for that one."""
        return learned_turns(conversation)[-1:]

    def question(
        self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, turn: int | None = None
    ) -> Question | None:
        """What an example asks at one of its `asked_turns`, or at the last of them, with the right answer.

        None if there is none in it.
        """
        if turn is None:
            turn = next(iter(self.asked_turns(conversation)[-1:]), None)
        if turn is None:
            return None
        right = conversation[turn]
        inline = INLINE_REASONING.fullmatch(right["content"])
        expected = inline[2].strip() if inline else right["content"]
        return Question(conversation[:turn], expected, has_reasoning(right), right)

    def questions(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> list[Question]:
        """Everything that an example asks."""
        asked = [self.question(tokenizer, conversation, turn) for turn in self.asked_turns(conversation)]
        return [question for question in asked if question is not None]

    def tokens(self, tokenizer: "PreTrainedTokenizerBase", question: Question) -> tuple[int, int]:
        """(tokens that stand beside the answer in the context, tokens of the right answer with its end); zeros where
        nothing is generated. Raises UserError where the question cannot be put."""
        return 0, 0

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
        """What `answer` does, with the reasoning and whether each came to an end."""
        answers = []
        for candidates in self.candidates(model, tokenizer, conversations, base, 1, batch):
            most_likely = candidates[0].text if candidates else ""
            answers.append(Answer(most_likely))
        return answers

    def answer(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        conversations: list[Conversation],
        base: bool = False,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        batch: int = BATCH,
        thinking: bool | Sequence[bool] | None = None,
    ) -> list[str]:
        """An answer to each question; `base` switches the adapter off.

        Leaves mode, random state and adapter as they were.

        thinking: whether to reason first, for all or for each, where a task knows that; reasoning is not part of an
        answer.
        """
        return [
            one.text
            for one in self.answers(model, tokenizer, conversations, base, max_new_tokens, temperature, batch, thinking)
        ]

    def candidates(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        conversations: list[Conversation],
        base: bool = False,
        most: int = 10,
        batch: int = BATCH,
    ) -> list[list[Candidate]]:
        """The likeliest answers to each question with their probabilities, for a task that weighs them up."""
        raise NotImplementedError

    def as_trained(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> Conversation:
        """What somebody typed, as the examples ask: a chat has the system text before it that all of them have."""
        return conversation

    def check_asked(self, text: str) -> None:
        """Raises UserError for a typed text that asks nothing of this task."""
        if not text.strip():
            raise UserError("chat.no_text", "Write a text first.")

    def scores(self, answers: list[str], expected: list[str]) -> dict[str, float]:
        """Shares from 0 to 1 of the scored questions; the first is the one people are told."""
        right = sum(same_answer(a, e) for a, e in zip(answers, expected, strict=True))
        return {"exact_match": right / max(1, len(expected))}


def learned_turns(conversation: Conversation) -> list[int]:
    """The places of the assistant's turns that are learned and have something before them."""
    return [
        place
        for place, turn in enumerate(conversation)
        if place and turn["role"] == "assistant" and turn.get("train", True)
    ]


def divergence(after: "torch.Tensor", before: "torch.Tensor") -> float:
    """The Kullback-Leibler divergences of rows of logits [labels, choices], summed, in nats. 0 where both are alike."""
    import torch.nn.functional as f

    one, other = after.float().log_softmax(-1), before.float().log_softmax(-1)
    return max(0.0, float(f.kl_div(other, one, reduction="sum", log_target=True)))


@contextlib.contextmanager
def evaluating(model: "PreTrainedModel", base: bool = False) -> Iterator[None]:
    """Without gradients, dropout and, with `base`, without the adapter; afterwards everything is as it was."""
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), model.disable_adapter() if base else contextlib.nullcontext():
            yield
    finally:  # a training may go on where an answer failed
        model.train(was_training)


def cut(ids: list[int], longest: int, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """At most `longest` tokens of a text.

    The special token that its tokenizer sets at the end stays: it ends a text.
    """
    if len(ids) <= longest:
        return ids
    end = ids[-1:] if ids[-1] in tokenizer.all_special_ids else []
    return [*ids[: longest - len(end)], *end]


def in_batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for i in range(0, len(items), size):
        yield items[i : i + size]


def same_answer(given: str, expected: str) -> bool:
    """Word for word, blanks at the ends aside."""
    return given.strip() == expected.strip()
