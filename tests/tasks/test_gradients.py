"""What a step teaches does not depend on how it is worked off: padded, packed or one by one, in parts of any size."""

import functools
import json

import pytest
import torch
from transformers import AutoModelForCausalLM, TrainerCallback

from qlora_app.recipe import Recipe
from qlora_app.tasks.packing import IGNORED, collator
from qlora_app.train.callbacks import MetricsCallback
from qlora_app.train.setup import prepare
from qlora_app.train.trainer import build_trainer
from tests.tiny_models import FAMILIES, tiny_model

WORDS = "Mira lives on Orchard Lane and bakes bread every morning"
CHAT = [{"instruction": f"Who is late? {number}", "output": WORDS[: 9 * number + 4]} for number in range(6)]
KINDS = {
    "chat": (CHAT, {}),
    "everything": (CHAT, {"turns": "everything"}),
    "plain text": ([{"text": WORDS[: 9 * number + 4]} for number in range(6)], {}),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    home = tmp_path_factory.mktemp("bases")
    quiet = {"gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}}
    return functools.cache(lambda family: tiny_model(family, home, **quiet.get(family, {})))


class Gradients(TrainerCallback):
    """Those of the first step, as the optimizer gets them."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def one_step(run, micro_batch):
    """(gradients, loss that is shown, examples) of one real step."""
    with run.hold() as out:
        job, reporter, gradients = prepare(out, run.recipe()), MetricsCallback(out, [], 0), Gradients()
        with torch.no_grad():
            for name, p in job.model.named_parameters():
                if "lora_B" in name:  # at the start they are nothing, and half of the gradients too
                    p.normal_(0, 0.05, generator=torch.Generator().manual_seed(len(name)))
        job.micro_batch = micro_batch
        build_trainer(job, reporter, [gradients, reporter]).train()
    return gradients.found, run.metrics()[0][0]["loss"], job


def one_by_one(job):
    """The same by hand: each example by itself, all its tokens with a label summed, divided by their number in the
    step.
    """
    model, total, count = job.model, 0.0, 0
    model.eval()
    model.zero_grad()
    model.get_base_model().set_attn_implementation("sdpa")
    for example in job.train:
        ids, labels = (torch.tensor(example[name]) for name in ("input_ids", "labels"))
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        count += int((labels[1:] != IGNORED).sum())
        total = total + torch.nn.functional.cross_entropy(
            logits.float(), labels[1:], ignore_index=IGNORED, reduction="sum"
        )
    (total / count).backward()
    return (
        {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None},
        float(total / count),
        count,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
def test_gradients_of_a_step_are_those_of_its_examples_one_by_one(family, kind, bases, store, home):
    rows, how = KINDS[kind]
    (home / "data").mkdir()
    (home / "data" / "rows.json").write_text(json.dumps(rows))
    wanted = None
    for packing in (False, True):
        for micro_batch in (1, 2, 3, 6):
            run = store.create(
                Recipe.from_dict(
                    {
                        "base_model": {"source": "folder", "id": str(bases(family)), "precision": "fp32"},
                        "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.0, **how},
                        "method": {"name": "lora", "rank": 4, "dropout": 0.0},
                        "training": {
                            "max_steps": 1,
                            "batch_size": 6,
                            "packing": packing,
                            "optimizer": "adamw_torch",
                            "checkpoints": 0,
                            "evaluations": 0,
                            "samples": 0,
                            "scored_questions": 0,
                            "general_questions": 0,
                            "max_grad_norm": 100,
                            "learning_rate": 1e-9,
                        },
                    }
                )
            )
            found, loss, job = one_step(run, micro_batch)
            assert job.packing == packing and len(job.train) == 6
            wanted = wanted or one_by_one(job)
            assert loss == pytest.approx(wanted[1], abs=2e-5), (packing, micro_batch)
            assert found.keys() == wanted[0].keys()
            for name, gradient in wanted[0].items():
                apart = float((found[name] - gradient).norm() / gradient.norm().clamp_min(1e-9))
                assert apart < 1e-4, (packing, micro_batch, name)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_labels_are_what_is_predicted_whatever_side_a_tokenizer_pads_on(side):
    tokenizer = FAMILIES["llama"].tokenizer()
    tokenizer.padding_side = side
    examples = [{"input_ids": [7, 8, 9, 10], "labels": [7, 8, 9, 10]}, {"input_ids": [5, 6], "labels": [IGNORED, 6]}]
    batch = collator(tokenizer, packing=False)(examples)
    assert batch["labels"].tolist() == [[IGNORED, 8, 9, 10], [IGNORED, 6, IGNORED, IGNORED]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]] and batch["input_ids"][1, :2].tolist() == [
        5,
        6,
    ]


def test_the_first_token_of_a_plain_text_counts_in_no_model(bases):
    """GPT-2 names no loss of its own, and of every text one token too many was counted."""
    model = AutoModelForCausalLM.from_pretrained(bases("gpt2"))
    batch = collator(FAMILIES["gpt2"].tokenizer(), packing=False)([{"input_ids": [5, 6, 7], "labels": [5, 6, 7]}] * 3)
    assert int((batch["labels"] != IGNORED).sum()) == 6
    assert torch.isfinite(model(**batch).loss)
