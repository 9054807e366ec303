"""GGUF files of every family that is written, opened by the real llama.cpp: the same tokens, the same chances."""

import random

import pytest
import torch

from qlora_app.export.gguf_families import ROWS, family_problem
from qlora_app.export.gguf_types import type_of
from qlora_app.export.gguf_vocabulary import GENERATION, vocabulary_of
from qlora_app.export.gguf_words import PROBES, with_words
from qlora_app.export.gguf_writer import _codes
from tests.fixtures.gguf import PLAIN, as_gguf
from tests.real_tokenizers import REAL, real_tokenizer
from tests.refusing import refused
from tests.tiny_models import FAMILIES, tiny_config

PUBLISHED = ("llama31", "mistral_v01", "qwen3")
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


@pytest.mark.parametrize("dtype", ["F16", "BF16", "Q8_0"])
def test_a_smaller_type_of_number_is_near(dtype, tmp_path):
    network, tokenizer, engine = as_gguf("llama", tmp_path, dtype)
    ids = list(range(3, 40))
    with torch.no_grad():
        logs = network(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    told = engine.likeliest_after(ids, 20, tokenizer.eos_token_id)
    assert all(abs(float(logs[id]) - log) < 0.2 for id, log in told)


@pytest.mark.parametrize("dtype", ["Q6_K", "Q5_K_M", "Q4_K_M", "Q5_1", "Q5_0", "Q4_1", "Q4_0"])
def test_few_bits_are_those_that_llama_cpp_reads_and_k_quants_are_mixed(dtype, tmp_path):
    import gguf

    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 9, "head_dim": 32}
    network, tokenizer, engine = as_gguf("qwen3", tmp_path, dtype, **sizes)
    ids = list(range(3, 40))
    with torch.no_grad():
        logs = network(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    told = engine.likeliest_after(ids, 20, tokenizer.eos_token_id)
    off = sum(abs(float(logs[id]) - log) for id, log in told) / len(told)
    assert off < {"6": 0.3, "5": 0.6, "4": 1.2}[dtype[1]]
    held = {one.name: one for one in gguf.GGUFReader(tmp_path / "qwen3.gguf").tensors}
    for name, layer in (("attn_q", "self_attn.q_proj"), ("ffn_down", "mlp.down_proj")):
        one, weight = held[f"blk.3.{name}.weight"], network.get_submodule(f"model.layers.3.{layer}").weight.detach()
        read = torch.from_numpy(gguf.quants.dequantize(one.data, one.tensor_type))
        assert float((read - weight).norm() / weight.norm()) < {"6": 0.03, "5": 0.06, "4": 0.12}[dtype[1]]
    types = {name: one.tensor_type.name for name, one in held.items()}
    common = dtype.removesuffix("_M")
    assert types["blk.3.attn_q.weight"] == common and types["blk.3.attn_norm.weight"] == "F32"
    mixed = [n for n in range(9) if types[f"blk.{n}.ffn_down.weight"] != common]
    assert mixed == ([0, 3, 6, 7, 8] if dtype.endswith("_M") else [])


def test_llama_cpp_cuts_texts_alike_whatever_a_run_is_called(tmp_path):
    _, tokenizer, engine = as_gguf("llama", tmp_path, title="Like Phi-3, or phi3")
    assert engine.encode("Mira lives") == tokenizer("Mira lives", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    ("name", "dtype", "is_tied", "kind"),
    [
        ("output.weight", "Q4_K_M", False, "Q6_K"),
        ("token_embd.weight", "Q4_K_M", False, "Q4_K"),
        ("token_embd.weight", "Q4_K_M", True, "Q6_K"),
        ("token_embd.weight", "Q4_0", True, "Q6_K"),
        ("output.weight", "Q8_0", False, "Q8_0"),
        ("blk.1.attn_qkv.weight", "Q4_K_M", True, "Q5_K"),
        ("blk.1.attn_qkv.weight", "Q5_K_M", True, "Q6_K"),
        ("blk.1.attn_qkv.weight", "Q6_K", True, "Q6_K"),
    ],
)
def test_what_is_felt_most_has_the_most_bits(name, dtype, is_tied, kind):
    assert type_of(name, (256, 256), dtype, 9, is_tied).name == kind


def test_rows_that_do_not_divide_into_large_blocks_have_small_ones():
    assert type_of("blk.0.attn_q.weight", (64, 96), "Q4_K_M", 2).name == "Q5_0"
    assert type_of("output.weight", (64, 96), "Q4_K_M", 2).name == "Q8_0"
    assert type_of("blk.0.attn_q.weight", (64, 40), "Q5_K_M", 2).name == "F16"


def test_codes_of_qalora_are_not_rounded():
    """Only the smallest value of a block is, to 16 bits."""
    import gguf

    torch.manual_seed(0)
    codes = torch.randint(0, 16, (5, 128))
    scales, zeros = torch.rand(5, 2).half(), 15 * torch.rand(5, 2)
    content = _codes(codes, scales, zeros)
    found = torch.from_numpy(gguf.quants.dequantize(content, gguf.GGMLQuantizationType.Q4_1))
    wanted = ((codes.view(5, 2, 64) - zeros[..., None]) * scales.float()[..., None]).view(5, 128)
    assert (found - wanted).abs().max() < 0.005
    low = torch.from_numpy(content.reshape(5, 4, 20)[..., 4:] & 15)
    assert torch.equal(low, codes.view(5, 4, 32)[..., :16].byte())


# ---- what cannot be written is refused


@pytest.mark.parametrize(
    ("family", "settings", "code"),
    [
        ("gpt_neox", {}, "export.gguf_family"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}}, "export.gguf_rope"),
        ("qwen2", {"use_sliding_window": True}, "export.gguf_window"),
        ("gemma2", {"query_pre_attn_scalar": 99}, "export.gguf_scale"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(family, settings, code):
    config = tiny_config(family, **settings).to_dict() if family in FAMILIES else {"model_type": family}
    assert family_problem(config).code == code
    assert all(family_problem(tiny_config(one, **AS_PUBLISHED.get(one, {})).to_dict()) is None for one in ROWS)


def test_a_tokenizer_of_another_kind_is_refused():
    tokenizer = FAMILIES["bert"].tokenizer()
    tokenizer.chat_template = PLAIN.replace("eos_token", "'[SEP]'")
    with refused("export.gguf_tokenizer"):
        vocabulary_of(tokenizer, len(tokenizer), [])


def test_an_answer_that_ends_with_letters_is_refused():
    tokenizer = FAMILIES["llama"].tokenizer()
    tokenizer.chat_template = PLAIN.replace("eos_token", "'<|im_end|>'")
    with refused("export.gguf_stop", "<|im_end|>"):
        vocabulary_of(tokenizer, len(tokenizer), [])


def test_the_template_loses_the_marks_that_only_transformers_knows():
    marked = "{% generation %}a{%- endgeneration -%}b{%generation%}"
    assert GENERATION.sub("", marked) == "ab"


# ---- texts become the same tokens


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.matrix] * (name != "mistral_v01")) for name in REAL if name in PUBLISHED],
)
def test_published_tokenizers_are_found_again(name):
    tokenizer = real_tokenizer(name)
    vocabulary, otherwise = with_words(vocabulary_of(tokenizer, len(tokenizer), []), tokenizer, PROBES)
    assert otherwise == [] and vocabulary.pre


def test_a_tokenizer_that_cuts_words_in_a_way_of_its_own_is_refused():
    from tokenizers import pre_tokenizers

    tokenizer = FAMILIES["llama"].tokenizer()
    own = pre_tokenizers.Split("v", "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([own, level])
    tokenizer.chat_template = PLAIN
    with refused("export.gguf_tokenizer"):
        with_words(vocabulary_of(tokenizer, len(tokenizer), []), tokenizer, ["never late, every evening, Mira lives"])
