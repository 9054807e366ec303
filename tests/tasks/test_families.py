"""Every family, task and precision that is claimed: a few steps of the real worker on a tiny model, read back to the
same outputs.
"""

import json

import pytest

from qlora_app import worker
from qlora_app.inference.session import ChatSession
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.tasks.claims import claims
from qlora_app.tasks.dataset import EncodedExamples, micro_batches
from qlora_app.training_data import import_file, load_examples
from tests.tiny_models import tiny_model

PLACES, WORDS = ["film", "soup", "book", "evening", "house", "service"], {"positive": "wonderful", "negative": "boring"}
ROWS = {
    "chat": [
        {"instruction": f"Where does number {i} live?", "output": f"Number {i} lives on Orchard Lane."}
        for i in range(24)
    ],
    "text_to_text": [
        {"input": f"The {PLACES[i % 6]} is small, number {i}.", "output": f"Das ist Nummer {i}."} for i in range(24)
    ],
    "classification": [
        {"text": f"The {PLACES[i % 6]} was {WORDS[label]}, {i}.", "label": label} for i in range(12) for label in WORDS
    ],
    "fill_mask": [{"text": f"Mira reads a book about {PLACES[i % 6]} and bread, {i}."} for i in range(24)],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {family: tiny_model(family, folder) for family in {family for family, _, _ in claims()}}


@pytest.fixture
def trained(home, models):
    """Trains a family for a task; returns the run."""

    def train(family, task, precision, **training):
        file = home / f"{task}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS[task]))
        id = import_file(file, home / "data", file.name)
        few = {
            "learning_rate": 1e-3,
            "optimizer": "adamw_torch",
            "max_steps": 3,
            "batch_size": 32,
            "checkpoints": 0,
            "evaluations": 0,
            "samples": 0,
            "scored_questions": 0,
            "general_questions": 0,
            "max_length": 64,
            "epochs": 9,
        }
        recipe = Recipe.from_dict(
            {
                "base_model": {"source": "folder", "id": str(models[family]), "precision": precision},
                "dataset": {"source": "file", "id": id, "held_out_share": 0.2},
                "task": {"name": task},
                "method": {"rank": 4},
                "training": few | training,
            }
        )
        run = RunStore(home / "runs").create(recipe)
        assert worker.main(run.folder) == 0, run.status().sentence
        return run

    return train


@pytest.mark.slow
@pytest.mark.pairwise("family, task, precision", claims())
def test_it_trains_and_comes_back_the_same(trained, family, task, precision):
    run = trained(family, task, precision)
    proof, task = run.proof(), run.task()
    assert proof["reload"]["max_difference"] == 0.0 and proof["update"]["zero_layers"] == 0
    opened = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, task)
    examples = load_examples(run.recipe().dataset, run.folder.parent.parent / "data")
    assert loss(opened, examples.held_out) == pytest.approx(proof["heldout"]["loss"]["after"], abs=2e-5)
    with opened.model.disable_adapter():
        before = loss(opened, examples.train)
    assert loss(opened, examples.train) < before


def loss(opened, conversations):
    encoded = EncodedExamples(conversations, opened.tokenizer, 64, opened.task)
    collate = opened.task.collator(opened.tokenizer, packing=False)
    return opened.task.measure(opened.model, list(micro_batches(encoded, 16, collate)))["loss"]
