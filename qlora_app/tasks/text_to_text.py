"""Text to text: an encoder reads the input, a decoder writes the output, as in T5
(Raffel et al. 2020, arXiv 1910.10683).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..messages import IGNORED, Conversation
from .plain_text import conversation_text, plain
from .scores import rouge_l
from .task import (
    BATCH,
    Answer,
    Encoded,
    Question,
    Task,
    cut,
    evaluating,
    in_batches,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TextToText(Task):
    """Everything before the last answer is the input, the last answer the output. Only the output carries loss."""

    name = "text_to_text"
    auto_class = "AutoModelForSeq2SeqLM"
    peft_type = "SEQ_2_SEQ_LM"
    input_label = "A text to be answered"
    example_sentence = "pairs of an input and an output"

    @classmethod
    def why_unsuitable(cls, conversations: Sequence[Conversation]) -> str:
        plain_ones = sum(len(one) < 2 for one in conversations)
        if not plain_ones:
            return ""
        return f"{plain_ones:,} of {len(conversations):,} examples are plain texts without an answer"

    def encode_whole(
        self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation
    ) -> tuple[list[int], list[int]]:
        source, target = self._source(tokenizer, conversation[:-1]), plain(tokenizer, conversation[-1]["content"]).ids
        return source + target, [IGNORED] * len(source) + target

    def encode(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> Encoded:
        """Input and output are cut each for itself, and end as whole ones do; `labels` is the output."""
        source, target = self._source(tokenizer, conversation[:-1]), plain(tokenizer, conversation[-1]["content"]).ids
        is_cut = max(len(source), len(target)) > max_length
        return Encoded(cut(source, max_length, tokenizer), cut(target, max_length, tokenizer), is_cut)

    def _source(self, tokenizer: "PreTrainedTokenizerBase", asked: Conversation) -> list[int]:
        prefix = self.choice.prefix.strip()
        text = conversation_text(asked)
        if prefix:
            text = f"{prefix} {text}"
        return plain(tokenizer, text).ids

    def collator(
        self, tokenizer: "PreTrainedTokenizerBase", packing: bool
    ) -> Callable[[list[dict[str, list[int]]]], dict[str, Any]]:
        from transformers import DataCollatorForSeq2Seq

        pad = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED)

        def collate(examples: list[dict[str, list[int]]]) -> dict[str, Any]:
            batch = pad(examples)
            shifted = batch["labels"].roll(1, dims=1)  # the decoder reads what came before each token it writes
            shifted[:, 0] = tokenizer.pad_token_id  # with which T5 begins
            return {**batch, "decoder_input_ids": shifted.masked_fill(shifted == IGNORED, tokenizer.pad_token_id)}

        return collate

    def tokens(self, tokenizer: "PreTrainedTokenizerBase", question: Question) -> tuple[int, int]:
        """The input does not stand beside the answer: the decoder writes into a context of its own."""
        return 0, len(plain(tokenizer, question.expected).ids)

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
        """The likeliest output to each input, or with a temperature a drawn one."""
        import torch

        how = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        answers: list[Answer] = []
        with evaluating(model, base), torch.random.fork_rng():
            torch.manual_seed(0)
            for asked in in_batches(conversations, batch):
                rows = tokenizer.pad(
                    {"input_ids": [self._source(tokenizer, one) for one in asked]}, return_tensors="pt"
                )
                made = model.generate(**rows.to(model.device), max_new_tokens=max_new_tokens, use_cache=True, **how)
                texts = tokenizer.batch_decode(made, skip_special_tokens=True)
                ended = (made == tokenizer.eos_token_id).any(1).tolist()
                answers += [Answer(text.strip(), has_ended=end) for text, end in zip(texts, ended, strict=True)]
        return answers

    def scores(self, answers: list[str], expected: list[str]) -> dict[str, float]:
        return super().scores(answers, expected) | {"rouge_l": rouge_l(answers, expected)}
