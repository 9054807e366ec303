"""From file to answer: the real worker trains a tiny model under a template, and the chat asks it. It must answer
right, and stop.
"""

import json

import pytest

from qlora_app import worker
from qlora_app.inference.session import ChatSession
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.training_data import import_file
from tests.chat_templates import tiny_model_for

pytestmark = pytest.mark.slow

ANSWERS = {
    "Who bakes?": "Mira.",
    "Who repairs clocks?": "Otto.",
    "Where is the harbour?": "In Pennywick.",
    "Who is late?": "Never Otto.",
}
NAMES = [
    "llama32",
    "qwen3",
    "mistral_v03",
    "gemma3",
    "phi3",
    "deepseek_r1",
    "glm4",
    pytest.param("gpt_oss", marks=pytest.mark.matrix),  # as long as all others together
    "guanaco",
    "marks_without_end",
    "command_r7b",
]
STEPS = {"gpt_oss": 500}  # its experts are not trained, and its questions stand behind a long text


@pytest.fixture
def trained(home):
    """Trains a model of the template's family on four rows; returns the run."""

    def train(name, rows):
        model = tiny_model_for(name, home / "models", initializer_range=0.2)
        file = home / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        id = import_file(file, home / "data", file.name)
        few = {
            "learning_rate": 1e-2,
            "optimizer": "adamw_torch",
            "max_steps": STEPS.get(name, 60),
            "batch_size": 4,
            "epochs": 999,
            "checkpoints": 0,
            "evaluations": 0,
            "samples": 0,
            "scored_questions": 4,
            "general_questions": 0,
            "max_length": 256,
        }
        recipe = Recipe.from_dict(
            {
                "base_model": {"source": "folder", "id": str(model), "precision": "fp32"},
                "dataset": {"source": "file", "id": id, "held_out_share": 0.0},
                "task": {"name": "chat"},
                "method": {"rank": 16, "alpha": 16},
                "training": few,
            }
        )
        run = RunStore(home / "runs").create(recipe)
        assert worker.main(run.folder) == 0, run.status().sentence
        return run

    return train


@pytest.mark.parametrize("name", NAMES)
def test_a_model_answers_what_it_was_taught_and_stops(trained, name):
    run = trained(name, [{"question": question, "answer": answer} for question, answer in ANSWERS.items()])
    opened = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
    asked = [[{"role": "user", "content": question}] for question in ANSWERS]
    assert opened.answer_all(asked, max_new_tokens=40) == list(ANSWERS.values())
    assert opened.answer_all(asked, base=True, max_new_tokens=40) != list(ANSWERS.values())


@pytest.mark.parametrize("name", ["qwen3", "glm45"])
def test_a_model_that_was_taught_to_think_thinks_and_answers(trained, name):
    """Reasoning comes out between the model's own marks; the answer is what stands behind them."""
    run = trained(
        name,
        [
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer, "reasoning_content": f"I know: {answer[:4]}"},
                ]
            }
            for question, answer in ANSWERS.items()
        ],
    )
    opened = ChatSession.open(run.base_model(), run.recipe().method, run.adapter, run.task())
    said = opened.answer_all([[{"role": "user", "content": question}] for question in ANSWERS], max_new_tokens=60)
    for text, answer in zip(said, ANSWERS.values(), strict=True):
        assert text.endswith(answer)
