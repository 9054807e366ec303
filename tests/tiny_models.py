"""Base models of a few thousand parameters, one of each family, made from its configuration and saved as people get
them: a folder with config.json, safetensors and a tokenizer of its kind. Nothing is downloaded; weights are drawn from
the same seed every time.

    folder = tiny_model("bert", tmp_path)                          # as its family is published: BertForMaskedLM
    folder = tiny_model("llama", tmp_path, num_hidden_layers=8)    # any setting of its configuration
"""

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Family:
    """How a family is made: its configuration's and its model's class in transformers, its sizes, its kind of
    tokenizer.
    """

    config: str
    model: str
    sizes: dict[str, Any]
    tokenizer: Callable[[], transformers.PreTrainedTokenizerFast]


def tiny_model(family: str, folder: Path, **settings: Any) -> Path:
    """A model of `FAMILIES` in `folder`/tiny-FAMILY, with other settings of its configuration if any are given; returns
    that folder.
    """
    made = FAMILIES[family]
    target = Path(folder) / f"tiny-{family}"
    tokenizer = made.tokenizer()
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = getattr(transformers, made.config)(vocab_size=len(tokenizer), **ids, **(made.sizes | settings))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, made.model)(config)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return target


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


FAMILIES = {
    "llama": Family("LlamaConfig", "LlamaForCausalLM", DECODER, of_a_decoder),
    "qwen": Family("Qwen3Config", "Qwen3ForCausalLM", DECODER | {"head_dim": 16}, of_a_decoder),
    "gpt2": Family(
        "GPT2Config", "GPT2LMHeadModel", {"n_embd": HIDDEN, "n_layer": 2, "n_head": 4, "n_positions": 256}, of_a_decoder
    ),
    "t5": Family(
        "T5Config",
        "T5ForConditionalGeneration",
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
    ),  # as Flan-T5
    "bert": Family("BertConfig", "BertForMaskedLM", ENCODER, of_bert),
    "roberta": Family("RobertaConfig", "RobertaForMaskedLM", ENCODER | {"type_vocab_size": 1}, of_roberta),
    "deberta": Family(
        "DebertaV2Config",
        "DebertaV2ForMaskedLM",
        ENCODER
        | {  # as DeBERTa-v3
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 32,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        of_deberta,
    ),
}
