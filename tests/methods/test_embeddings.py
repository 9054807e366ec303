"""Embeddings that learn: one weight where the base has one, and the same again from disk, here and in plain PEFT."""

import pytest
import torch
from peft import PeftModel

from qlora_app.methods import LoraMethod, changed_layers, parameter_checksums
from tests.methods.tiny import batch, logits, opened, train
from tests.tiny_models import FAMILIES, dropout_of, task_type, tiny_network

METHOD = LoraMethod(rank=4, alpha=8, dropout=0.0, train_embeddings=True)
TIED = ["llama", "gpt2", "t5", "gemma3_text"]


def base_of(family):
    """Its input embeddings and its head one weight."""
    made = tiny_network(family, tie_word_embeddings=True, use_cache=False, **dropout_of(family, 0.0)).eval()
    assert made.get_input_embeddings().weight is made.get_output_embeddings().weight
    return made


def trained(family, base):
    torch.manual_seed(0)
    model = METHOD.attach(base, task_type(family))
    before = parameter_checksums(model)
    losses = train(METHOD, model, batch(family))
    assert losses[-1] < losses[0] and changed_layers(model, before)["zero_layers"] == 0
    return model


@pytest.mark.parametrize("family", TIED)
def test_what_is_tied_learns_as_one_weight_and_comes_back(family, tmp_path):
    model, asked = trained(family, base_of(family)), batch(family)
    inside = model.get_base_model()
    learned = {id(part.weight) for part in (inside.get_input_embeddings(), inside.get_output_embeddings())}
    assert len(learned) == 1, "still one"
    assert [p.shape[0] for name, p in model.named_parameters() if p.requires_grad and "lora_" not in name] == [
        inside.config.vocab_size
    ]
    now = logits(model, asked)
    METHOD.save(model, tmp_path)
    with METHOD.from_disk(model, tmp_path):
        assert torch.equal(logits(model, asked), now), "the proof measures it right"
    assert torch.equal(logits(model, asked), now), "and leaves it as it was"
    assert torch.equal(logits(METHOD.load(base_of(family), tmp_path), asked), now)
    assert torch.equal(logits(PeftModel.from_pretrained(base_of(family), str(tmp_path)), asked), now)
    with model.disable_adapter():
        assert torch.equal(logits(model, asked), logits(base_of(family), asked))


@pytest.mark.parametrize("family", TIED)
def test_a_tied_model_goes_on_from_disk_as_if_it_had_never_been_away(family, tmp_path):
    model = trained(family, base_of(family))
    METHOD.save(model, tmp_path)
    resumed = METHOD.attach(base_of(family), task_type(family))
    METHOD.resume(resumed, tmp_path)
    again = [train(METHOD, one, batch(family)) for one in (model, resumed)]
    assert again[0] == again[1] and torch.equal(logits(model, batch(family)), logits(resumed, batch(family)))


def test_every_module_of_t5_that_reads_the_weight_reads_what_was_learned():
    inside = trained("t5", base_of("t5")).get_base_model()
    parts = (inside.shared, inside.encoder.embed_tokens, inside.decoder.embed_tokens, inside.lm_head)
    assert len({id(part.weight) for part in parts}) == 1


@pytest.mark.daily(4)
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"gpt2", "t5"}))
def test_on_every_family_it_comes_back(family, tmp_path):
    model, asked = trained(family, opened(family)), batch(family)
    METHOD.save(model, tmp_path)
    now = logits(model, asked)
    with METHOD.from_disk(model, tmp_path):
        assert torch.equal(logits(model, asked), now)
    assert torch.equal(logits(PeftModel.from_pretrained(opened(family), str(tmp_path)), asked), now)
