"""GGUF files of every family that is written, opened by the real llama.cpp: the same tokens, the same chances."""

import random

import pytest
import torch
from transformers import AutoTokenizer

from qlora_app.export.gguf_families import ROWS
from qlora_app.export.gguf_vocabulary import vocabulary_of
from qlora_app.export.gguf_words import with_words
from qlora_app.export.gguf_writer import write_gguf
from qlora_app.inference.llama_cpp import LlamaCpp
from tests.tiny_models import CORPUS, FAMILIES, tiny_network

PLAIN = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}assistant:"
LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
AS_PUBLISHED = {
    "gemma": {"tie_word_embeddings": True},
    "gemma2": {"tie_word_embeddings": True, "query_pre_attn_scalar": 16, "sliding_window": 16},
    "gemma3_text": {
        "tie_word_embeddings": True,
        "query_pre_attn_scalar": 16,
        "sliding_window": 16,
        "num_hidden_layers": 6,
    },
}
VARIANTS = [  # what may be otherwise within a family
    *((family, AS_PUBLISHED.get(family, {})) for family in ROWS),
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"head_dim": 32}),
    ("llama", {"attention_bias": True}),
    ("llama", {"rope_parameters": LLAMA_3}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}}),
]


def tokenizer_in(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = PLAIN
    return tokenizer


def as_gguf(family, tmp_path, dtype="F32", **settings):
    """(the network, its tokenizer, llama.cpp with its file)"""
    tokenizer = FAMILIES[family].tokenizer()
    tokenizer.chat_template = PLAIN
    network = tiny_network(family, vocab_size=len(tokenizer), **settings).eval()
    with torch.no_grad():  # as drawn, biases are zero and norms one: nobody would see where they stand
        for weight in network.parameters():
            weight += 0.05 * torch.randn(weight.shape)
    known = vocabulary_of(tokenizer, len(tokenizer), [tokenizer.eos_token_id])
    vocabulary, _ = with_words(known, tokenizer, CORPUS[:3])
    file = tmp_path / f"{family}.gguf"
    write_gguf(network, vocabulary, "Tiny", dtype, file, lambda done, of: None)
    return network, tokenizer, LlamaCpp(file, context=128, most_rows=1)


@pytest.mark.parametrize(("family", "settings"), VARIANTS, ids=str)
def test_llama_cpp_gives_every_token_the_same_chance(family, settings, tmp_path):
    network, tokenizer, engine = as_gguf(family, tmp_path, **settings)
    draw = random.Random(1)
    for length in (1, 7, 60):
        ids = [draw.randrange(3, len(tokenizer)) for _ in range(length)]
        with torch.no_grad():
            logs = network(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        told = engine.likeliest_after(ids, 20, tokenizer.eos_token_id)
        assert told[0][0] == int(logs.argmax())
        assert all(abs(float(logs[id]) - log) < 0.02 for id, log in told), (length, told[:3])
