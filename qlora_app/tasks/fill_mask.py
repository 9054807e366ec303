"""Fill the blank: words of a text are hidden and predicted from both sides, as BERT was pretrained
(Devlin et al. 2019, arXiv 1810.04805).

Which words are hidden is drawn anew each time an example is seen (RoBERTa, arXiv 1907.11692), from a seed made of its
own tokens, the epoch and the run's seed: the same is hidden whatever stands beside it in a batch, and when a run is
resumed. Held-out examples belong to no epoch, and are measured with the same blanks every time.
"""

import random
import re
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..messages import IGNORED, Conversation
from .plain_text import as_letters, conversation_text, plain
from .task import (
    BATCH,
    Candidate,
    Encoded,
    Question,
    Task,
    cut,
    evaluating,
    in_batches,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BLANK = "___"
MASKED, OTHER = (
    0.8,
    0.1,
)  # of the hidden tokens: replaced by the mask, by another token; the rest stay and are predicted all the same
_BLANKS = re.compile(r"_{2,}|\[MASK\]|<mask>", re.IGNORECASE)
_WORD = re.compile(r"\w+")


class FillMask(Task):
    """All that is said in an example is one text, whatever its format."""

    name = "fill_mask"
    auto_class = "AutoModelForMaskedLM"
    peft_type = None
    has_candidates = True
    accuracy_name = "masked_accuracy"
    input_label = f"A sentence with a blank, written as {BLANK}"
    example_sentence = "any text"

    @classmethod
    def why_unsuitable(cls, conversations: Sequence[Conversation]) -> str:
        return ""

    def prepare(self, tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel | None" = None) -> None:
        if tokenizer.mask_token_id is None:
            raise UserError(
                "task.no_blank_token",
                "The tokenizer of this model has no token for a blank, so it cannot learn to fill one. Choose "
                "another task.",
            )

    def encode_whole(
        self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation
    ) -> tuple[list[int], list[int]]:
        """One draw of the hidden words: another is drawn each time the example is seen."""
        ids, words = self._words(tokenizer, conversation)
        hidden = self._hidden(words, _draw(ids))
        return ids, [i if place in hidden else IGNORED for place, i in enumerate(ids)]

    def encode(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, max_length: int) -> Encoded:
        """`labels` says which word each token belongs to: the collator draws which words are hidden."""
        ids, words = self._words(tokenizer, conversation)
        kept = cut(ids, max_length, tokenizer)
        words = [IGNORED if i in tokenizer.all_special_ids else word for i, word in zip(kept, words, strict=False)]
        return Encoded(kept, words, len(kept) < len(ids))

    def _words(self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation) -> tuple[list[int], list[int]]:
        ids, words = plain(tokenizer, conversation_text(conversation))
        if self.choice.masking != "words":  # every token is a word of its own
            words = [None if word is None else place for place, word in enumerate(words)]
        return ids, [IGNORED if word is None else word for word in words]

    def _hidden(self, words: list[int], draw: random.Random) -> set[int]:
        """The places that are hidden: those of the chosen share of the words, of one at least."""
        every = sorted({word for word in words if word != IGNORED})
        chosen = set()
        if every:
            count = max(1, round(self.choice.masked_share * len(every)))
            chosen = set(draw.sample(every, count))
        return {place for place, word in enumerate(words) if word in chosen}

    def collator(
        self, tokenizer: "PreTrainedTokenizerBase", packing: bool
    ) -> Callable[[list[dict[str, list[int]]]], dict[str, Any]]:
        return Hiding(self, tokenizer)

    def hide(
        self, example: dict[str, list[int]], tokenizer: "PreTrainedTokenizerBase", draw: random.Random
    ) -> tuple[list[int], list[int]]:
        """(what is read, what is to be found) of an encoded example."""
        ids, hidden = example["input_ids"], self._hidden(example["labels"], draw)
        read = [self._replaced(i, tokenizer, draw) if place in hidden else i for place, i in enumerate(ids)]
        return read, [i if place in hidden else IGNORED for place, i in enumerate(ids)]

    @staticmethod
    def _replaced(id: int, tokenizer: "PreTrainedTokenizerBase", draw: random.Random) -> int:
        luck = draw.random()
        if luck < MASKED:
            return tokenizer.mask_token_id
        if luck < MASKED + OTHER:
            return draw.randrange(len(tokenizer))
        return id

    def asked_turns(self, conversation: Conversation) -> list[int]:
        """One word of all that is said."""
        return [len(conversation) - 1]

    def question(
        self, tokenizer: "PreTrainedTokenizerBase", conversation: Conversation, turn: int | None = None
    ) -> Question | None:
        """The text with one of its words as a blank: a word that is a single
        token, because so much fits into one blank.
        """
        text = conversation_text(conversation)[:1000]
        words = [one for one in _WORD.finditer(text) if len(self._filling(tokenizer, text, one)) == 1]
        if not words:
            return None
        one = random.Random(zlib.crc32(text.encode())).choice(words)
        return Question(
            [{"role": "user", "content": f"{text[: one.start()]}{BLANK}{text[one.end() :]}"}],
            tokenizer.decode(self._filling(tokenizer, text, one)).strip(),
        )

    def check_asked(self, text: str) -> None:
        super().check_asked(text)
        if not has_blank(text):
            raise UserError(
                "chat.no_blank",
                "There is no blank in this sentence. Write {blank} where a word is missing.",
                blank=BLANK,
            )

    @staticmethod
    def _filling(tokenizer: "PreTrainedTokenizerBase", text: str, word: re.Match[str]) -> list[int]:
        """The tokens of a word where it stands."""
        before = text[word.start() - 1 : word.start()]
        ids = tokenizer(f"{before if before.isspace() else ''}{word[0]}", add_special_tokens=False)["input_ids"]
        return [i for i in ids if tokenizer.decode([i]).strip()]

    def candidates(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        conversations: list[Conversation],
        base: bool = False,
        most: int = 10,
        batch: int = BATCH,
    ) -> list[list[Candidate]]:
        """What fits into the first blank of each text; nothing for a text without one."""
        import torch

        found: list[list[Candidate]] = []
        with evaluating(model, base):
            for asked in in_batches(conversations, batch):
                ids = [self._with_blanks(tokenizer, conversation_text(one)) for one in asked]
                rows = tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt").to(model.device)
                blanks = rows["input_ids"] == tokenizer.mask_token_id
                logits = (
                    model(**rows).logits[torch.arange(len(asked), device=model.device), blanks.int().argmax(-1)].float()
                )
                top = logits.softmax(-1).topk(most)
                weighed = zip(top.values.tolist(), top.indices.tolist(), blanks.any(-1).tolist(), strict=True)
                for chances, ids, has_blank in weighed:
                    if not has_blank:
                        found.append([])
                        continue
                    words = [tokenizer.decode([i]).strip().removeprefix("##") for i in ids]
                    found.append([Candidate(*one) for one in zip(words, chances, strict=True)])
        return found

    @staticmethod
    def _with_blanks(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
        """Token ids of a text whose blanks are masks; other control tokens in it stay text."""
        parts, text, written = _BLANKS.split(text), "", []
        for number, part in enumerate(parts):
            if number:
                text += tokenizer.mask_token
            written.append((len(text), len(text) + len(part)))
            text += part
        made = tokenizer(text, return_offsets_mapping=True)
        tokens = [(i, a, b) for i, (a, b) in zip(made["input_ids"], made["offset_mapping"], strict=True)]
        return [i for i, _, _ in as_letters(tokenizer, text, written, tokens)]


class Hiding:
    """The collator: examples with some words hidden, right-padded. `set_epoch` makes it hide others."""

    def __init__(self, task: FillMask, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.task, self.tokenizer = task, tokenizer
        self.visit = ""  # of examples that are measured

    def set_epoch(self, epoch: int, seed: int = 0) -> None:
        """From now on the examples of this epoch, from 0, of a run with this seed are hidden."""
        self.visit = f"{seed} {epoch}"

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, Any]:
        """Tensors [examples, longest]: input_ids, attention_mask, labels."""
        import torch

        made = [self.task.hide(one, self.tokenizer, _draw(one["input_ids"], self.visit)) for one in examples]
        rows = {"input_ids": [read for read, _ in made]}
        batch = dict(self.tokenizer.pad(rows, padding_side="right", return_tensors="pt"))
        longest = batch["input_ids"].shape[1]
        return {**batch, "labels": torch.tensor([wanted + [IGNORED] * (longest - len(wanted)) for _, wanted in made])}


def _draw(ids: list[int], visit: str = "") -> random.Random:
    """Random numbers that are the same for the same tokens at the same visit, on every machine."""
    return random.Random(f"{visit}{ids!r}")


def has_blank(text: str) -> bool:
    """Does a text say where a word is missing?"""
    return bool(_BLANKS.search(text))
