"""How a token is chosen, against the processors of transformers."""

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from qlora_app.inference.sampling import Chooser, Sampling

BEFORE = [3, 5, 5, 9]


def theirs(logits, how):
    wanted = [
        (how.repetition_penalty != 1, lambda: RepetitionPenaltyLogitsProcessor(how.repetition_penalty)),
        (True, lambda: TemperatureLogitsWarper(float(how.temperature))),
        (how.top_k, lambda: TopKLogitsWarper(how.top_k)),
        (how.top_p < 1, lambda: TopPLogitsWarper(how.top_p)),
        (how.min_p, lambda: MinPLogitsWarper(how.min_p)),
    ]
    processors = LogitsProcessorList([make() for is_on, make in wanted if is_on])
    return processors(torch.tensor([BEFORE]), logits[None])[0].softmax(-1)


@pytest.mark.parametrize(
    "how",
    [
        Sampling(temperature=1.0, top_p=0.6, seed=3),
        Sampling(temperature=1.3, min_p=0.2, seed=4),
        Sampling(temperature=1.2, top_k=8, top_p=0.8, min_p=0.05, repetition_penalty=1.2, seed=6),
    ],
    ids=str,
)
def test_tokens_are_drawn_with_the_chances_that_transformers_gives_them(how):
    logits = 2 * torch.randn(12, generator=torch.Generator().manual_seed(0))
    expected, chooser, count = theirs(logits, how), Chooser(how), 1200
    drawn = torch.zeros(12)
    for _ in range(count):
        drawn[chooser.choose(logits, BEFORE)] += 1
    assert ((drawn > 0) <= (expected > 0)).all(), "what is cut away is never drawn"
    assert torch.allclose(drawn / count, expected, atol=0.06)


@pytest.mark.parametrize("how", [Sampling(), Sampling(top_k=1, temperature=1), Sampling(top_p=1e-9, temperature=1)])
def test_the_likeliest_is_taken_where_nothing_else_is_left(how):
    logits = torch.tensor([0.1, 2.0, 1.9])
    assert Chooser(how).choose(logits, []) == 1


def test_a_penalty_may_change_which_is_likeliest():
    logits = torch.tensor([0.0, 2.0, 1.9, -1.0])
    assert Chooser(Sampling(repetition_penalty=1.2)).choose(logits, [1]) == 2
    assert Chooser(Sampling(repetition_penalty=1.2)).choose(logits, [3]) == 1
