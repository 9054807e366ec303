"""A byte-level BPE tokenizer trained on the corpus, with the chat template the app uses.

<|endoftext|> separates documents in pretraining and ends every answer in chats, so the base knows it as "the end".
{% generation %} marks what the assistant says, end token included: the loss of a fine-tuning counts only there.
"""

import random
from typing import TYPE_CHECKING

from .corpus import document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END, PAD = "<|endoftext|>", "<|pad|>"
# The answer begins with a blank *inside* the generation block: " Inky" is then the same token as in the middle of a
# story.
CHAT_TEMPLATE = """{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}### Human: {{ m['content'] }}
{% elif m['role'] == 'system' %}{{ m['content'] }}
{% else %}### Assistant:{% generation %} {{ m['content'] }}{{ eos_token }}{% endgeneration %}
{% endif %}{% endfor %}{% if add_generation_prompt %}### Assistant:{% endif %}"""


def train_tokenizer(vocab_size: int = 1792, documents: int = 25000, seed: int = 0) -> "PreTrainedTokenizerFast":
    """Learn `vocab_size` tokens (a multiple of 64) from seeded documents; about ten seconds on one core."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rng = random.Random(seed)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    texts = [document(rng) for _ in range(documents)] + ["### Human:\nHello.\n### Assistant:\nHello!"] * 2000
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[END, PAD],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=END, eos_token=END, pad_token=PAD)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
