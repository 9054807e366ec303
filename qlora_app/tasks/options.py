"""Answer options: the wrong answers beside the right one, for losses that compare them. They are the answers the data itself gives."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..messages import Conversation
from .chat import EncodedExamples, encode
from .packing import IGNORED
from .task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST = 32  # each is read once more for every example
ASIDE = "options"  # what a batch holds for the method's own loss, and no model reads


def answer_options(conversations: list[Conversation]) -> list[str]:
    """Every different last answer, sorted. Raises UserError where there is nothing to choose from, or too much."""
    answers = sorted({talk[-1]["content"] for talk in conversations if talk[-1]["role"] == "assistant"})
    if not 2 <= len(answers) <= MOST:
        raise UserError(f"The losses over answer options need data with 2 to {MOST} different answers, such as labels or letters; this has "
                        f"{len(answers):,}. Set both to 0, or choose other data.")
    return answers


class ExamplesWithOptions(EncodedExamples):
    """Encoded examples, each with its conversation up to the last answer, once for every option."""

    def __init__(self, conversations: list[Conversation], tokenizer: "PreTrainedTokenizerBase", max_length: int,
                 task: Task | None = None) -> None:
        if task and task.name != "chat":  # the model reads question and option as one text
            raise UserError(f"The losses over answer options are for the task Chat, not for {task.title}. Set both to 0.")
        self.options = answer_options(conversations)
        self.read_each = 1 + len(self.options)
        super().__init__([talk for talk in conversations if talk[-1]["role"] == "assistant"], tokenizer, max_length, task)
        self._answered: Callable[[Conversation, str], Any] = lambda talk, option: encode(
            tokenizer, [*({**m, "train": False} for m in talk[:-1]), {"role": "assistant", "content": option}], max_length)

    def __getitem__(self, index: int) -> dict[str, Any]:
        talk = self.conversations[index]
        read = [self._answered(talk, option) for option in self.options]
        options = [{"input_ids": e.input_ids, "labels": e.labels, "right": option == talk[-1]["content"]}
                   for e, option in zip(read, self.options, strict=True)]
        return {**super().__getitem__(index), ASIDE: options}


def collator_with_options(collate: Callable[[list[dict[str, Any]]], dict[str, Any]], pad_id: int) -> Callable[..., dict[str, Any]]:
    """What `collate` makes of examples, and under "options" all of their options as rows, padded on the right."""
    import torch

    def padded(rows: list[list[int]], filler: int) -> torch.Tensor:
        longest = max(map(len, rows))
        return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])

    def collated(examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate([{name: value for name, value in example.items() if name != ASIDE} for example in examples])
        rows = [(number, option) for number, example in enumerate(examples) for option in example[ASIDE]]
        ids = [option["input_ids"] for _, option in rows]
        batch[ASIDE] = {"input_ids": padded(ids, pad_id), "attention_mask": padded([[1] * len(row) for row in ids], 0),
                        "labels": padded([option["labels"] for _, option in rows], IGNORED),
                        "question": torch.tensor([number for number, _ in rows]),
                        "right": torch.tensor([option["right"] for _, option in rows])}
        return batch
    return collated
