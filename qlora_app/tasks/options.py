"""Answer options: the wrong answers beside the right one, for losses that compare them.

A row brings its own in a column of the data; where it brings none, they are the different answers that the data gives.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..messages import MOST_OPTIONS, OPTIONS, Conversation
from .dataset import EncodedExamples
from .task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def answer_options(conversations: Iterable[Conversation]) -> list[str]:
    """Every different last answer of those that bring no options of their own, sorted; none if all do.

    Raises UserError where there is nothing to choose from, or too much.
    """
    without = [talk for talk in conversations if talk[-1]["role"] == "assistant" and not talk[-1].get("options")]
    answers = sorted({talk[-1]["content"] for talk in without})
    if without and not 2 <= len(answers) <= MOST_OPTIONS:
        raise UserError(
            "task.options_wanted",
            "The losses over answer options need data with 2 to {most} different answers, such as labels or "
            "letters; this has {count:,}. Name the column of your data that lists the options, set both losses "
            "to 0, or choose other data.",
            most=MOST_OPTIONS,
            count=len(answers),
        )
    return answers


class ExamplesWithOptions(EncodedExamples):
    """Encoded examples, each with its conversation up to the last answer, once for every option."""

    def __init__(
        self, conversations: Sequence[Conversation], tokenizer: "PreTrainedTokenizerBase", max_length: int, task: Task
    ) -> None:
        asking = [talk for talk in conversations if talk[-1]["role"] == "assistant"]
        self.common = answer_options(asking)
        self.read_each = 1 + max((len(self.options_of(talk)) for talk in asking), default=0)
        super().__init__(asking, tokenizer, max_length, task)

    def options_of(self, talk: Conversation) -> list[str]:
        return talk[-1].get("options") or self.common

    def __getitem__(self, index: int) -> dict[str, Any]:
        talk = self.conversation(index)
        asked, names = [{**turn, "train": False} for turn in talk[:-1]], self.options_of(talk)
        read = self._encode([[*asked, {"role": "assistant", "content": option}] for option in names])
        options = [
            {"input_ids": e.input_ids, "labels": e.labels, "right": option == talk[-1]["content"]}
            for e, option in zip(read, names, strict=True)
        ]
        return {**super().__getitem__(index), OPTIONS: options}


def collator_with_options(
    collate: Callable[..., dict[str, Any]], padded: Callable[..., dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    """What `collate` makes of examples, and under "options" all of their options as rows, as `padded` makes them."""
    import torch

    def collated(examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate([{name: value for name, value in example.items() if name != OPTIONS} for example in examples])
        rows = [(number, option) for number, example in enumerate(examples) for option in example[OPTIONS]]
        options = [option for _, option in rows]
        aside = padded([{"input_ids": option["input_ids"], "labels": option["labels"]} for option in options])
        aside["question"] = torch.tensor([number for number, _ in rows])
        aside["right"] = torch.tensor([option["right"] for option in options])
        batch[OPTIONS] = aside
        return batch

    return collated
