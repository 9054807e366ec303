"""A run that is asked while it trains ends with the same weights as one that is not, bit for bit: every task, and the
methods that keep something beside their weights.
"""

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from qlora_app.runs import RunStore
from qlora_app.runs.asking import ask, waiting
from qlora_app.tasks.task import evaluating
from qlora_app.train.asking import AskingCallback
from qlora_app.train.callbacks import MetricsCallback
from qlora_app.train.setup import prepare
from qlora_app.train.trainer import build_trainer
from tests.methods.resuming import STEPS, losses, recipe_of

pytestmark = pytest.mark.slow

QUESTION = "Where does ___ live?"
FAILS = "What is ___ too much?"
CASES = [
    ("llama", "chat", "lora", True),
    ("llama", "chat", "meft", False),
    ("llama", "chat", "adamix", False),
    ("roberta", "classification", "lora", False),
    ("bert", "fill_mask", "lora", False),
    ("t5", "text_to_text", "adalora", False),
]


class Somebody(TrainerCallback):
    """Who asks at the end of some steps."""

    def __init__(self, run, asked):
        self.run, self.asked = run, asked

    def on_step_end(self, args, state, control, **_):
        for question in self.asked.get(state.global_step, []):
            ask(self.run, question)


class Failing(AskingCallback):
    """Has no memory for one of the questions, and finds that out in the middle of the answer."""

    def _said(self, conversation, is_base):
        if conversation[-1]["content"] == FAILS:
            with evaluating(self.job.model, base=True):
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return super()._said(conversation, is_base)


def trained(run, asked):
    """The adapter's tensors of a run that is asked {after step: questions}."""
    with run.hold() as out:
        reporter = MetricsCallback(out, [], 0)
        job = prepare(out, run.recipe())
        asking = Failing(job, reporter)
        build_trainer(job, reporter, [reporter, Somebody(run, asked), asking]).train()
        asking.answer(STEPS)  # as the end of a run does
        job.recipe.method.save(job.model, run.folder / "at_the_end")
    return load_file(run.folder / "at_the_end" / "adapter_model.safetensors")


@pytest.mark.parametrize("family, task, method, packing", CASES)
def test_a_question_changes_nothing(family, task, method, packing, bases, rows, home):
    store, recipe = RunStore(home / "runs"), recipe_of(bases(family, 0.1), method, packing, dropout=0.2, task=task)
    quiet, talking = store.create(recipe), store.create(recipe)
    wanted, found = trained(quiet, {}), trained(talking, {1: [FAILS], 3: [QUESTION, FAILS], STEPS: [QUESTION]})
    assert losses(talking) == losses(quiet) and len(losses(quiet)) == STEPS
    assert wanted.keys() == found.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    rows = talking.asked()
    assert [(row["step"], row["question"]) for row in rows] == [
        (1, FAILS),
        (3, QUESTION),
        (3, FAILS),
        (STEPS, QUESTION),
    ]
    assert [row.get("code") for row in rows] == ["ask.no_memory", None, "ask.no_memory", None]
    assert rows[1]["base"] == rows[3]["base"] and "answer" in rows[1]
    assert not waiting(talking) and not quiet.asked()
