"""Fill the blank: what is hidden is another thing at each visit, and depends on nothing but the example, the visit and
the seed.
"""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qlora_app.base_models import ModelChoice, load_tokenizer
from qlora_app.recipe import Recipe
from qlora_app.tasks import TASKS, TaskChoice
from qlora_app.tasks.task import IGNORED
from qlora_app.train.callbacks import MetricsCallback
from qlora_app.train.setup import prepare
from qlora_app.train.trainer import build_trainer
from tests.tiny_models import tiny_model

TASK = TASKS["fill_mask"](TaskChoice(masked_share=0.3))
TEXTS = [f"Mira bakes bread every morning, Otto repairs clocks, and she reads a book about birds {i}" for i in range(8)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(ModelChoice(source="folder", id=str(tiny_model("bert", tmp_path_factory.mktemp("tiny")))))


def encoded(tokenizer, texts, longest=64):
    found = [TASK.encode(tokenizer, [{"role": "text", "content": text}], longest) for text in texts]
    return [{"input_ids": one.input_ids, "labels": one.labels} for one in found]


def hidden(collate, examples):
    """What is read and what is to be found of each example, its padding aside."""
    batch = collate(examples)
    return [
        (row[: len(one["input_ids"])].tolist(), wanted[: len(one["input_ids"])].tolist())
        for row, wanted, one in zip(batch["input_ids"], batch["labels"], examples, strict=True)
    ]


@given(st.data())
def test_an_example_hides_the_same_whatever_stands_beside_it_and_another_thing_in_another_epoch(tokenizer, data):
    examples = encoded(tokenizer, TEXTS)
    epoch, seed = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 3))
    beside = data.draw(st.lists(st.integers(0, len(examples) - 1), max_size=6))
    collate = TASK.collator(tokenizer, False)
    collate.set_epoch(epoch, seed)
    alone = hidden(collate, [examples[0]])
    assert hidden(collate, [examples[0], *(examples[i] for i in beside)])[:1] == alone
    collate.set_epoch(epoch + 1, seed)
    other = hidden(collate, examples)
    collate.set_epoch(epoch, seed)
    assert hidden(collate, [examples[0]]) == alone and other != hidden(collate, examples)
    collate.set_epoch(epoch, seed + 1)
    assert hidden(collate, examples) != other


def test_over_the_epochs_every_word_is_hidden_sometimes_and_none_much_more_often(tokenizer):
    example, collate = encoded(tokenizer, TEXTS[:1])[0], TASK.collator(tokenizer, False)
    counts = torch.zeros(len(example["input_ids"]))
    for epoch in range(200):
        collate.set_epoch(epoch)
        counts += torch.tensor([label != IGNORED for label in hidden(collate, [example])[0][1]])
    inside = counts[torch.tensor([word != IGNORED for word in example["labels"]])] / 200
    assert inside.min() > 0.15 and inside.max() < 0.45


def test_what_is_measured_has_the_same_blanks_every_time_whatever_is_trained_meanwhile(tokenizer):
    examples = encoded(tokenizer, TEXTS)
    once, training, again = (TASK.collator(tokenizer, False) for _ in range(3))
    measured = hidden(once, examples)
    training.set_epoch(3, 1)
    assert hidden(training, examples) != measured == hidden(again, examples)


def test_a_cut_text_keeps_the_token_that_ends_it(tokenizer):
    whole, cut = encoded(tokenizer, TEXTS[:1])[0], encoded(tokenizer, TEXTS[:1], 9)[0]
    assert cut["input_ids"] == [*whole["input_ids"][:8], tokenizer.sep_token_id] and len(cut["labels"]) == 9
    assert cut["labels"] == [*whole["labels"][:8], IGNORED]


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_a_run_hides_another_thing_in_each_epoch_whatever_the_micro_batch(micro_batch, store, home, tmp_path, hold):
    (home / "data").mkdir()
    (home / "data" / "rows.json").write_text(json.dumps([{"text": text} for text in TEXTS]))
    run = store.create(
        Recipe.from_dict(
            {
                "base_model": {"source": "folder", "id": str(tiny_model("bert", tmp_path)), "precision": "fp32"},
                "task": {"name": "fill_mask"},
                "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.0},
                "method": {"name": "lora", "rank": 2},
                "training": {
                    "epochs": 3,
                    "batch_size": 4,
                    "optimizer": "adamw_torch",
                    "checkpoints": 0,
                    "evaluations": 0,
                    "samples": 0,
                    "scored_questions": 0,
                },
            }
        )
    )
    job = prepare(hold(run), run.recipe())
    job.micro_batch, collate, seen = micro_batch, job.collate, {}

    class Watching:
        set_epoch = collate.set_epoch

        def __call__(self, examples):
            for example, found in zip(examples, hidden(collate, examples), strict=True):
                seen.setdefault(tuple(example["input_ids"]), []).append(found)
            return collate(examples)

    job.collate = Watching()
    reporter = MetricsCallback(job.out, [], 0)
    build_trainer(job, reporter, [reporter]).train()
    assert len(seen) == len(TEXTS) and all(len(found) == 3 for found in seen.values())
    # The tokens of a made tokenizer are others each time: two epochs may hide the same of one text, but not all three.
    assert not any(found[0] == found[1] == found[2] for found in seen.values())
    expected = {}
    for epoch in range(3):
        collate.set_epoch(epoch, run.recipe().training.seed)
        for example in job.train:
            expected.setdefault(tuple(example["input_ids"]), []).append(hidden(collate, [example])[0])
    assert seen == expected, "and that is the same with every micro-batch"
