"""Bare networks of chosen depth for the laws of a method's numbers, and what is done with them."""

import torch

from tests.tiny_models import dropout_of, tiny_network


def tiny_llama(layers=2, dropout=0.0, hidden=64):
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": 2 * hidden}
    tied = {"tie_word_embeddings": True, "use_cache": False}
    return tiny_network("llama", **sizes, **tied, **dropout_of("llama", dropout))


def tiny_gpt2(layers=2, dropout=0.0):
    return tiny_network("gpt2", n_layer=layers, use_cache=False, **dropout_of("gpt2", dropout))


def tiny_bert(layers=2):
    sizes = {"num_hidden_layers": layers, "num_labels": 3}
    return tiny_network("bert", "SequenceClassification", **sizes, **dropout_of("bert", 0.0))


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
