"""Methods of our own through the worker: stopped, resumed, finished, talked to, and opened as the model card says."""

import re

import pytest
import torch
from safetensors.torch import load_file

from qlora_app import worker
from qlora_app.inference.pool import ModelPool
from qlora_app.inference.session import Decoding
from qlora_app.methods import MeftMethod, QaLoraMethod
from qlora_app.runs.checkpoints import newest_complete
from tests.conftest import short_recipe
from tests.fixtures.answering import both

pytestmark = pytest.mark.slow

QUESTION = [{"role": "user", "content": "Where does Mira live?"}]
METHODS = {"qalora": QaLoraMethod(rank=4), "meft": MeftMethod(rank=4)}


@pytest.mark.parametrize("name", METHODS)
def test_a_stopped_run_goes_on_to_the_same_adapter_and_answers(name, store):
    recipe = short_recipe(
        max_steps=2, samples=0, scored_questions=1, measured_examples=2, checkpoints=1, evaluations=0
    ).model_copy(update={"method": METHODS[name]})
    recipe = recipe.model_copy(
        update={"base_model": recipe.base_model.model_copy(update={"precision": METHODS[name].precisions[0]})}
    )
    whole, stopped = store.create(recipe), store.create(recipe)
    assert worker.main(whole.folder) == 0, whole.status().sentence
    stopped.request("stop")
    assert worker.main(stopped.folder) == 0 and stopped.status().step == 1 and newest_complete(stopped.checkpoints)
    assert worker.main(stopped.folder) == 0 and stopped.status().state == "done", stopped.status().sentence
    one, other = (load_file(run.adapter / "adapter_model.safetensors") for run in (whole, stopped))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert whole.proof()["reload"]["max_difference"] == 0 and whole.proof()["update"]["zero_layers"] == 0

    session = ModelPool().get(whole)
    base, tuned = both(session, QUESTION, Decoding(max_new_tokens=4))
    assert base and tuned
    blocks = re.findall(r"```python\n(.*?)```", (whole.adapter / "README.md").read_text(), re.S)
    assert len(blocks) == (2 if name == "qalora" else 1), "the merged model opens by itself"
    for lines in blocks:
        opened: dict = {}
        exec(lines.replace("path/to/this/folder", str(whole.adapter)), opened)
        ids = torch.tensor([opened["tokenizer"]("Where does Mira live?")["input_ids"]])
        with torch.no_grad():
            ours = session.alone(lambda ids=ids: session.model(input_ids=ids).logits)
            assert torch.equal(opened["model"].eval()(input_ids=ids).logits, ours)
