"""Classification: a text -> one of the labels that the data have."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..messages import IGNORED, Conversation
from .plain_text import conversation_text, plain
from .scores import macro_f1
from .task import (
    BATCH,
    Candidate,
    Encoded,
    Task,
    cut,
    evaluating,
    in_batches,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_LABELS = 200
LONGEST_LABEL = 100  # characters


class Classification(Task):
    """The last answer is the label, everything before it the text.

    A head on top of the model learns beside the adapter.
    """

    name = "classification"
    auto_class = "AutoModelForSequenceClassification"
    peft_type = "SEQ_CLS"
    has_candidates = True
    accuracy_name = "accuracy"
    input_label = "A text to be labelled"
    example_sentence = "texts with a label that repeats"

    @classmethod
    def why_unsuitable(cls, conversations: Sequence[Conversation]) -> str:
        if plain_ones := sum(len(one) < 2 for one in conversations):
            return f"{plain_ones:,} of {len(conversations):,} examples are plain texts without a label"
        counts = label_counts(conversations)
        longest = max(map(len, counts), default=0)
        if len(counts) == 1:
            return f"all of them have the same label, {next(iter(counts))[:40]!r}"
        if len(counts) > MOST_LABELS or 2 * len(counts) > len(conversations):
            return f"their answers are {len(counts):,} different texts, and a label has to repeat"
        if longest > LONGEST_LABEL:
            return f"an answer has {longest:,} characters, too long for a label"
        return ""

    @classmethod
    def labels_of(cls, conversations: Sequence[Conversation]) -> tuple[str, ...]:
        return tuple(sorted(label_counts(conversations)))

    def prepare(self, tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel | None" = None) -> None:
        if model is not None:  # a decoder looks for the last token of a text before the padding
            model.config.pad_token_id = tokenizer.pad_token_id

    def encode_whole(
        self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation
    ) -> tuple[list[int], list[int]]:
        read = plain(tokenizer, conversation_text(conversation[:-1])).ids
        label = tokenizer(conversation[-1]["content"].strip(), add_special_tokens=False)["input_ids"]
        return read + label, [IGNORED] * len(read) + label

    def encode(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> Encoded:
        """`labels` has one entry, the number of the label; the end a tokenizer sets stays where the text is cut."""
        ids = plain(tokenizer, conversation_text(conversation[:-1])).ids
        label = self.labels.index(conversation[-1]["content"].strip())
        return Encoded(cut(ids, max_length, tokenizer), [label], len(ids) > max_length)

    def collator(
        self, tokenizer: "PreTrainedTokenizerBase", packing: bool
    ) -> Callable[[list[dict[str, list[int]]]], dict[str, Any]]:
        import torch

        def collate(examples: list[dict[str, list[int]]]) -> dict[str, Any]:
            rows = _padded(tokenizer, [example["input_ids"] for example in examples])
            return {**rows, "labels": torch.tensor([example["labels"][0] for example in examples])}

        return collate

    def candidates(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        conversations: list[Conversation],
        base: bool = False,
        most: int = 10,
        batch: int = BATCH,
    ) -> list[list[Candidate]]:
        found: list[list[Candidate]] = []
        longest = getattr(model.config, "max_position_embeddings", None) or 4096
        with evaluating(model, base):
            for asked in in_batches(conversations, batch):
                rows = _padded(
                    tokenizer, [plain(tokenizer, conversation_text(one)).ids[: longest - 2] for one in asked]
                )
                chances = model(**{k: v.to(model.device) for k, v in rows.items()}).logits.float().softmax(-1)
                top = chances.topk(min(most, len(self.labels)))
                for chances, places in zip(top.values.tolist(), top.indices.tolist(), strict=True):
                    labels = [self.labels[place] for place in places]
                    found.append([Candidate(*one) for one in zip(labels, chances, strict=True)])
        return found

    def score(self, measured: dict[str, float]) -> float:
        return measured[self.accuracy_name]

    def noise(self, measured: dict[str, float], examples: int) -> float:
        """One standard error of a share, and no less than one example."""
        share = measured[self.accuracy_name]
        return max((share * (1 - share) / examples) ** 0.5, 1 / examples)

    def scores(self, answers: list[str], expected: list[str]) -> dict[str, float]:
        """Accuracy, as exact match, and macro F1."""
        wanted = [one.strip() for one in expected]
        return super().scores(answers, wanted) | {"f1": macro_f1(answers, wanted)}


def label_counts(conversations: Sequence[Conversation]) -> Counter[str]:
    """How often each label stands in labelled texts."""
    return Counter(one[-1]["content"].strip() for one in conversations)


def _padded(tokenizer: "PreTrainedTokenizerBase", rows: list[list[int]]) -> dict[str, Any]:
    """Right-padded rows [texts, longest] with their attention mask."""
    return dict(tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt"))
