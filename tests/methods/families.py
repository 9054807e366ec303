"""Tiny models of several families, made from configurations."""

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)


def tiny_llama(layers=2, dropout=0.0, hidden=64):
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=128,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            attention_dropout=dropout,
            use_cache=False,
        )
    )


def tiny_gpt2(layers=2, dropout=0.0):
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=128,
            n_embd=64,
            n_layer=layers,
            n_head=4,
            n_positions=128,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            use_cache=False,
        )
    )


def tiny_bert(layers=2):
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=128,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=64,
            num_labels=3,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


FAMILIES = {"llama": tiny_llama, "gpt2": tiny_gpt2}


def some_batch(rows=2, tokens=24):
    ids = torch.randint(5, 128, (rows, tokens), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": ids.clone()}


def train(model, batch, steps=4, rate=1e-2, more=lambda inputs, outputs: 0.0):
    """A few real steps; the losses."""
    optimizer, losses = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate), []
    model.train()
    for _ in range(steps):
        outputs = model(**batch, use_cache=False)
        (outputs.loss + more(batch, outputs)).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(outputs.loss.item())
    return losses


def logits(model, batch):
    """What the model answers when nothing is left to chance."""
    model.eval()
    with torch.no_grad():
        return model(input_ids=batch["input_ids"], use_cache=False).logits.clone()
