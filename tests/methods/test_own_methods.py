"""Adapters that PEFT does not know, in 4-bit models of every family: trained, saved, and the same from disk."""

import pytest
import torch

from qlora_app.methods import AdaMixMethod, MeftMethod
from qlora_app.methods.claims import FAMILIES
from tests.methods.tiny import batch, logits, opened, train
from tests.tiny_models import task_type

KINDS = [AdaMixMethod(rank=4, dropout=0.0, kind="houlsby"), MeftMethod(rank=4, dropout=0.0)]
CASES = [(method, family, "nf4") for method in KINDS for family in method.families or FAMILIES]


def name_of(case):
    method, family, precision = case
    return f"{method.name}-{getattr(method, 'kind', '')}-{family}-{precision}".replace("--", "-")


@pytest.mark.daily(4)
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_it_trains_and_comes_back_from_disk_the_same(case, tmp_path):
    method, family, precision = case
    torch.manual_seed(0)
    inputs, model = batch(family), method.attach(opened(family, precision), task_type(family))
    base = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    method.before_first_step(model, inputs)
    losses = train(method, model, inputs, steps=5)
    assert losses[-1] < losses[0]
    assert all(torch.equal(p, base[name]) for name, p in model.named_parameters() if name in base), (
        "the base stays as it is"
    )
    method.save(model, tmp_path)
    method.finish(model, tmp_path)
    after = logits(model, inputs)
    loaded = method.load(opened(family, precision), tmp_path)
    assert torch.equal(logits(loaded, inputs), after)
    with loaded.disable_adapter(), model.disable_adapter():
        assert torch.equal(logits(loaded, inputs), logits(model, inputs)) and not torch.equal(
            logits(loaded, inputs), after
        )
    with method.from_disk(model, tmp_path):
        assert torch.equal(logits(model, inputs), after)
