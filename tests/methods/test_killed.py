"""Workers of their own process that are killed with -9 in the middle: resumed, they end with the bytes of one that
never was.
"""

import signal

import pytest

from qlora_app import worker
from qlora_app.launch import local
from qlora_app.runs.checkpoints import newest_complete
from tests.fixtures.dying import COMMAND
from tests.methods.resuming import losses, recipe_of

pytestmark = pytest.mark.slow

STEPS, KILLED_AT, SAVED_AT = 8, 6, 4  # so that two steps are done twice
KILLED = [
    ("llama", "chat", "adalora", True),
    ("llama", "chat", "adamix", False),
    ("roberta", "fill_mask", "lora", False),
]


@pytest.mark.parametrize("family, task, name, packing", KILLED)
def test_a_killed_worker_is_resumed_exactly(family, task, name, packing, bases, rows, store, monkeypatch):
    recipe = recipe_of(bases(family, 0.1), name, packing, 0.2, task, max_steps=STEPS, checkpoints=2)
    whole, killed = store.create(recipe), store.create(recipe)
    monkeypatch.setattr(local, "WORKER", [*COMMAND, str(KILLED_AT)])
    assert local.launch(killed).wait() == -signal.SIGKILL, killed.log_tail()
    assert killed.status().state == "interrupted"
    assert f"Resume goes on from step {SAVED_AT}" in killed.status().sentence
    assert newest_complete(killed.checkpoints).name == f"checkpoint-{SAVED_AT}"
    for run in (killed, whole):
        assert worker.main(run.folder) == 0 and run.status().state == "done", run.status().sentence
    assert losses(killed) == losses(whole) and len(losses(whole)) == STEPS
    files = sorted(path.name for path in whole.adapter.glob("*.safetensors"))
    assert files == sorted(path.name for path in killed.adapter.glob("*.safetensors")) == ["adapter_model.safetensors"]
    assert all((whole.adapter / name).read_bytes() == (killed.adapter / name).read_bytes() for name in files)
