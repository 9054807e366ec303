"""AdaLoRA moves its ranks, measures as the base does, and goes on from a checkpoint of any phase."""

import pytest
import torch
from safetensors.torch import load_file

from qlora_app.methods.adalora import ALLOCATOR, AdaloraMethod
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
    if stopped == 18:
        assert zero.any() and bool((values(resumed)[zero] == 0).all()), "in the last phase nothing comes back"
    else:
        assert not zero.any() or stopped > 3, "in the first phase nothing is taken away"


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [1, 3, 9, 12, 14, 18])
def test_a_resumed_run_takes_each_later_step_as_if_it_had_not_stopped(stopped, tmp_path):
    """Before ranks are taken away, while they are, and after: what decides is the allocator's memory, not the adapter
    alone.
    """
    torch.manual_seed(0)
    model = METHOD.attach(opened())
    steps(model, range(1, stopped + 1), 20)
    METHOD.save(model, tmp_path)
    resumed = METHOD.attach(opened())
    METHOD.resume(resumed, tmp_path)
    for step in range(stopped + 1, 21):
        for one in (model, resumed):  # without moments, which the Trainer keeps
            outputs = one.train()(**batch())
            (outputs.loss + METHOD.loss(one, {}, outputs)).backward()
            with torch.no_grad():
                for p in one.parameters():
                    if p.grad is not None:
                        p.sub_(0.5 * p.grad)
            METHOD.after_step(one, step, 20)
            one.zero_grad()
        assert torch.equal(values(model), values(resumed)), step
    assert model.peft_config["default"].rank_pattern == resumed.peft_config["default"].rank_pattern


def test_the_allocator_is_kept_in_checkpoints_as_safetensors_and_in_no_finished_adapter(tmp_path):
    model = METHOD.attach(opened())
    steps(model, range(1, 6), 20)
    METHOD.save(model, tmp_path)
    kept = load_file(tmp_path / ALLOCATOR)
    allocator = model.base_model.rankallocator
    assert {key.partition("/")[0] for key in kept} == {"exp_avg_ipt", "exp_avg_unc", "left"}
    assert all(torch.equal(tensor, kept[f"exp_avg_unc/{name}"]) for name, tensor in allocator.exp_avg_unc.items())
    METHOD.finish(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".md") == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
