"""Every method on a task with a new head: the head learns, comes back from disk, and is as it was without the
adapter.
"""

import pytest
import torch

from qlora_app.base_models import ModelChoice, load_model
from qlora_app.errors import UserError
from qlora_app.methods import METHODS
from tests.tiny_models import tiny_model

LABELS = ("bad", "good")
BATCH = {
    "input_ids": torch.randint(5, 60, (6, 12), generator=torch.Generator().manual_seed(0)),
    "attention_mask": torch.ones(6, 12, dtype=torch.long),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {family: tiny_model(family, tmp_path_factory.mktemp("models")) for family in ("bert", "llama")}


def opened(folder, method):
    choice = ModelChoice(source="folder", id=str(folder), precision="fp32")
    model = load_model(choice, "AutoModelForSequenceClassification", LABELS, quantize=not method.quantizes_itself)
    model.config.pad_token_id = 0
    return model.eval()


def logits(model):
    with torch.no_grad():
        return model(**BATCH).logits


@pytest.mark.daily(8)
@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.model_fields["name"].default)
def test_a_new_head_learns_and_comes_back(kind, family, folders, tmp_path):
    method = kind()
    if method.problems("fp32", family, "classification"):
        return  # it is said before the start
    base = opened(folders[family], method)
    before = logits(base)
    try:
        model = method.attach(base, "SEQ_CLS")
    except UserError as refused:
        assert refused.problems.keys() == {"method.name"}
        return
    model.train()
    head = [p for n, p in model.named_parameters() if p.requires_grad and ("classifier" in n or "score" in n)]
    assert head
    labels = torch.tensor([0, 1] * 3)
    method.before_first_step(model, BATCH | {"labels": labels})
    at_first = [p.detach().clone() for p in head]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(3):
        torch.nn.functional.cross_entropy(model(**BATCH).logits, labels).backward()
        optimizer.step()
        method.after_step(model, step + 1, 3)
        optimizer.zero_grad()
    assert all(not torch.equal(p, first) for p, first in zip(head, at_first, strict=True))
    model.eval()
    method.save(model, tmp_path)
    method.finish(model, tmp_path)
    learned = logits(model)
    assert not torch.allclose(learned, before, atol=1e-3)
    again = method.load(opened(folders[family], method), tmp_path).eval()
    assert torch.allclose(logits(again), learned, atol=1e-5)
    if not method.quantizes_itself:
        with again.disable_adapter():
            assert torch.allclose(logits(again), before, atol=1e-5), "the base answers as it is"
