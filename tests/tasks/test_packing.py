"""A model is packed only where that is what it computed before: with the attention it was loaded with, each example
alone.
"""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from qlora_app.tasks.packing import (
    ATTENTION,
    IGNORED,
    _alone,
    _apart,
    pack,
    packed,
)

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
LONG = [list(range(5, 45)), list(range(10, 22)), list(range(30, 33))]


def made(family, kind=torch.float32, **config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SMALL | config)).to(kind).eval()


def as_loaded(model, rows):
    """Logits of each by itself, with the model's own attention."""
    with torch.no_grad():
        return torch.cat([model(input_ids=torch.tensor([row]), use_cache=False).logits[0, :-1] for row in rows])


def in_one_row(model, rows):
    batch = packed([{"input_ids": row, "labels": row} for row in rows])
    with torch.no_grad():
        return model(**batch, use_cache=False).logits.reshape(-1, SMALL["vocab_size"])


PACKED = {
    "gpt_oss": {"num_local_experts": 4, "sliding_window": 6},
    "mistral": {"sliding_window": 6},
    "mixtral": {"num_local_experts": 4},
    "gemma3_text": {"sliding_window": 6},
    "granite_swa": {"sliding_window": 6},
    "gpt2": {},
    "opt": {"word_embed_proj_dim": 32, "ffn_dim": 32},
    "gpt_neox": {},
    "cohere": {},
    "qwen3": {},
    "phi3": {"sliding_window": 6},
    "starcoder2": {"sliding_window": 6},
}


@pytest.mark.parametrize("family", PACKED)
def test_what_is_packed_computes_what_it_did_also_beyond_its_window_and_with_sinks(family):
    model = made(family, **PACKED[family])
    wanted = as_loaded(model, LONG)
    assert pack(model) and model.config._attn_implementation == ATTENTION
    assert getattr(model.config, "sliding_window", None) == PACKED[family].get("sliding_window"), "left as it was"
    for found in (in_one_row(model, LONG), as_loaded(model, LONG)):
        assert float((found - wanted).norm() / wanted.norm()) < 1e-5


def test_sinks_get_the_gradients_they_have_alone():
    model, gradients = made("gpt_oss", **PACKED["gpt_oss"]), []
    for is_packed in (False, True):
        model.zero_grad()
        if is_packed:
            assert pack(model)
            model(**packed([{"input_ids": row, "labels": row} for row in LONG]), use_cache=False).loss.backward()
        else:
            losses = []
            for row in LONG:
                logits = model(input_ids=torch.tensor([row]), use_cache=False).logits[0, :-1]
                losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(row[1:]), reduction="sum"))
            (sum(losses) / sum(len(row) - 1 for row in LONG)).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    alone, together = gradients
    assert alone.keys() == together.keys() and any("sinks" in name for name in alone)
    assert all(torch.allclose(together[name], gradient, rtol=1e-3, atol=1e-6) for name, gradient in alone.items())


def test_a_model_with_sinks_also_answers_as_it_did():
    """With a cache and padded on the left, as when it generates."""
    model = made("gpt_oss", **PACKED["gpt_oss"])
    asked = {
        "input_ids": torch.tensor([LONG[0][:12], [0] * 4 + LONG[0][:8]]),
        "attention_mask": torch.tensor([[1] * 12, [0] * 4 + [1] * 8]),
    }
    how = {
        "max_new_tokens": 8,
        "do_sample": False,
        "use_cache": True,
        "output_scores": True,
        "return_dict_in_generate": True,
    }
    own = model.generate(**asked, **how)
    assert pack(model)
    ours = model.generate(**asked, **how)
    assert torch.equal(own.sequences, ours.sequences)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(own.scores, ours.scores, strict=True))


PADDED = {
    "gemma2": {},
    "bloom": {},
    "mpt": {"d_model": 32, "n_heads": 4},
    "gptj": {"n_embd": 32, "n_head": 4, "rotary_dim": 4, "n_layer": 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2},
    "mamba": {},
    "nemotron": {},
    "llama4_text": {"attention_chunk_size": 32, "num_local_experts": 2},
}


@pytest.mark.parametrize("family", PADDED)
def test_what_packing_would_change_is_padded_and_left_as_it_was(family):
    """Soft-capping, ALiBi, positions it does not ask for, chunks that are longer than what is measured, state that runs
    on.
    """
    model = made(family, **PADDED[family])
    own, wanted = model.config._attn_implementation, as_loaded(model, LONG)
    assert not pack(model)
    assert model.config._attn_implementation == own and torch.equal(as_loaded(model, LONG), wanted)
    assert getattr(model.config, "attention_chunk_size", None) == PADDED[family].get("attention_chunk_size")


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_usual_family_is_measured_too(family):
    """A model of a well-known name whose attention passes over the groups would learn from its neighbours."""
    model = made(family)
    forward = model.forward
    model.forward = lambda example_groups=None, back_in_row=None, **rest: forward(**rest)
    assert not pack(model)


def test_a_model_in_sixteen_bits_is_packed_and_one_that_mixes_is_not():
    assert pack(made("llama", torch.bfloat16)) and pack(made("gpt_oss", torch.bfloat16, **PACKED["gpt_oss"]))
    assert not pack(made("mpt", torch.bfloat16, **PADDED["mpt"])) and not pack(made("nemotron", torch.bfloat16))


def test_what_is_compared_is_the_models_own_attention_and_not_ours_twice():
    """Ours without the sinks is the same packed and alone; it is not what the model computes."""
    model = made("gpt_oss", **PACKED["gpt_oss"])
    with torch.no_grad():
        own = _alone(model)
        for part in model.modules():
            if hasattr(part, "sinks"):
                part.sinks.data.fill_(-1e4)
        assert _apart(_alone(model), own) > 1e-2
    assert IGNORED == -100
