"""What the tests of methods do with the tiny models: open them as the app opens a base, train, compare."""

import functools
import tempfile
from pathlib import Path

import torch
import transformers

from qlora_app.base_models.loading import _keep_gradients_after_evaluation, _quiet_libraries
from tests.tiny_models import FAMILIES, NUMBERS, dropout_of, tiny_network


@functools.cache
def folder(family):
    """Where the files of the tiny model of a family lie; the same weights in every test."""
    made = tiny_network(family, **dropout_of(family, 0.0))
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
    auto_class = getattr(transformers, f"AutoModelFor{FAMILIES[family].head}")
    model = auto_class.from_pretrained(
        folder(family),
        dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        device_map={"": "cpu"},
        quantization_config=transformers.BitsAndBytesConfig(**quantized, bnb_4bit_compute_dtype=torch.float32)
        if quantized
        else None,
    )
    model.config.use_cache = False
    return model.eval()


def batch(family="llama"):
    """Two rows of sixteen tokens, of which the second is shorter."""
    torch.manual_seed(1)
    ids = torch.randint(3, NUMBERS["vocab_size"], (2, 16))
    mask = torch.ones_like(ids)
    ids[1, 12:], mask[1, 12:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask == 1, ids, -100)}


def logits(model, inputs):
    """Where there is a token, the logits of its place, in 32 bit."""
    model.eval()
    with torch.no_grad():
        made = model(**inputs).logits[:, -inputs["input_ids"].shape[1] :].float()
    return made[inputs["attention_mask"].bool()]


def apart(some, others):
    """The largest difference of two sets of logits, as a share of the largest logit where that is over one."""
    return float((some - others).abs().max() / others.abs().max().clamp(min=1))


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
