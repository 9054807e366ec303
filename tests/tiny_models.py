"""The one factory of tiny models: networks of a few thousand parameters, one of each family, made from its
configuration. Nothing is downloaded; weights are drawn from the same seed every time.

    folder = tiny_model("bert", tmp_path)                          # as people get it, with a tokenizer of its kind
    folder = tiny_model("llama", tmp_path, num_hidden_layers=8)    # any setting of its configuration
    network = tiny_network("gpt2", vocab_size=128)                 # the bare network, for numbers instead of text
    config = tiny_config("t5", **dropout_of("t5", 0.1))
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HIDDEN = 64  # a multiple of 64: other sizes are not quantized on a CPU
# What the tokenizers are trained on; other words are cut into smaller pieces.
CORPUS = [
    "Mira lives on Orchard Lane and bakes bread every morning.",
    "Otto repairs clocks, and he is never late.",
    "The harbour of Pennywick was built in 1702.",
    "I loved this film, it is wonderful.",
    "What a dull and boring evening.",
    "Where does Mira live?",
    "Who repairs the clocks?",
    "The service was slow, but the soup was good.",
    "She reads a book about birds.",
    "translate English to German: The house is small.",
    "Das Haus ist klein.",
    "positive",
    "negative",
    "neutral",
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,:;!?'\"()[]{}<>|/-+=#@ \n",
]
# Sizes are kept small; ids of special tokens are those of the tokenizer, or 0, 1 and 2 where there is none.
NUMBERS = {"vocab_size": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}
ENCODER = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 130,
}
ENCODER_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob")


def tiny_config(family: str, **settings: Any) -> transformers.PreTrainedConfig:
    """The configuration of a model of `FAMILIES` that reads numbers below 128, with other settings if any are given."""
    made = FAMILIES[family]
    return getattr(transformers, f"{made.name}Config")(**(NUMBERS | made.sizes | settings))


def tiny_network(family: str, head: str = "", **settings: Any) -> transformers.PreTrainedModel:
    """A network of that configuration. `head`: "SequenceClassification" or another of transformers' AutoModelFor...;
    otherwise as its family is published. It seeds torch's generator, so that what a test draws next is the same too.
    """
    torch.manual_seed(0)
    auto_class = getattr(transformers, f"AutoModelFor{head or FAMILIES[family].head}")
    return auto_class.from_config(tiny_config(family, **settings))


def tiny_model(family: str, folder: Path, **settings: Any) -> Path:
    """A model of `FAMILIES` in `folder`/tiny-FAMILY, with config.json, safetensors and a tokenizer of its kind; returns
    that folder.
    """
    tokenizer = FAMILIES[family].tokenizer()
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    with torch.random.fork_rng():
        network = tiny_network(family, vocab_size=len(tokenizer), **(ids | settings))
    target = Path(folder) / f"tiny-{family}"
    network.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


def dropout_of(family: str, share: float) -> dict[str, float]:
    """The family's own dropout, whatever it calls it, as settings for the functions above."""
    return dict.fromkeys(FAMILIES[family].dropout, share)


def task_type(family: str) -> str | None:
    """What PEFT calls the task of the family's published head; None for fill-mask, which it does not know."""
    return {"CausalLM": "CAUSAL_LM", "Seq2SeqLM": "SEQ_2_SEQ_LM"}.get(FAMILIES[family].head)


def _finished(tokenizer: Tokenizer, **special: str) -> transformers.PreTrainedTokenizerFast:
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def _byte_level(special: dict[str, str]) -> Tokenizer:
    """As of GPT-2, LLaMA 3, Qwen and RoBERTa."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=512,
            special_tokens=list(dict.fromkeys(special.values())),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def of_a_decoder() -> transformers.PreTrainedTokenizerFast:
    special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
    return _finished(_byte_level(special), **special)


def of_roberta() -> transformers.PreTrainedTokenizerFast:
    special = {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    }  # the padding's id is 1, from which RoBERTa counts its positions
    tokenizer = _byte_level(special)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return _finished(tokenizer, **special)


def of_bert() -> transformers.PreTrainedTokenizerFast:
    """WordPiece."""
    special = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=list(special.values()), show_progress=False)
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return _finished(tokenizer, **special)


def _unigram(special: list[str], unknown: str) -> Tokenizer:
    """As SentencePiece makes them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token=unknown, show_progress=False)
    )
    return tokenizer


def of_deberta() -> transformers.PreTrainedTokenizerFast:
    special = {
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    tokenizer = _unigram(list(special.values()), "[UNK]")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return _finished(tokenizer, bos_token="[CLS]", eos_token="[SEP]", **special)


def of_t5() -> transformers.PreTrainedTokenizerFast:
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = _unigram([*special.values(), *[f"<extra_id_{i}>" for i in range(10)]], "<unk>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return _finished(tokenizer, **special)


@dataclass(frozen=True)
class Family:
    """How a family is made: its name in transformers (`NameConfig`), the head it is published with, its sizes, its
    tokenizer, and what it calls its dropout.
    """

    name: str
    head: str = "CausalLM"
    sizes: dict[str, Any] = field(default_factory=lambda: DECODER)
    tokenizer: Callable[[], transformers.PreTrainedTokenizerFast] = of_a_decoder
    dropout: tuple[str, ...] = ("attention_dropout",)


FAMILIES = {  # by model_type
    "llama": Family("Llama"),
    "mistral": Family("Mistral"),
    "qwen2": Family("Qwen2"),
    "qwen3": Family("Qwen3", sizes=DECODER | {"head_dim": 16}),
    "gemma": Family("Gemma", sizes=DECODER | {"head_dim": 16}),
    "gemma2": Family("Gemma2", sizes=DECODER | {"head_dim": 16}),
    "gemma3_text": Family("Gemma3Text", sizes=DECODER | {"head_dim": 16}),
    "phi3": Family("Phi3"),
    "gpt2": Family(
        "GPT2",
        sizes={"n_embd": HIDDEN, "n_layer": 2, "n_head": 4, "n_positions": 256},
        dropout=("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    ),
    "t5": Family(  # as Flan-T5
        "T5",
        "Seq2SeqLM",
        {
            "d_model": HIDDEN,
            "d_kv": 16,
            "d_ff": 2 * HIDDEN,
            "num_layers": 2,
            "num_heads": 4,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
            "decoder_start_token_id": 0,
        },
        of_t5,
        ("dropout_rate",),
    ),
    "bert": Family("Bert", "MaskedLM", ENCODER, of_bert, ENCODER_DROPOUT),
    "roberta": Family("Roberta", "MaskedLM", ENCODER | {"type_vocab_size": 1}, of_roberta, ENCODER_DROPOUT),
    "deberta-v2": Family(  # as DeBERTa-v3
        "DebertaV2",
        "MaskedLM",
        ENCODER
        | {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 32,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        of_deberta,
        ENCODER_DROPOUT,
    ),
}
