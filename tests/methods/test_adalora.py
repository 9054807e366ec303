"""AdaLoRA moves its ranks, measures as the base does, and goes on from a checkpoint of any phase."""

import pytest
import torch

from qlora_app.methods.adalora import AdaloraMethod
from tests.methods.tiny import batch, logits, opened, train

METHOD = AdaloraMethod(rank=4, first_rank=8, alpha=8)


def values(model):
    return torch.stack([p.flatten() for name, p in model.named_parameters() if "lora_E" in name])


def steps(model, numbers, total):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    for step in numbers:
        outputs = model.train()(**batch())
        (outputs.loss + METHOD.loss(model, {}, outputs)).backward()
        optimizer.step()
        METHOD.after_step(model, step, total)
        optimizer.zero_grad()


def test_half_of_the_values_are_left_and_not_the_same_in_every_layer():
    torch.manual_seed(0)
    model = METHOD.attach(opened())
    steps(model, range(1, 21), 20)
    left = (values(model) != 0).sum(1)
    assert left.float().mean().item() == pytest.approx(4, abs=0.1) and len(set(left.tolist())) > 1


def test_the_loss_of_orthogonality_is_in_no_measured_loss():
    model = METHOD.attach(opened())
    assert model(**batch()).loss.item() == pytest.approx(opened()(**batch()).loss.item(), abs=1e-6)
    before = METHOD.loss(model, {}, None).item()
    train(METHOD, model, batch(), steps=10)
    assert 0 < METHOD.loss(model, {}, None).item() < before


def test_a_run_of_one_step_takes_nothing_away():
    model = METHOD.attach(opened())
    train(METHOD, model, batch(), steps=1)
    assert bool((values(model) != 0).all())


@pytest.mark.parametrize("stopped", [3, 12, 18])
def test_a_resumed_run_takes_the_same_values_away(stopped, tmp_path):
    torch.manual_seed(0)
    model = METHOD.attach(opened())
    steps(model, range(1, stopped + 1), 20)
    METHOD.save(model, tmp_path)
    resumed = METHOD.attach(opened())
    METHOD.resume(resumed, tmp_path)
    assert torch.equal(logits(resumed, batch()), logits(model, batch()))
    zero = values(resumed) == 0
    steps(resumed, range(stopped + 1, 21), 20)
    assert (values(resumed) != 0).sum(1).float().mean().item() == pytest.approx(4, abs=0.1)
    assert bool((values(resumed)[zero] == 0).all()) or stopped < 14, "in the last phase nothing comes back"
