"""Tiny models of every family, made from configurations and saved as safetensors, opened as the app opens them."""

import functools
import tempfile
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BertConfig,
    BitsAndBytesConfig,
    DebertaV2Config,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
)

from qlora_app.base_models.loading import _keep_gradients_after_evaluation, _quiet_libraries

WORDS = 128
DECODER = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ENCODER = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
FAMILIES = {
    "llama": LlamaConfig(**{k: v for k, v in DECODER.items() if k != "head_dim"}),
    "mistral": MistralConfig(**DECODER),
    "qwen2": Qwen2Config(**{k: v for k, v in DECODER.items() if k != "head_dim"}),
    "qwen3": Qwen3Config(**DECODER),
    "gemma": GemmaConfig(**DECODER),
    "gemma2": Gemma2Config(**DECODER),
    "gemma3_text": Gemma3TextConfig(**DECODER),
    "phi3": Phi3Config(**{k: v for k, v in DECODER.items() if k != "head_dim"}),
    "gpt2": GPT2Config(
        vocab_size=WORDS,
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    ),
    "t5": T5Config(
        vocab_size=WORDS,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
        pad_token_id=0,
        dropout_rate=0.0,
    ),
    "bert": BertConfig(**ENCODER),
    "roberta": RobertaConfig(**ENCODER),
    "deberta-v2": DebertaV2Config(**ENCODER, pos_att_type=["p2c", "c2p"]),
}
KINDS = {
    "t5": (AutoModelForSeq2SeqLM, "SEQ_2_SEQ_LM"),
    "bert": (AutoModelForMaskedLM, None),
    "roberta": (AutoModelForMaskedLM, None),
    "deberta-v2": (AutoModelForMaskedLM, None),
}


def task_type(family):
    return KINDS.get(family, (AutoModelForCausalLM, "CAUSAL_LM"))[1]


@functools.cache
def folder(family):
    """Where the files of the tiny model of a family lie; the same weights in every test."""
    torch.manual_seed(0)
    made = KINDS.get(family, (AutoModelForCausalLM,))[0].from_config(FAMILIES[family])
    with torch.no_grad():  # scales and offsets that do something: a fresh model has ones and zeros
        for p in made.parameters():
            if p.dim() == 1:
                p.add_(0.1 * torch.randn_like(p))
    path = Path(tempfile.mkdtemp()) / family
    made.save_pretrained(path)
    return path


def opened(family="llama", precision="fp32"):
    _quiet_libraries()
    _keep_gradients_after_evaluation()
    quantized = {
        "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
        "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
        "int8": {"load_in_8bit": True},
    }.get(precision)
    model = KINDS.get(family, (AutoModelForCausalLM,))[0].from_pretrained(
        folder(family),
        dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        device_map={"": "cpu"},
        quantization_config=BitsAndBytesConfig(**quantized, bnb_4bit_compute_dtype=torch.float32)
        if quantized
        else None,
    )
    model.config.use_cache = False
    return model.eval()


def batch(family="llama"):
    """Two rows of sixteen tokens, of which the second is shorter."""
    torch.manual_seed(1)
    ids = torch.randint(3, WORDS, (2, 16))
    mask = torch.ones_like(ids)
    ids[1, 12:], mask[1, 12:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask == 1, ids, -100)}


def logits(model, inputs):
    """Where there is a token, the logits of its place, in 32 bit."""
    model.eval()
    with torch.no_grad():
        made = model(**inputs).logits[:, -inputs["input_ids"].shape[1] :].float()
    return made[inputs["attention_mask"].bool()]


def train(method, model, inputs, steps=4, rate=1e-2):
    """Some steps as the Trainer makes them; returns the losses."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    losses = []
    for step in range(1, steps + 1):
        model.train()
        outputs = model(**{k: v for k, v in inputs.items() if k != "options"})
        more = method.loss(model, inputs, outputs)
        loss = outputs.loss if more is None else outputs.loss + more
        loss.backward()
        optimizer.step()
        method.after_step(model, step, steps)
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
